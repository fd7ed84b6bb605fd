"""The environment variables of libca: what each means, what counts where it is not set, and what is wrong with it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

_LOWEST_PORT = 5001


class Variable(NamedTuple):
    """One variable that libca knows."""

    default: str
    meaning: str
    check: Callable[[str], Iterator[str]]
    """What is wrong with a text."""
    counts: Callable[[str], str] = str
    """What counts in place of a text that is wrong; nothing where that is the default."""


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


class _Number(NamedTuple):
    """A number, read as C's scanf does: what the text begins with."""

    pattern: str
    default: str
    lowest: float
    below: str
    highest: float = math.inf
    above: str = ""
    is_limited: bool = True
    """Whether the nearest limit counts where a number is beyond one; otherwise the number does."""

    def _read(self, text: str) -> re.Match[str] | None:
        found = re.match(self.pattern, text)
        return found if found and math.isfinite(float(found[0])) else None

    def check(self, text: str) -> Iterator[str]:
        found = self._read(text)
        if found is None:
            yield f"{text!r} is no number; {self.default} counts"
            return
        if found[0] != text.rstrip():
            yield f"of {text!r} only the {found[0].strip()} counts"
        if float(found[0]) < self.lowest:
            yield f"{found[0].strip()} is less than {self.lowest:g}; {self.below}"
        if float(found[0]) > self.highest:
            yield f"{found[0].strip()} is more than {self.highest:g}; {self.above}"

    def counts(self, text: str) -> str:
        found = self._read(text)
        if found is None:
            return ""
        if not self.is_limited:
            return text
        number = float(found[0])
        if number < self.lowest:
            return f"{self.lowest:g}"
        return f"{self.highest:g}" if number > self.highest else text


def _number(
    default: str,
    meaning: str,
    lowest: float,
    below: str,
    highest: float = math.inf,
    above: str = "",
    pattern: str = _REAL,
    is_limited: bool = True,
) -> Variable:
    number = _Number(pattern, default, lowest, below, highest, above, is_limited)
    return Variable(default, meaning, number.check, number.counts)


def _is_port(text: str) -> bool:
    found = re.match(_INTEGER, text)
    return found is not None and _LOWEST_PORT <= int(found[0]) <= 65535


def _port(default: str, meaning: str) -> Variable:
    def check(text: str) -> Iterator[str]:
        if not _is_port(text):
            yield f"{text!r} is no port between {_LOWEST_PORT} and 65535; {default} counts"

    return Variable(default, meaning, check, lambda text: text if _is_port(text) else "")


def _search_interfaces(text: str) -> Iterator[str]:
    if text not in ("YES", "NO", "yes", "no"):
        yield f"{text!r} is neither YES nor NO; {'YES' if searches_interfaces() else 'NO'} counts"


def _any_size(text: str) -> Iterator[str]:
    if text.lower() not in ("yes", "no"):
        yield f"{text!r} is neither YES nor NO; NO counts"


def _sorted_out(text: str) -> Iterator[tuple[str, str]]:
    """Each address, and what is wrong with it."""
    port = server_port()
    seen = set()
    for address in text.split():
        host, _, own_port = address.partition(":")
        place = (host, own_port or port)
        yield address, "it is there before" if place in seen else _address_problem(address)
        seen.add(place)


def _addresses(text: str) -> Iterator[str]:
    for address, problem in _sorted_out(text):
        if problem:
            yield f"{address}: {problem}; it is left out"


def _good_addresses(text: str) -> str:
    return " ".join(address for address, problem in _sorted_out(text) if not problem)


def _is_numeric(host: str) -> bool:
    numbers = host.split(".")
    return len(numbers) == 4 and all(number.isdecimal() and len(number) < 4 and int(number) < 256 for number in numbers)


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
    if _is_numeric(host):
        return ""
    import socket  # a large module, for names only

    try:
        socket.gethostbyname(host)
    except (OSError, UnicodeError):
        return "no such host is known"
    return ""


