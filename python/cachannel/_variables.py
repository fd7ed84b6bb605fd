"""The environment variables of libca: what each means, what counts where it is not set, and what is wrong with it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple

Check = Callable[[str], Iterator[str]]

_LOWEST_PORT = 5001


class Variable(NamedTuple):
    """One variable that libca knows."""

    default: str
    meaning: str
    check: Check


class Address(NamedTuple):
    """One place to look for PVs."""

    text: str
    host: str
    port: str


_INTEGER = r"\s*[+-]?\d+"
_REAL = r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"


def _value(name: str) -> str:
    """What counts: an empty variable is like none."""
    return os.environ.get(name) or VARIABLES[name].default


def _at_least(lowest: float, pattern: str, default: str, instead: str) -> Check:
    """A number, read as C's scanf does: what the text begins with."""

    def check(text: str) -> Iterator[str]:
        found = re.match(pattern, text)
        if found is None:
            yield f"{text!r} is no number; {default} counts"
            return
        if found[0] != text.rstrip():
            yield f"of {text!r} only the {found[0].strip()} counts"
        if float(found[0]) < lowest:
            yield f"{found[0].strip()} is less than {lowest:g}; {instead}"

    return check


def _port(default: str) -> Check:
    def check(text: str) -> Iterator[str]:
        found = re.match(_INTEGER, text)
        if found is None or not _LOWEST_PORT <= int(found[0]) <= 65535:
            yield f"{text!r} is no port between {_LOWEST_PORT} and 65535; {default} counts"

    return check


def _search_interfaces(text: str) -> Iterator[str]:
    if text not in ("YES", "NO", "yes", "no"):
        yield f"{text!r} is neither YES nor NO; {'YES' if searches_interfaces() else 'NO'} counts"


def _any_size(text: str) -> Iterator[str]:
    if text.lower() not in ("yes", "no"):
        yield f"{text!r} is neither YES nor NO; NO counts"


def _addresses(text: str) -> Iterator[str]:
    for address in text.split():
        problem = _address_problem(address)
        if problem:
            yield f"{address}: {problem}; it is left out"


def _address_problem(address: str) -> str:
    host, colon, port = address.partition(":")
    if ":" in port:
        return "Channel Access knows no IPv6"
    if colon and not (port.isdecimal() and 0 < int(port) <= 65535):
        return f"{port!r} is no port"
    if not host:
        return "no host"
    if "," in host or ";" in host:
        return "addresses are separated by spaces"
    try:
        socket.gethostbyname(host)
    except (OSError, UnicodeError):
        return "no such host is known"
    return ""


VARIABLES = {
    "EPICS_CA_ADDR_LIST": Variable("", "where searches are sent, besides the interfaces", _addresses),
    "EPICS_CA_AUTO_ADDR_LIST": Variable(
        "YES", "YES: also to the broadcast address of every network interface", _search_interfaces
    ),
    "EPICS_CA_NAME_SERVERS": Variable("", "hosts that are asked over TCP", _addresses),
    "EPICS_CA_SERVER_PORT": Variable("5064", "the port of an address that has none", _port("5064")),
    "EPICS_CA_MAX_SEARCH_PERIOD": Variable(
        "300", "seconds between two searches, at most", _at_least(60, _REAL, "300", "60 counts")
    ),
    "EPICS_CA_MCAST_TTL": Variable(
        "1", "routers that a search to a multicast address may pass", _at_least(1, _INTEGER, "1", "1 counts")
    ),
    "EPICS_CA_CONN_TMO": Variable(
        "30",
        "seconds of silence after which a server is asked whether it lives",
        _at_least(1, _REAL, "30", "servers are taken for dead that are not"),
    ),
    "EPICS_CA_REPEATER_PORT": Variable("5065", "where the beacons of servers come in", _port("5065")),
    "EPICS_CA_AUTO_ARRAY_BYTES": Variable("YES", "YES: arrays of any size (EPICS 7)", _any_size),
    "EPICS_CA_MAX_ARRAY_BYTES": Variable(
        "16384",
        "the largest array, in bytes, where the former is NO",
        _at_least(16384, _INTEGER, "16384", "16384 counts"),
    ),
}
"""All that a client reads, with libca's defaults."""

_OF_SERVERS = {"EPICS_CA_BEACON_PERIOD"}


def searches_interfaces() -> bool:
    """Whether the broadcast addresses of the interfaces are searched."""
    text = _value("EPICS_CA_AUTO_ADDR_LIST")
    return "no" not in text and "NO" not in text


def _usable(name: str, port: str) -> list[Address]:
    addresses = []
    for text in _value(name).split():
        if not _address_problem(text):
            host, _, own_port = text.partition(":")
            addresses.append(Address(text, host, own_port or port))
    return addresses


def server_port() -> str:
    """The port of addresses that have none."""
    name = "EPICS_CA_SERVER_PORT"
    variable = VARIABLES[name]
    return variable.default if any(variable.check(_value(name))) else str(int(_value(name)))


def search_addresses() -> list[Address]:
    """The addresses that searches are sent to over UDP, those of the interfaces aside."""
    return _usable("EPICS_CA_ADDR_LIST", server_port())


def name_servers() -> list[Address]:
    """The hosts that are asked over TCP."""
    return _usable("EPICS_CA_NAME_SERVERS", server_port())


def warnings() -> Iterator[str]:
    """What is wrong with the variables that are set."""
    for name, variable in VARIABLES.items():
        text = os.environ.get(name)
        if text:
            yield from (f"{name}: {problem}" for problem in variable.check(text))
    for name in sorted(os.environ):
        if name.startswith("EPICS_CA_") and name not in VARIABLES and name not in _OF_SERVERS:
            yield f"{name}: libca knows no such variable"
    if not (searches_interfaces() or search_addresses() or name_servers()):
        yield "no PV can be found: EPICS_CA_AUTO_ADDR_LIST is NO and there is no address to search"


def described() -> Iterator[str]:
    """A line for each variable."""
    for name, variable in VARIABLES.items():
        text = os.environ.get(name)
        shown = text if text else f"{variable.default or 'none'} (not set)"
        yield f"{name} = {shown}  # {variable.meaning}"
