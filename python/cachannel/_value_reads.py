"""Reads of PVs by name whose values carry what came along: what ``caget`` does with a format."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from . import _ca, ca
from ._connections import TIME_TO_ANSWER, remaining
from ._enums import DBF
from ._errors import CaChannelException, failure
from ._strings import is_long_string
from ._value_specs import FORMAT_CTRL, value_spec
from .values import is_value


def read_values(
    names: list[str],
    channels: dict[str, ca.chid | CaChannelException],
    form: int,
    as_string: bool,
    count: int | None,
    deadline: float,
) -> list[Any]:
    """A value for each name, or the exception that its read has come to; all are read at once.

    `count`: as of ``caget``: all that a PV can hold where None, as many as it holds now where 0.
    """
    results: list[Any] = [channels[name] for name in names]
    there = [place for place, one in enumerate(results) if not isinstance(one, CaChannelException)]
    if len(there) < len(names):
        # PVs that did not connect have used up the time; the others get a minimum nevertheless.
        deadline = max(deadline, time.monotonic() + TIME_TO_ANSWER)
    sent = [
        _send(places, results, form, as_string, -1 if count is None else count, texts)
        for texts, places in _by(lambda place: as_string or is_long_string(names[place]), there)
    ]
    for places, reads in sent:
        if not reads.wait(remaining(deadline)):
            reads.cancel()
        for place, result in zip(places, reads.results()):
            results[place] = result if is_value(result) else failure(int(result), names[place])
    return results


def _by(is_text: Callable[[int], bool], places: list[int]) -> list[tuple[bool, list[int]]]:
    """The places of the PVs whose CHAR arrays are wanted as texts, and those of the others, as far as there are any."""
    groups: dict[bool, list[int]] = {}
    for place in places:
        groups.setdefault(is_text(place), []).append(place)
    return list(groups.items())


def _send(
    places: list[int], chids: list[ca.chid], form: int, as_string: bool, count: int, texts: bool
) -> tuple[list[int], _ca.Reads]:
    asked = [chids[place] for place in places]
    spec = value_spec(form, None, count, texts=texts, state_texts=as_string)
    properties = None
    if as_string and form != FORMAT_CTRL:
        # The names of an enum's states do not come along.
        properties = [_ca.Properties(chid, follow=False) if _is_enum(chid) else None for chid in asked]
    return places, _ca.read_values(asked, spec, properties)


def _is_enum(chid: ca.chid) -> bool:
    return ca.field_type(chid) == DBF.ENUM