VARIABLES = {
    "EPICS_CA_ADDR_LIST": Variable("", "where searches are sent, besides the interfaces", _addresses, _good_addresses),
    "EPICS_CA_AUTO_ADDR_LIST": Variable(
        "YES", "YES: also to the broadcast address of every network interface", _search_interfaces
    ),
    "EPICS_CA_NAME_SERVERS": Variable("", "hosts that are asked over TCP", _addresses, _good_addresses),
    "EPICS_CA_SERVER_PORT": _port("5064", "the port of an address that has none"),
    "EPICS_CA_MAX_SEARCH_PERIOD": _number(
        "300", "seconds between two searches, at most", 60, "60 counts", 4194, "4194 counts"
    ),
    "EPICS_CA_MCAST_TTL": _number(
        "1",
        "routers that a search to a multicast address may pass",
        1,
        "1 counts",
        255,
        "255 counts",
        pattern=_INTEGER,
    ),
    "EPICS_CA_CONN_TMO": _number(
        "30",
        "seconds of silence after which a server is asked whether it lives",
        1,
        "servers are taken for dead that are not",
        is_limited=False,
    ),
    "EPICS_CA_REPEATER_PORT": _port("5065", "where the beacons of servers come in"),
    "EPICS_CA_AUTO_ARRAY_BYTES": Variable("YES", "YES: arrays of any size (EPICS 7)", _any_size),
    "EPICS_CA_MAX_ARRAY_BYTES": _number(
        "16384",
        "the largest array, in bytes, where the former is NO",
        16384,
        "16384 counts",
        pattern=_INTEGER,
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


def _port_of(name: str) -> str:
    found = re.match(_INTEGER, _value(name) if _is_port(_value(name)) else VARIABLES[name].default)
    return str(int(found[0])) if found else ""


def server_port() -> str:
    """The port of addresses that have none."""
    return _port_of("EPICS_CA_SERVER_PORT")


def repeater_port() -> int:
    """The port of the repeater."""
    return int(_port_of("EPICS_CA_REPEATER_PORT"))


def search_addresses() -> list[Address]:
    """The addresses that searches are sent to over UDP, those of the interfaces aside."""
    return _usable("EPICS_CA_ADDR_LIST", server_port())


def name_servers() -> list[Address]:
    """The hosts that are asked over TCP."""
    return _usable("EPICS_CA_NAME_SERVERS", server_port())


def problems(name: str) -> Iterator[str]:
    """What is wrong with a variable, if it is set."""
    text = os.environ.get(name)
    if text:
        yield from (f"{name}: {problem}" for problem in VARIABLES[name].check(text))


def _unknown() -> Iterator[tuple[str, str]]:
    """Names that look like libca's, each with the one that may have been meant, or nothing."""
    known = VARIABLES.keys() | _OF_SERVERS
    for name in sorted(name for name in os.environ if name.startswith("EPICS_CA_") and name not in known):
        import difflib  # seldom needed

        yield name, "".join(difflib.get_close_matches(name, VARIABLES, 1, 0.85))


def _unknown_told(name: str, meant: str) -> str:
    return f"{name}: libca knows no such variable" + (f"; {meant} may have been meant" if meant else "")


def warnings() -> Iterator[str]:
    """What is wrong with the variables that are set."""
    for name in VARIABLES:
        yield from problems(name)
    yield from (_unknown_told(name, meant) for name, meant in _unknown())
    if not (searches_interfaces() or search_addresses() or name_servers()):
        yield "no PV can be found: EPICS_CA_AUTO_ADDR_LIST is NO and there is no address to search"


def mistakes() -> Iterator[str]:
    """As ``warnings``, for a log: without what libca tells itself, and names that a site has for something else."""
    for name in VARIABLES:
        yield from problems(name)
    yield from (_unknown_told(name, meant) for name, meant in _unknown() if meant)


_mended: set[str] = set()
"""Variables of which C sees something else than ``os.environ``."""


def mend() -> None:
    """Gives libca the values that count in place of wrong ones, so that libca does not print warnings as well.

    What C sees changes, here and in programs that are started; ``os.environ`` does not. What is right by now, as a host
    that is known again, C sees as it is.
    """
    for name, variable in VARIABLES.items():
        text = os.environ.get(name)
        if not text:
            continue
        if any(variable.check(text)):
            _mended.add(name)
            counts = variable.counts(text)
            if counts:
                os.putenv(name, counts)
            else:
                os.unsetenv(name)
        elif name in _mended:
            _mended.remove(name)
            os.putenv(name, text)


def is_mended() -> bool:
    """Whether C sees something else than ``os.environ``."""
    return bool(_mended)


def described() -> Iterator[str]:
    """A line for each variable."""
    for name, variable in VARIABLES.items():
        text = os.environ.get(name)
        shown = text if text else f"{variable.default or 'none'} (not set)"
        yield f"{name} = {shown}  # {variable.meaning}"
