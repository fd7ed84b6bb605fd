"""What a write came to that the server refused, and why, as far as that can be known."""

from __future__ import annotations

import reprlib
from typing import Any

from . import _ca, ca
from ._constants import DBR_LONG, ECA_PUTFAIL
from ._errors import CaChannelException

_TIME_TO_ASK = 0.5
"""Seconds to ask a server that has just answered."""


def write_failed(status: int, pvname: str | None, value: Any) -> CaChannelException:
    """What a write came to, with the value where the server did not take it."""
    if status != ECA_PUTFAIL:
        return CaChannelException(status, pvname)
    reason = why_not(pvname)
    detail = f"the server does not take {reprlib.repr(value)}"
    return CaChannelException(status, pvname, f"{reason}: {detail}" if reason else detail)


def why_not(pvname: str | None) -> str:
    """Of a PV whose server refused a write: that it takes none now, where its record is disabled (DISP)."""
    record = (pvname or "").partition(".")[0]
    if not record:
        return ""
    try:
        is_disabled = _read(f"{record}.DISP") == 1
    except CaChannelException:
        return ""  # it has no such field, or may not be read
    return f"the PV takes no writes now, as {record}.DISP is 1" if is_disabled else ""


def _read(name: str) -> Any:
    status, chid = ca.create_channel(name)
    if chid is None:
        raise CaChannelException(status, name)
    try:
        _ca.wait_connected(_TIME_TO_ASK, chid)
        return _ca.read_wait(chid, DBR_LONG, 1, False, _TIME_TO_ASK).get()
    finally:
        ca.clear_channel(chid)
