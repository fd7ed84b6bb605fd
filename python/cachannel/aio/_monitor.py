"""Subscriptions whose callbacks run in the event loop."""

from __future__ import annotations

import asyncio
import inspect
import sys
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, overload

from .. import _ca, ca
from .._constants import DBE_ALARM, DBE_PROPERTY, DBE_VALUE, ECA_DISCONN, ECA_TIMEOUT
from .._enums import DBF, DBR
from .._value_specs import FORMAT_CTRL, FORMAT_RAW, FORMAT_TIME, checked_format, checked_mask
from ._loop import LoopState, state
from ._nothing import CANothing
from ._requests import DBR_ENUM_STR, Names, Timeout, deadline_of, names_of, spec_of

_EVENTS = {
    FORMAT_RAW: DBE_VALUE,
    FORMAT_TIME: DBE_VALUE | DBE_ALARM,
    FORMAT_CTRL: DBE_VALUE | DBE_ALARM | DBE_PROPERTY,
}

Callback = Callable[[Any], object]
"""``callback(value)``; a coroutine function, or one that returns another awaitable, is awaited."""


class Subscription:
    """A subscription that :func:`camonitor` has made. The subscription lives until somebody closes it, also where
    nobody refers to it.

    :ivar name: name of the PV.
    :ivar callback: what is called with each value.
    :ivar all_updates: whether each update calls back; where not, the newest of those that came meanwhile.
    :ivar notify_disconnect: whether a disconnect calls back, with a :class:`CANothing`.
    :ivar state: ``OPENING`` until the PV is connected for the first time, ``OPEN``, ``CLOSED``.
    """

    OPENING = 0
    OPEN = 1
    CLOSED = 2

    def __init__(
        self,
        name: str,
        callback: Callback,
        events: int | None,
        datatype: Any,
        format: int,
        count: int,
        all_updates: bool,
        notify_disconnect: bool,
        connect_timeout: Timeout,
    ) -> None:
        self.name = name
        self.callback = callback
        self.all_updates = all_updates
        self.notify_disconnect = notify_disconnect
        self.state = self.OPENING
        self.pending_values: deque[Any] = deque(maxlen=None if all_updates else 1)
        self._dropped = 0
        self._evid: ca.evid | None = None
        self._is_async: bool | None = None
        self._task: asyncio.Future[Any] | None = None
        mask = _EVENTS[checked_format(format)] if events is None else events
        self._mask = checked_mask(mask, name)
        self._request = (datatype, format, count)
        spec_of(name, datatype, format, count)  # raises for what cannot be asked for
        self._here: LoopState = state()
        loop = self._here.running()
        self.channel = self._here.channel(name)
        self.channel.listeners.add(self)
        self._timer: asyncio.TimerHandle | None = None
        if self.channel.connected:
            self._start()
            loop.call_soon(self._opened)
            return
        # The PV's type is known when it connects, which this subscription is told.
        limit = deadline_of(connect_timeout)
        if limit is not None:
            self._timer = loop.call_at(limit, self._not_connected)
        if datatype != DBR_ENUM_STR:
            self._start()
        ca.flush_io()

    @property
    def dropped_callbacks(self) -> int:
        """Updates that were dropped, as a newer one came before the callback was called with them."""
        return self._dropped + (0 if self._evid is None else _ca.dropped(self._evid))

    def close(self) -> None:
        """Ends it: the callback is not called after this. One that is awaited is cancelled, unless it closes itself.

        It may be called in any thread. See ca_clear_subscription.
        """
        if self.state == self.CLOSED:
            return
        # Before the look at _evid: see _start.
        self.state = self.CLOSED
        self.channel.listeners.discard(self)
        self._clear()
        if self._timer is not None or self._task is not None:
            self._here.in_loop(self._stop)

    def _clear(self) -> None:
        if self._evid is not None:
            ca.clear_subscription(self._evid)
            ca.flush_io()

    def _stop(self) -> None:
        self._stop_timer()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def __repr__(self) -> str:
        return f"<Subscription to {self.name!r} {('opening', 'open', 'closed')[self.state]}>"

    def connection_changed(self, connected: bool) -> None:
        """The PV has connected or disconnected; called by its channel."""
        if self.state == self.CLOSED:
            return
        if connected:
            self._stop_timer()
            if self._evid is None:
                self._start()
            self._opened()
        elif self.notify_disconnect:
            self._came(CANothing(self.name, ECA_DISCONN))

    def _start(self) -> None:
        datatype, form, count = self._request
        if datatype == DBR_ENUM_STR:
            datatype = DBR.STRING if ca.field_type(self.channel.chid) == DBF.ENUM else None
        self._evid = _ca.subscribe_values(
            self.channel.chid,
            self._came,
            spec_of(self.name, datatype, form, count),
            self._mask,
            latest_only=not self.all_updates,
        )
        ca.flush_io()
        if self.state == self.CLOSED:  # meanwhile, by another thread
            self._clear()

    def _opened(self) -> None:
        if self.state == self.OPENING:
            self.state = self.OPEN

    def _stop_timer(self) -> None:
        # A timer keeps the loop.
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _not_connected(self) -> None:
        self._timer = None
        if self.state == self.OPENING and not self.channel.connected:
            self._came(CANothing(self.name, ECA_TIMEOUT))

    def _came(self, value: Any) -> None:
        """A value, or what stands for one."""
        if self.state == self.CLOSED:
            return
        if self._is_async is False:
            try:
                self.callback(value)
            except Exception as error:
                self._failed(error)
            return
        if not self.all_updates and self.pending_values:
            self._dropped += 1
        self.pending_values.append(value)
        if self._task is None:
            self._call()

    def _call(self) -> None:
        """Calls back with what is pending, until a callback has to be awaited."""
        while self.pending_values and self.state != self.CLOSED:
            if self._is_async and self._here.is_ending:
                return self.close()
            try:
                result: Any = self.callback(self.pending_values.popleft())
            except Exception as error:
                return self._failed(error)
            is_awaitable = inspect.isawaitable(result)
            if self._is_async is None:
                self._is_async = is_awaitable
            if is_awaitable and self._is_async:
                self._task = asyncio.ensure_future(result)
                self._task.add_done_callback(self._done)
                return None
        return None

    def _done(self, task: asyncio.Future[Any]) -> None:
        """A callback that was awaited has ended."""
        self._task = None
        if task.cancelled():
            # Where asyncio.run has cancelled all tasks, the next update must not make another one.
            return self.close()
        error = task.exception()
        if error is None:
            self._call()
        elif isinstance(error, Exception):
            self._failed(error)
        return None

    def loop_ends(self) -> None:
        """Nobody would end a task that is begun now, or has begun since all were cancelled."""
        if self._is_async:
            self.close()

    def _failed(self, error: Exception) -> None:
        """A callback has raised: it is not called again."""
        print(f"Subscription {self.name} callback raised exception", file=sys.stderr)
        traceback.print_exception(type(error), error, error.__traceback__)
        print(f"Subscription {self.name} closed", file=sys.stderr)
        self.close()


