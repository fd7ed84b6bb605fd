"""Timeouts, as callers give them."""

from __future__ import annotations

import math

from ._constants import ECA_TIMEOUT
from ._errors import CaChannelTypeError, CaChannelValueError


def seconds(timeout: float, pvname: str | None = None) -> float:
    """A timeout as a float; raises for a text, what is no number, NaN, and a negative number."""
    detail = f"a timeout is a number of seconds, 0 or more, not {timeout!r}"
    if isinstance(timeout, (str, bytes, bytearray)):
        raise CaChannelTypeError(ECA_TIMEOUT, pvname, detail)
    try:
        number = float(timeout)
    except TypeError as error:
        raise CaChannelTypeError(ECA_TIMEOUT, pvname, detail) from error
    except (ValueError, OverflowError) as error:
        raise CaChannelValueError(ECA_TIMEOUT, pvname, detail) from error
    if math.isnan(number) or number < 0:
        raise CaChannelValueError(ECA_TIMEOUT, pvname, detail)
    return number
