"""How values are asked for: what class PV, :func:`caget` with a format and :mod:`cachannel.aio` have in common."""

from __future__ import annotations

import math
import time
from functools import lru_cache
from typing import Any

from . import _ca
from ._constants import (
    DBE_ALARM,
    DBE_LOG,
    DBE_PROPERTY,
    DBE_VALUE,
    ECA_BADMASK,
    ECA_BADTYPE,
)
from ._enums import DBR
from ._errors import CaChannelTypeError, CaChannelValueError

FORMAT_RAW = 0
"""The value alone."""
FORMAT_TIME = 1
"""With its alarm and its time."""
FORMAT_CTRL = 2
"""With its alarm, and with the PV's units, limits, precision and states."""

_ALL_EVENTS = DBE_VALUE | DBE_LOG | DBE_ALARM | DBE_PROPERTY

# As numpy names the kinds of its types; there are no 64 bits in Channel Access.
_BY_CHARACTER = {
    "b": DBR.CHAR,
    "B": DBR.CHAR,
    "?": DBR.CHAR,
    "h": DBR.SHORT,
    "H": DBR.SHORT,
    "i": DBR.LONG,
    "I": DBR.LONG,
    "l": DBR.LONG,
    "L": DBR.LONG,
    "q": DBR.LONG,
    "Q": DBR.LONG,
    "f": DBR.FLOAT,
    "d": DBR.DOUBLE,
    "S": DBR.STRING,
    "U": DBR.STRING,
}


class Deadline:
    """A time limit for something that takes several steps."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._end = time.monotonic() + limit

    def left(self) -> float:
        """Seconds that are left, as the waits take them: never 0, which is for ever, unless there is no limit."""
        if self.limit == math.inf:
            return 0.0
        return max(self._end - time.monotonic(), 1e-6)

    def is_over(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self._end


def dbr_number(datatype: Any, pvname: str | None) -> int | None:
    """The DBR type of what a caller gave: a number of one, int, float, str, bytes, or a numpy dtype."""
    if datatype is None:
        return None
    if isinstance(datatype, int) and not isinstance(datatype, bool):
        try:
            return int(DBR(datatype))
        except ValueError:
            raise CaChannelValueError(ECA_BADTYPE, pvname, f"{datatype} is no DBR type") from None
    import numpy

    try:
        return int(_BY_CHARACTER[numpy.dtype(datatype).char])
    except (TypeError, KeyError):
        raise CaChannelTypeError(ECA_BADTYPE, pvname, f"{datatype!r} is no type of Channel Access") from None


def type_to_read(datatype: Any, pvname: str) -> int | None:
    """As :func:`dbr_number`, for values that nobody checks: refuses a class of integers, to which servers cut."""
    number = dbr_number(datatype, pvname)
    if number in (DBR.CHAR, DBR.SHORT, DBR.LONG) and not isinstance(datatype, int):
        detail = (
            f"the server would cut the value to {datatype!r} without a word: read it as it is, and convert it "
            "(ca.DBR_LONG and its like ask for the cut)"
        )
        raise CaChannelTypeError(ECA_BADTYPE, pvname, detail)
    return number


def checked_mask(mask: Any, pvname: str) -> int:
    """A mask of events; raises where there is none in it."""
    if not isinstance(mask, int) or not 0 < mask <= _ALL_EVENTS:
        detail = f"{mask!r} is none of DBE_VALUE, DBE_LOG, DBE_ALARM, DBE_PROPERTY, or of their sums"
        raise CaChannelValueError(ECA_BADMASK, pvname, detail)
    return int(mask)


def checked_format(form: Any) -> int:
    """A format; raises for what is none."""
    if form not in (FORMAT_RAW, FORMAT_TIME, FORMAT_CTRL):
        detail = f"a format is FORMAT_RAW, FORMAT_TIME or FORMAT_CTRL, not {form!r}"
        raise CaChannelValueError(ECA_BADTYPE, None, detail)
    return int(form)


@lru_cache(maxsize=256)
def value_spec(
    form: int,
    datatype: int | None,
    count: int | None,
    *,
    texts: bool = False,
    enum_texts: bool = False,
    state_texts: bool = False,
    as_bytes: bool = False,
    aio: bool = False,
) -> _ca.ValueSpec:
    """How to ask for a value, and how to show it."""
    return _ca.ValueSpec(
        form, datatype, count, texts=texts, enum_texts=enum_texts, state_texts=state_texts, as_bytes=as_bytes, aio=aio
    )