@overload
def camonitor(
    pv: str,
    callback: Callable[[Any], object],
    events: int | None = ...,
    datatype: Any = ...,
    format: int = ...,
    count: int = ...,
    all_updates: bool = ...,
    notify_disconnect: bool = ...,
    connect_timeout: Timeout = ...,
) -> Subscription: ...
@overload
def camonitor(
    pv: Names,
    callback: Callable[[Any, int], object],
    events: int | None = ...,
    datatype: Any = ...,
    format: int = ...,
    count: int = ...,
    all_updates: bool = ...,
    notify_disconnect: bool = ...,
    connect_timeout: Timeout = ...,
) -> list[Subscription]: ...
def camonitor(
    pv: str | Names,
    callback: Callable[..., object],
    events: int | None = None,
    datatype: Any = None,
    format: int = FORMAT_RAW,
    count: int = 0,
    all_updates: bool = False,
    notify_disconnect: bool = False,
    connect_timeout: Timeout = None,
) -> Subscription | list[Subscription]:
    """Has `callback` called in the event loop with a PV's value now, and whenever it changes. See
    ca_create_subscription.

    It returns at once, and goes on after each reconnect. A callback that raises is written to standard error, and ends
    its subscription.

    :param pv: name of a PV, or several names.
    :param callback: ``callback(value)``, for several names ``callback(value, index)``; a coroutine function is awaited
        before it is called again.
    :param events: which changes call back: ``DBE_VALUE``, ``DBE_LOG``, ``DBE_ALARM``, ``DBE_PROPERTY``, added. Where
        None, DBE_VALUE, with ``FORMAT_TIME`` DBE_ALARM as well, and with ``FORMAT_CTRL`` DBE_PROPERTY, too.
    :param datatype: as for :func:`caget`, and so are `format` and `count`.
    :param all_updates: each update calls back (of those that come while the loop stands still, the newest 32,768 or 96
        MiB; ``dropped_callbacks`` counts the others). Without, those that come before the callback can be called are
        merged into the newest, and counted in ``dropped_callbacks``.
    :param notify_disconnect: a disconnect calls back with a :class:`CANothing` (ECA_DISCONN).
    :param connect_timeout: where the PV has not connected by then, calls back with a CANothing (ECA_TIMEOUT), once; the
        subscription waits on.
    :returns: a :class:`Subscription`; a list of them for several names.
    """
    names, single = names_of(pv)
    rest = (events, datatype, format, count, all_updates, notify_disconnect, connect_timeout)
    if single:
        return Subscription(names[0], callback, *rest)
    return [Subscription(name, _with_index(callback, index), *rest) for index, name in enumerate(names)]


def _with_index(callback: Callable[..., object], index: int) -> Callback:
    return lambda value: callback(value, index)
