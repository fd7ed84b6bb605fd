"""What stands for a PV without a value, and what is known of a PV."""

from __future__ import annotations

import sys
from typing import Any

from .. import _ca, ca
from .._constants import ECA_NORMAL, ECA_TIMEOUT
from .._enums import ChannelState
from .._errors import CaChannelException, CaChannelTimeout

_NO_ACCESS = 7


class CANothing(CaChannelException):
    """What a call came to for a PV: raised where it failed, and returned by :func:`caput`, :func:`connect`, and in the
    place of a value that there is none of where ``throw=False``. It is true where all went well.

    A time-out that is raised is a TimeoutError, too.

    :ivar name: name of the PV.
    :ivar ok: whether all went well.
    :ivar errorcode: to what it came (ECA); also ``status``, as a :class:`ca.ECA`.
    """

    name: str
    ok: bool
    errorcode: int

    def __init__(self, name: str, errorcode: int = ECA_NORMAL) -> None:
        super().__init__(errorcode, name)
        self.args = (name, errorcode)
        self.name = name
        self.ok = errorcode == ECA_NORMAL
        self.errorcode = int(errorcode)

    _is_unfound = False
    """No server has answered for the PV."""

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"CANothing({self.name!r}, {self.errorcode})"

    def __str__(self) -> str:
        return f"{self.name}: {_ca.message(self.errorcode)}"


class _TimedOut(CANothing, CaChannelTimeout):
    """A time-out that is raised."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _timed_out, self.args


_TimedOut.__name__ = _TimedOut.__qualname__ = "CANothing"
_TimedOut.__module__ = "cachannel.aio"


def _timed_out(name: str, errorcode: int) -> CANothing:
    return _TimedOut(name, errorcode)


def raised(nothing: CANothing) -> CANothing:
    """The exception to raise for what failed."""
    if nothing.errorcode != ECA_TIMEOUT:
        return nothing
    error = _timed_out(nothing.name, nothing.errorcode)
    if nothing._is_unfound and sys.version_info >= (3, 11):
        # Its text is that of aioca.
        error.add_note(f"no server answered for it; python -m cachannel {nothing.name} says where was looked")
    return error


def not_found(name: str) -> CANothing:
    """What stands for a PV for which no server has answered in time."""
    nothing = CANothing(name, ECA_TIMEOUT)
    nothing._is_unfound = True
    return nothing


class CAInfo:
    """What is known of a PV and its connection.

    :ivar ok: True.
    :ivar name: name of the PV.
    :ivar state: state of the connection, a place in ``state_strings``.
    :ivar host: its server: name and port; ``<disconnected>`` where there is none.
    :ivar read: whether it may be read.
    :ivar write: whether it may be written.
    :ivar count: elements that it can hold; 0 while not connected.
    :ivar datatype: its type (DBR), a place in ``datatype_strings``; 7 while not connected.
    """

    state_strings = ("never connected", "previously connected", "connected", "closed")
    datatype_strings = ("string", "short", "float", "enum", "char", "long", "double", "no access")

    def __init__(self, name: str, chid: ca.chid) -> None:
        self.ok = True
        self.name = name
        self.state = int(ca.state(chid))
        is_connected = self.state == ChannelState.CONN
        self.host = ca.host_name(chid) if is_connected else "<disconnected>"
        self.read = ca.read_access(chid)
        self.write = ca.write_access(chid)
        self.count = ca.element_count(chid) if is_connected else 0
        self.datatype = int(ca.field_type(chid)) if is_connected else _NO_ACCESS

    def __str__(self) -> str:
        rows = [
            ("State", self.state_strings[self.state]),
            ("Host", self.host),
            ("Access", f"{self.read}, {self.write}"),
            ("Data type", self.datatype_strings[self.datatype]),
            ("Count", str(self.count)),
        ]
        return "\n".join([f"{self.name}:", *(f"    {label}: {text}" for label, text in rows)])

    def __repr__(self) -> str:
        return f"<CAInfo {self.name!r} {self.state_strings[self.state]}>"
