"""Where a PV lives, and why one is not found: what ``python -m cachannel`` says of names."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable, Iterator

from . import _variables, ca
from ._connections import connect
from ._constants import ECA_TIMEOUT
from ._enums import DBF
from ._errors import CaChannelException

_TIME_FOR_GUESSES = 1.0
_TIME_FOR_PORTS = 0.3

_VERSION_MESSAGE = struct.pack(">HHHHII", 0, 0, 0, 13, 0, 0)
"""What a client's first datagram begins with. It asks nothing, but a closed port lets its sender know."""


def report(names: Iterable[str], timeout: float) -> tuple[list[str], bool]:
    """Lines on each of the PVs, all searched at once, and whether all are connected."""
    channels = connect(names, time.monotonic() + timeout)
    missing = [name for name, chid in channels.items() if isinstance(chid, CaChannelException)]
    others = [guess for name in missing for guess in _guesses(name) if guess not in channels]
    found = connect(others, time.monotonic() + min(timeout, _TIME_FOR_GUESSES)) if others else {}
    lines: list[str] = []
    for name, chid in channels.items():
        if not isinstance(chid, CaChannelException):
            lines.append(f"{name}: {_home(chid)}")
            continue
        why = f"not found within {timeout:g} s" if chid.status == ECA_TIMEOUT else ca.message(chid.status)
        lines.append(f"{name or repr(name)}: {why}")
        for guess in _guesses(name):
            other = channels.get(guess) or found.get(guess)
            if isinstance(other, ca.chid):
                lines.append(f"  but {guess} is there: {_home(other)}")
    if missing:
        lines += ["", *_where_was_looked(), *_ADVICE]
    return lines, not missing


def _home(chid: ca.chid) -> str:
    """Where a connected PV lives, and what it is."""
    count = ca.element_count(chid)
    rights = [text for text, granted in (("read", ca.read_access(chid)), ("write", ca.write_access(chid))) if granted]
    elements = "1 element" if count == 1 else f"{count} elements"
    kind = DBF(ca.field_type(chid)).name
    return f"on {ca.host_name(chid)}, {kind}, {elements}, access: {' and '.join(rights) or 'none'}"


def _guesses(name: str) -> list[str]:
    """Names that may have been meant: without the spaces around it, without the field, in the other case."""
    bare = name.strip()
    guesses = (bare, bare.partition(".")[0], bare.upper(), bare.lower())
    return [guess for guess in dict.fromkeys(guesses) if guess and guess != name]


def _where_was_looked() -> Iterator[str]:
    yield "Looked for at:"
    addresses = _variables.search_addresses()
    closed = _closed_ports(addresses)
    for address in addresses:
        said = "; no server there: the port is closed" if address in closed else ""
        yield f"  {address.host}, UDP port {address.port}{said}"
    if _variables.searches_interfaces():
        yield f"  the broadcast address of every network interface, UDP port {_variables.server_port()}"
    for server in _variables.name_servers():
        yield f"  {server.host}, TCP port {server.port}{_tcp_problem(server)}"


def _closed_ports(addresses: list[_variables.Address]) -> set[_variables.Address]:
    """Those of the addresses whose host says that nobody listens. Not to hear that says nothing."""
    sockets: dict[_variables.Address, socket.socket] = {}
    closed = set()
    end = time.monotonic() + _TIME_FOR_PORTS
    try:
        for address in addresses:
            probe = sockets[address] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                probe.connect((address.host, int(address.port)))
                probe.send(_VERSION_MESSAGE)
            except OSError:  # a broadcast address, or no way there
                del sockets[address]
                probe.close()
        for address, probe in sockets.items():
            probe.settimeout(max(end - time.monotonic(), 0.001))
            try:
                probe.recv(1)
            except ConnectionError:
                closed.add(address)
            except OSError:
                continue
    finally:
        for probe in sockets.values():
            probe.close()
    return closed


def _tcp_problem(server: _variables.Address) -> str:
    try:
        socket.create_connection((server.host, int(server.port)), timeout=1).close()
    except OSError as error:
        return f"; no connection: {error.strerror or error}"
    return ""


_ADVICE = """
Is the name right, and does its IOC run? Does caget find it from this very shell?
An IOC in another subnet: put its address, or a gateway's, into EPICS_CA_ADDR_LIST.
Several IOCs on one host: put the broadcast address there, or host:port for each.
A container, a VPN or a firewall: EPICS_CA_NAME_SERVERS asks over TCP.
A distant server, or very many PVs: give them more time, with -w SECONDS.""".splitlines()
