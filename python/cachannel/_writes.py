"""Writes to several PVs at once."""

from __future__ import annotations

import numbers
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

from . import _ca, ca
from ._connections import AT_ONCE, remaining
from ._constants import ECA_BADCOUNT, ECA_NORMAL, ECA_PUTFAIL, ECA_STRTOBIG, ECA_TIMEOUT
from ._enums import DBF
from ._errors import CaChannelException, CaChannelValueError
from ._strings import is_long_string
from ._write_errors import write_failed

Target = tuple[str, Any, Any]
"""The name of a PV, its chid (or the exception that connecting came to), and the value for it."""


def one_each(value: Any, number: int) -> list[Any]:
    """A value for each of so many PVs: those of a sequence, or a single one for all."""
    is_sequence = hasattr(value, "__len__") and hasattr(value, "__getitem__") and getattr(value, "ndim", 1) > 0
    if isinstance(value, (str, bytes, bytearray)) or not is_sequence:
        return [value] * number
    if len(value) != number:
        detail = f"{number} PVs need {number} values, or a single one for all, not {len(value)}"
        raise CaChannelValueError(ECA_BADCOUNT, None, detail)
    values = list(islice(iter(value), number))
    if len(values) != number:
        raise CaChannelValueError(ECA_BADCOUNT, None, "the values changed while they were looked at")
    return values


def put(targets: list[Target], timeout: float, throw: bool) -> list[Any]:
    """Writes; True for each that was sent, an exception for each that was not. With `throw` it ends at the first such.

    `timeout`: seconds for the server to accept the state of an enum.
    """

    def send(chid: ca.chid, value: Any) -> int:
        if ca.field_type(chid) == DBF.ENUM:
            _ca.put_checked(chid, value, None, timeout)
            return ECA_NORMAL
        return ca.put(chid, value, timeout=timeout)

    results: list[Any] = []
    for target in targets:
        results.append(_sent(target, send))
        if throw and results[-1] is not True:
            break
    ca.flush_io()
    return results


def put_wait(targets: list[Target], timeout: float | None, throw: bool) -> list[Any]:
    """Writes and waits; True for each that completed, an exception for each that did not.

    With `throw` it ends at the first that could not be sent.
    """
    if len(targets) == 1:
        return [_sent_and_completed(targets[0], 0.0 if timeout is None else max(timeout, AT_ONCE))]
    deadline = None if timeout is None else time.monotonic() + timeout

    def left() -> float:
        return 0.0 if deadline is None else remaining(deadline)

    # A group for each, so that the outcome of each is known.
    groups = [_group() for _ in targets]
    try:
        results: list[Any] = []
        for target, gid in zip(targets, groups):
            results.append(_sent(target, partial(ca.sg_put, gid, timeout=left() or None)))
            if throw and results[-1] is not True:
                ca.flush_io()
                return results
        for index, (target, gid) in enumerate(zip(targets, groups)):
            if results[index] is True:
                results[index] = _completed(target, ca.sg_block(gid, left()))
        return results
    finally:
        for gid in groups:
            ca.sg_delete(gid)


def _sent_and_completed(target: Target, timeout: float) -> Any:
    """The same for one, which delivers no other callbacks while it waits."""
    name, chid, value = target
    if isinstance(chid, CaChannelException):
        return chid
    try:
        status = _ca.put_wait(chid, text_for(name, chid, value), timeout=timeout)
    except CaChannelException as error:
        return error
    return _completed(target, status)


def _group() -> int:
    status, gid = ca.sg_create()
    if gid is None:
        raise CaChannelException(status)
    return gid


def _sent(target: Target, send: Callable[[ca.chid, Any], int]) -> Any:
    """True, or the exception that it came to."""
    name, chid, value = target
    if isinstance(chid, CaChannelException):
        return chid
    try:
        status = send(chid, text_for(name, chid, value))
    except CaChannelValueError as error:
        return error
    except CaChannelException as error:
        return write_failed(ECA_PUTFAIL, name, value) if error.status == ECA_PUTFAIL else error
    return True if status == ECA_NORMAL else CaChannelException(status, name)


def _completed(target: Target, status: int) -> Any:
    """True, or the exception that it came to."""
    if status == ECA_TIMEOUT:
        return CaChannelException(status, target[0], "it was written, and may complete later")
    return True if status == ECA_NORMAL else write_failed(status, target[0], target[2])


def text_for(name: str, chid: ca.chid, value: Any) -> Any:
    """What to write to a PV: where its name ends in ``$``, a text, whole or not at all."""
    if not is_long_string(name) or ca.field_type(chid) != DBF.CHAR:
        return value
    if isinstance(value, numbers.Number):
        value = str(value)
    if isinstance(value, (str, bytes)):
        raw = value.encode(errors="replace") if isinstance(value, str) else value
        size, room = len(raw.rstrip(b"\0")), ca.element_count(chid) - 1
        if size > room:
            raise CaChannelValueError(ECA_STRTOBIG, name, f"the text has {size} bytes, and there is room for {room}")
    return value
