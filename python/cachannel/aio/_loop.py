"""What each event loop has: its channels, and the queue of their events."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from .. import _ca, ca
from .._enums import CA_OP, ChannelState


class Listener(Protocol):
    """What is told of a channel's connection, in the loop's thread."""

    def connection_changed(self, connected: bool) -> None: ...

    def loop_ends(self) -> None: ...

    def close(self) -> None: ...


class Arrival(Protocol):
    """What is told once that a channel has connected, or was closed, in any thread."""

    def arrived(self, channel: Channel) -> None: ...


class Channel:
    """The channel of one PV in one event loop. All its events are delivered by the loop's thread."""

    def __init__(self, name: str, queue: _ca.LoopQueue) -> None:
        self.name = name
        self.listeners: set[Listener] = set()
        self.arrivals: set[Arrival] = set()
        self._properties: _ca.Properties | None = None
        # The channel of libca must not keep this object.
        own = weakref.ref(self)

        def changed(epics_args: tuple[ca.chid, CA_OP], user_args: tuple[()]) -> None:
            channel = own()
            if channel is not None:
                channel._changed(epics_args[1] == CA_OP.CONN_UP)

        self.chid = _ca.watch_channel(name, _ca.Own(changed), queue)

    @property
    def connected(self) -> bool:
        return ca.state(self.chid) == ChannelState.CONN

    @property
    def is_closed(self) -> bool:
        """It was purged, or its context is gone."""
        return ca.state(self.chid) == ChannelState.CLOSED

    @property
    def properties(self) -> _ca.Properties:
        """The PV's properties, which the server is asked for when they are wanted first."""
        if self._properties is None:
            self._properties = _ca.Properties(self.chid)
            ca.flush_io()
        return self._properties

    @property
    def known_properties(self) -> _ca.Properties | None:
        return self._properties

    def close(self) -> None:
        for listener in list(self.listeners):
            listener.close()
        ca.clear_channel(self.chid)
        self._arrived()

    def _changed(self, connected: bool) -> None:
        if connected:
            self._arrived()
        for listener in list(self.listeners):
            listener.connection_changed(connected)

    def _arrived(self) -> None:
        for arrival in list(self.arrivals):
            arrival.arrived(self)


class LoopState:
    """An event loop's channels, and the queue of their events. It is over when the loop is closed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # Neither this object nor the waking thread keeps the loop.
        self._loop = weakref.ref(loop)
        self.channels: dict[str, Channel] = {}
        self.waits: set[_ca.Wait] = set()
        self.is_ending = False
        self.is_over = False
        self.queue = _ca.LoopQueue(partial(_wake, self._loop, weakref.ref(self)))
        _watch_end(loop, self)

    def channel(self, name: str) -> Channel:
        """The channel of a PV; it is made, and searched for, where there is none."""
        channel = self.channels.get(name)
        if channel is None or channel.is_closed:
            channel = self.channels[name] = Channel(name, self.queue)
        return channel

    def drain(self) -> None:
        """Delivers the events that have come."""
        loop = self._loop()
        if self.queue.drain() and loop is not None:
            loop.call_soon(self.drain)

    def running(self) -> asyncio.AbstractEventLoop:
        """The loop, which has to be the one that runs in this thread."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop():
            raise RuntimeError("this object of cachannel.aio belongs to another event loop")
        return loop

    def in_loop(self, function: Callable[[], object]) -> None:
        """Calls a function in the loop's thread, now where that is this one; not at all where the loop is closed."""
        loop = self._loop()
        if loop is None or loop.is_closed():
            return
        try:
            here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is loop:
            function()
        else:
            with suppress(RuntimeError):  # it is closed at this very moment
                loop.call_soon_threadsafe(function)

    async def until(self, waiting: _ca.Wait, deadline: float | None) -> bool:
        """Awaits something that is outstanding; False where it is not done by the deadline (of the loop's clock).

        Where it is cancelled, or too late, nobody waits any more: what has not left the process is not sent.
        """
        if waiting.done:
            return True
        loop = self.running()
        future: asyncio.Future[bool] = loop.create_future()
        waiting.then(self.queue, partial(settle_future, future, True))
        self.waits.add(waiting)
        timer = None
        if deadline is not None:
            timer = loop.call_at(deadline, settle_future, future, False)
        done = False
        try:
            done = await future
        finally:
            self.waits.discard(waiting)
            if timer is not None:
                timer.cancel()
            if not done:
                waiting.cancel()
        return done

    def loop_ends(self) -> None:
        """The loop is about to be closed: what runs in it has been cancelled."""
        self.is_ending = True
        for channel in self.channels.values():
            for listener in list(channel.listeners):
                listener.loop_ends()

    def purge(self) -> None:
        """Closes all channels, with their subscriptions."""
        channels, self.channels = self.channels, {}
        for channel in channels.values():
            channel.close()

    def end(self) -> None:
        """The loop is closed, or gone: nobody waits any more."""
        if self.is_over:
            return
        self.is_over = True
        self.purge()
        # A wait refers to its future, and that to the task that awaits it: a circle that the collector does not see.
        while self.waits:
            self.waits.pop().cancel()
        self.queue.close()


