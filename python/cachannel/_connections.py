"""The channels of :mod:`cachannel.util`: made when a PV is first used, and kept for the next call."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any

from . import _ca, ca
from ._constants import ECA_DISCONN, ECA_IOINPROGRESS, ECA_NORMAL, ECA_TIMEOUT
from ._enums import ChannelState
from ._errors import CaChannelException
from ._not_found import not_found

Key = tuple[Any, str]
"""A context and the name of a PV: a channel belongs to the context in which it was made."""

_channels: dict[Key, ca.chid] = {}
"""Channels that have been connected."""

TIME_TO_ANSWER = 1.0
"""Seconds that PVs which have connected get to answer, where others have used up the time."""

AT_ONCE = 1e-6
"""The shortest timeout: 0 is none at all."""

# A child after fork has none of its parent's channels.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_channels.clear)


def key(name: str) -> Key:
    """The key of a PV for the calling thread, which joins the process's context where it is in none."""
    context = ca.current_context()
    if context is None:
        ca.flush_io()
        context = ca.current_context()
    return context, name


def is_connected(chid: ca.chid | None) -> bool:
    return ca.state(chid) == ChannelState.CONN


def remaining(deadline: float) -> float:
    """Seconds until the deadline; never 0, which would be for ever."""
    return max(deadline - time.monotonic(), AT_ONCE)


def wait(deadline: float, chid: ca.chid) -> None:
    """Waits for searches and reads; the caller looks at the outcome of each."""
    try:
        _ca.wait_answers(remaining(deadline), chid)
    except CaChannelException:
        # The exception is that of the first failure among many, maybe of a request that is not ours.
        return


def connect(
    names: Iterable[str], deadline: float, unfound: dict[str, ca.chid] | None = None
) -> dict[str, ca.chid | CaChannelException]:
    """Connected channels of the PVs, and an exception for each that does not connect in time, all searched at once.

    `unfound` gets the channels that have not connected, for who wants to wait for them; otherwise their search ends.
    """
    found: dict[str, ca.chid | CaChannelException] = {}
    searched: dict[str, ca.chid] = {}
    for name in dict.fromkeys(names):
        chid = _channels.get(key(name))
        if chid is not None and is_connected(chid):
            found[name] = chid
            continue
        # Also one that was lost is searched anew: libca has slowed down its own search for it by now.
        status, chid = ca.create_channel(name)
        if chid is None:
            found[name] = CaChannelException(status, name, "" if name else "a PV name must not be empty")
        else:
            searched[name] = chid
    if not searched:
        return found
    seconds = max(deadline - time.monotonic(), 0.0)
    wait(deadline, next(iter(searched.values())))
    results = {name: _searched(name, chid) for name, chid in searched.items()}
    if unfound is not None:
        unfound.update({name: searched[name] for name, result in results.items() if not isinstance(result, ca.chid)})
    missing = not_found([name for name, result in results.items() if result is None], seconds)
    found.update({name: missing[name] if result is None else result for name, result in results.items()})
    return found


def _searched(name: str, chid: ca.chid) -> ca.chid | CaChannelException | None:
    """Keeps a channel that has connected; a channel kept before goes, unless a monitor has it. None: not found."""
    before = _channels.get(key(name))
    if before is not None and is_connected(before):
        return before
    if is_connected(chid):
        _channels[key(name)] = chid
        return chid
    return None if before is None else CaChannelException(ECA_DISCONN, name)


def keep(its_key: Key, chid: ca.chid) -> None:
    """Keeps a channel that has connected late, unless there is one."""
    before = _channels.get(its_key)
    if before is None or not is_connected(before):
        _channels[its_key] = chid


def is_kept(its_key: Key, chid: ca.chid) -> bool:
    return _channels.get(its_key) is chid


class Request:
    """A read in flight."""

    def __init__(self, name: str, chid: ca.chid, req_type: int, count: int | None, use_numpy: bool) -> None:
        self.name = name
        self.chid = chid
        self.status, self._value = ca.get(chid, req_type, count, None, use_numpy, user_args=())

    def result(self) -> Any:
        """The value; an exception where the read failed or was not answered in time."""
        if self._value is None or self.status != ECA_NORMAL:
            return CaChannelException(self.status, self.name)
        try:
            return self._value.get()
        except CaChannelException as error:
            if error.status == ECA_IOINPROGRESS:
                return CaChannelException(ECA_TIMEOUT, self.name)
            return error


def read(requests: Iterable[Any], deadline: float) -> list[Any]:
    """The results, with the value of each Request in its place; other results stay as they are."""
    asked = list(requests)
    under_way = [one for one in asked if isinstance(one, Request)]
    if any(isinstance(one, CaChannelException) for one in asked):
        # PVs that did not connect have used up the time; the others get a minimum nevertheless.
        deadline = max(deadline, time.monotonic() + TIME_TO_ANSWER)
    if under_way:
        wait(deadline, under_way[0].chid)
    return [one.result() if isinstance(one, Request) else one for one in asked]
