"""The arguments that the functions of :mod:`cachannel.aio` have in common."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any, Union

from .. import _ca
from .._constants import ECA_BADSTR
from .._enums import DBR
from .._errors import CaChannelTypeError
from .._strings import is_long_string
from .._timeouts import seconds
from .._value_specs import checked_format, dbr_number, value_spec

DEFAULT_TIMEOUT = 5.0
"""Seconds that the functions wait where they are not told otherwise."""

DBR_ENUM_STR = 996
"""An enum as the text of its state; any other PV as its own type."""
DBR_CHAR_BYTES = 997
"""The bytes in a CHAR array, up to its NUL."""
DBR_CHAR_UNICODE = 998
"""The text in a CHAR array."""
DBR_CHAR_STR = 999
"""The text in a CHAR array."""

Timeout = Union[None, float, "tuple[float]"]
"""None: no limit; seconds, 0 where nothing may be waited for; or ``(deadline,)``, in seconds since 1970."""

Names = Union["list[str]", "tuple[str, ...]"]
"""Several names; any other iterable but a str does as well."""


def names_of(pv: Any) -> tuple[list[str], bool]:
    """The names in what was given, and whether it was one name."""
    if isinstance(pv, str):
        return [pv], True
    if isinstance(pv, bytes) or not isinstance(pv, Iterable):
        raise CaChannelTypeError(ECA_BADSTR, None, f"a PV name is a str, not {pv!r}")
    names = list(pv)
    for name in names:
        if not isinstance(name, str):
            raise CaChannelTypeError(ECA_BADSTR, None, f"a PV name is a str, not {name!r}")
    return names, False


def deadline_of(timeout: Timeout) -> float | None:
    """When a timeout is over, by the clock of the running loop; None for never."""
    if timeout is None:
        return None
    limit = timeout[0] - time.time() if isinstance(timeout, tuple) else seconds(timeout)
    return asyncio.get_running_loop().time() + limit


def spec_of(name: str, datatype: Any, form: Any, count: int) -> _ca.ValueSpec:
    """How a PV is asked for."""
    texts, enum_texts, as_bytes = is_long_string(name), False, False
    number: int | None
    if datatype == DBR_ENUM_STR and not isinstance(datatype, type):
        number, enum_texts = None, True
    elif isinstance(datatype, int) and datatype in (DBR_CHAR_BYTES, DBR_CHAR_UNICODE, DBR_CHAR_STR):
        number, as_bytes = int(DBR.STRING), datatype == DBR_CHAR_BYTES
    else:
        number = dbr_number(datatype, name)
        as_bytes = datatype is bytes
    # As in aioca, 0 and all below are special; what there is, is None here.
    elements = None if count == 0 else max(int(count), -1)
    return value_spec(
        checked_format(form), number, elements, texts=texts, enum_texts=enum_texts, as_bytes=as_bytes, aio=True
    )