def settle_future(future: asyncio.Future[bool], done: bool, _: Any = None) -> None:
    """Sets what is awaited, unless it is set, or cancelled."""
    if not future.done():
        future.set_result(done)


def _wake(loop_of: Callable[[], asyncio.AbstractEventLoop | None], state_of: Callable[[], LoopState | None]) -> bool:
    """Has the loop deliver its events; False where it is closed. Called in the waking thread."""
    loop, state = loop_of(), state_of()
    if loop is not None and state is not None:
        try:
            loop.call_soon_threadsafe(state.drain)
        except RuntimeError:
            state.end()  # the loop is closed
        else:
            return True
    return False


# How often the sentinel's timer is set: loops have limits for how far in the future it may be.
_A_DAY = 86_400.0


class _Sentinel:
    """What a loop refers to until it is closed: the callback of a timer, which a loop forgets when it is closed."""

    def __init__(self, ending: Any) -> None:
        self._ending = ending

    def __call__(self) -> None:
        asyncio.get_running_loop().call_later(_A_DAY, self)


async def _ending(state_of: Callable[[], LoopState | None]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        state = state_of()
        if state is not None:
            state.loop_ends()


def _watch_end(loop: asyncio.AbstractEventLoop, state: LoopState) -> None:
    """Has the state of the running loop know when the loop ends: there is no event for that.

    asyncio.run cancels all tasks, then closes the asynchronous generators that were begun, then the loop. After the
    second step nobody would end a new task.
    """
    ending: Any = _ending(weakref.ref(state))
    with suppress(StopIteration):
        ending.__anext__().send(None)
    sentinel = _Sentinel(ending)
    weakref.finalize(sentinel, state.end).atexit = False
    loop.call_later(_A_DAY, sentinel)


_states: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopState] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def _forked() -> None:
    global _lock
    _lock = threading.Lock()
    for inherited in list(_states.values()):
        inherited.is_over = True  # all that it has belongs to the parent
    _states.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def state() -> LoopState:
    """What the running event loop has."""
    loop = asyncio.get_running_loop()
    found = _states.get(loop)
    if found is None:
        found = LoopState(loop)
        with _lock:
            _states[loop] = found
    return found


def _all_states() -> list[LoopState]:
    with _lock:
        return list(_states.values())


def purge_channel_caches() -> None:
    """Closes the channels of all event loops, with their subscriptions. See ca_clear_channel."""
    for one in _all_states():
        one.purge()
    ca.flush_io()


class ChannelInfo:
    """A channel of the running event loop.

    :ivar name: name of the PV.
    :ivar connected: whether it is connected.
    :ivar subscriber_count: number of its subscriptions.
    """

    def __init__(self, name: str, connected: bool, subscriber_count: int) -> None:
        self.name = name
        self.connected = connected
        self.subscriber_count = subscriber_count

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        return f"<ChannelInfo {self.name!r} {state}, {self.subscriber_count} subscribers>"


def get_channel_infos() -> list[ChannelInfo]:
    """The channels of the running event loop."""
    channels = list(state().channels.values())
    return [ChannelInfo(one.name, one.connected, len(one.listeners)) for one in channels]


@atexit.register
def _at_exit() -> None:
    for one in _all_states():
        one.queue.close()
