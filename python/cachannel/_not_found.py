"""The exceptions for PVs that no server answers for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from . import _ca
from ._constants import ECA_NORMAL, ECA_TIMEOUT
from ._enums import ChannelState
from ._errors import CaChannelException

_TIME_FOR_RECORDS = 0.3
"""Seconds more, where names have fields, to see whether their records are there: a server that is answers in less."""


def not_found(names: Iterable[str], seconds: float, others: str = "") -> dict[str, CaChannelException]:
    """An exception for each of the PVs that have not connected within the time.

    :param others: what is to be said besides, of other PVs.
    """
    names = list(names)
    records = _those_there({_parts(name)[0] for name in names if "." in name}, min(seconds, _TIME_FOR_RECORDS))
    what = f"no server answered within {abs(round(seconds, 3)):g} s"
    return {
        name: CaChannelException(ECA_TIMEOUT, name, "; ".join(filter(None, (others, _hint(name, records)))), what)
        for name in names
    }


def one_not_found(name: str, seconds: float, others: str) -> CaChannelException:
    """The exception for one PV."""
    return not_found([name], seconds, others)[name]


def _parts(name: str) -> tuple[str, str]:
    """The record and the field in a name, or what else stands behind its first dot."""
    record, _, field = name.partition(".")
    return record, field


def _hint(name: str, records: set[str]) -> str:
    record, field = _parts(name)
    if record in records:
        # A field may have a filter behind it.
        return f"{record} is there, but does not take {field}" if "{" in field else f"{record} has no field {field!r}"
    if any(map(str.isspace, name)):
        return "there is white space in the name"
    return f"is the name right, and does its IOC run? python -m cachannel {name} tells more"


def _those_there(records: set[str], seconds: float) -> set[str]:
    """Which of the records a server has."""
    chids = {}
    for record in records - {""}:
        status, chid = _ca.create_channel(record)
        if status == ECA_NORMAL and chid is not None:
            chids[record] = chid
    if not chids or seconds <= 0:
        return set()
    with contextlib.suppress(CaChannelException):
        _ca.wait_answers(seconds, next(iter(chids.values())))
    there = {record for record, chid in chids.items() if _ca.state(chid) == ChannelState.CONN}
    for chid in chids.values():
        _ca.clear_channel(chid)
    return there
