"""Writes that the server refuses: their exception, with the reason where it can be found out."""

from __future__ import annotations

import reprlib
from typing import Any

from . import _ca, ca
from ._constants import DBR_LONG, ECA_PUTFAIL
from ._errors import CaChannelException, CaChannelValueError

_TIME_TO_ASK = 0.5
"""Seconds that a server which has just answered gets to tell the reason."""


def write_failed(status: int, pvname: str | None, value: Any) -> CaChannelException:
    """The exception for a failed write; it names the value where the server refused it."""
    if status != ECA_PUTFAIL:
        return CaChannelException(status, pvname)
    reason = refusal_reason(pvname)
    detail = f"the server does not take {reprlib.repr(value)}"
    return CaChannelException(status, pvname, f"{reason}: {detail}" if reason else detail)


def put_checked(chid: ca.chid, pvname: str | None, value: Any, req_type: int | None, timeout: float) -> None:
    """Writes and flushes; for an ENUM it waits to hear whether the server takes the state, and raises where not."""
    try:
        _ca.put_checked(chid, value, req_type, timeout)
    except CaChannelException as error:
        if error.status != ECA_PUTFAIL or isinstance(error, CaChannelValueError):
            raise
        raise write_failed(ECA_PUTFAIL, pvname, value) from None


def refusal_reason(pvname: str | None) -> str:
    """The reason why a PV refused a write: its record is disabled (DISP). Empty where it is not."""
    record = (pvname or "").partition(".")[0]
    if not record:
        return ""
    try:
        is_disabled = _read(f"{record}.DISP") == 1
    except CaChannelException:
        return ""  # the record has no such field, or the field may not be read
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
