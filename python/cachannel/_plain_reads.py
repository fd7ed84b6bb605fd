"""Reads of PVs by name: what ``caget`` and ``cainfo`` do, without a format."""

from __future__ import annotations

from typing import Any, Union

from . import ca
from ._connections import Request, read
from ._constants import ECA_DISCONN
from ._errors import CaChannelException
from ._info import description
from ._strings import form

Channels = dict[str, Union[ca.chid, CaChannelException]]
"""The channels of PVs, or the exceptions that connecting has come to."""


def read_plain(
    names: list[str], channels: Channels, as_string: bool, count: int | None, as_numpy: bool, deadline: float
) -> list[Any]:
    """A value for each name, or the exception that its read has come to; all are read at once."""
    forms = {
        name: form(name, ca.field_type(chid), ca.element_count(chid), as_string)
        for name, chid in channels.items()
        if not isinstance(chid, CaChannelException)
    }

    def request(name: str) -> Request | CaChannelException:
        chid = channels[name]
        if isinstance(chid, CaChannelException):
            return chid
        return Request(name, chid, forms[name].plain(), count, as_numpy)

    def shown(name: str, result: Any) -> Any:
        if isinstance(result, CaChannelException):
            return result
        convert = forms[name].convert
        return result if convert is None else convert(result["pv_value"], result)

    results = read([request(name) for name in names], deadline)
    return [shown(*pair) for pair in zip(names, results)]


def describe(names: list[str], channels: Channels, deadline: float) -> list[Any]:
    """Prints what is known of each; None for each, or the exception that its read has come to."""

    def request(name: str) -> Request | CaChannelException | None:
        chid = channels[name]
        if isinstance(chid, CaChannelException):
            return None if chid.status == ECA_DISCONN else chid
        if not ca.read_access(chid):
            return None
        # An empty array has an alarm, but no first element.
        count = min(ca.element_count(chid), 2)
        return Request(name, chid, ca.dbf_type_to_DBR_CTRL(ca.field_type(chid)), count, False)

    results: list[Any] = []
    for name, result in zip(names, read([request(name) for name in names], deadline)):
        if isinstance(result, CaChannelException):
            results.append(result)
            continue
        chid = channels[name]
        print(description(name, None if isinstance(chid, CaChannelException) else chid, result))
        results.append(None)
    return results
