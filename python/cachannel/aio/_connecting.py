"""PVs that are connected before they are used: all of them, or each as soon as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from .. import _ca
from .._constants import ECA_CHANDESTROY
from .._errors import CaChannelException, CaChannelTypeError, CaChannelValueError
from ._loop import Channel, LoopState, settle_future
from ._nothing import CANothing, not_found, raised

Places = list[int]
"""Which of the names that a caller gave."""


def channels_of(here: LoopState, names: list[str]) -> list[Channel | CANothing]:
    """The channels of the PVs, which are searched for, and a CANothing for each that cannot be."""
    channels: list[Channel | CANothing] = []
    for name in names:
        try:
            channels.append(here.channel(name))
        except (CaChannelTypeError, CaChannelValueError):
            raise
        except CaChannelException as error:
            channels.append(CANothing(name, int(error.status)))
    return channels


def settle(results: list[Any], single: bool, throw: bool) -> Any:
    """What a caller gets: raises the first failure where `throw`."""
    if throw:
        for result in results:
            if isinstance(result, CANothing) and not result.ok:
                raise raised(result)
    return results[0] if single else results


async def connected(here: LoopState, names: list[str], deadline: float | None) -> list[Channel | CANothing]:
    """The channels of the PVs, and a CANothing for each that does not connect in time."""
    channels = channels_of(here, names)
    chids = [channel.chid for channel in channels if isinstance(channel, Channel)]
    if chids:
        waiting = _ca.wait_for_connections(chids)
        if waiting.done:
            return channels
        await here.until(waiting, deadline)
    return [_failed(one) if isinstance(one, Channel) and not one.connected else one for one in channels]


def _failed(channel: Channel) -> CANothing:
    """Why a channel is not connected."""
    return CANothing(channel.name, ECA_CHANDESTROY) if channel.is_closed else not_found(channel.name)


async def when_connected(
    here: LoopState,
    names: list[str],
    deadline: float | None,
    throw: bool,
    send: Callable[[Places, list[Channel]], Awaitable[None]],
) -> list[Any]:
    """Has `send` called with the PVs that are connected: with `throw` once, when all are.

    Without `throw` it is called with those that are connected now, then with those that connect later: a PV that is
    missing takes nothing from the others' time.

    :returns: for each PV its channel, or a CANothing where it was not connected in time.
    """
    if throw:
        channels = await connected(here, names, deadline)
        settle(channels, False, True)
    else:
        channels = channels_of(here, names)
    ready: Places = []
    missing: dict[Channel, Places] = {}
    for place, channel in enumerate(channels):
        if isinstance(channel, Channel):
            if throw or channel.connected:
                ready.append(place)
            else:
                missing.setdefault(channel, []).append(place)
    arrivals = _Arrivals(here, missing)
    try:
        while True:
            if ready:
                await send(ready, [channels[place] for place in ready])  # type: ignore[misc]  # all in `ready` are Channels
            ready = await arrivals.next(deadline)
            if not ready:
                break
    finally:
        arrivals.close()
    for channel, places in missing.items():
        for place in places:
            channels[place] = _failed(channel)
    return channels


class _Arrivals:
    """Those of some channels that have connected, or cannot any more. All of it is used in the loop's thread."""

    def __init__(self, here: LoopState, missing: dict[Channel, Places]) -> None:
        self._here = here
        self._missing = missing
        self._arrived: Places = []
        self._waiter: asyncio.Future[bool] | None = None
        for channel in missing:
            channel.arrivals.add(self)
        self._all: _ca.Wait | None = None
        if missing:
            # Has the searches sent, too. A context that is destroyed tells nothing else of its channels.
            self._all = _ca.wait_for_connections([channel.chid for channel in missing])
            self._all.then(here.queue, self._take_all)
            here.waits.add(self._all)

    async def next(self, deadline: float | None) -> Places:
        """Awaits that some have connected; none where all have, or where it is too late."""
        if not self._arrived and self._missing:
            loop = self._here.running()
            self._waiter = loop.create_future()
            timer = None if deadline is None else loop.call_at(deadline, settle_future, self._waiter, False)
            try:
                await self._waiter
            finally:
                if timer is not None:
                    timer.cancel()
        arrived, self._arrived = self._arrived, []
        return arrived

    def arrived(self, channel: Channel) -> None:
        """It has connected, or was closed."""
        self._here.in_loop(partial(self._take, channel))

    def _take(self, channel: Channel) -> None:
        channel.arrivals.discard(self)
        self._arrived += self._missing.pop(channel, ())
        if self._waiter is not None:
            settle_future(self._waiter, True)

    def _take_all(self, _: None) -> None:
        for channel in list(self._missing):
            self._take(channel)

    def close(self) -> None:
        if self._all is not None:
            self._here.waits.discard(self._all)
            self._all.cancel()
        for channel in self._missing:
            channel.arrivals.discard(self)
