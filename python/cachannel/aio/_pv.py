"""The class :class:`PV` of event loops."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from .. import _ca, ca
from .._constants import DBE_ALARM, DBE_PROPERTY, DBE_VALUE, ECA_BADCOUNT, ECA_CHANDESTROY, ECA_DISCONN, ECA_TIMEOUT
from .._errors import CaChannelValueError
from .._strings import is_long_string
from .._value_specs import FORMAT_TIME, checked_mask, type_to_read, value_spec
from ..values import is_value
from ._connecting import connected
from ._functions import caput
from ._loop import Channel, LoopState, settle_future, state
from ._nothing import CANothing, raised
from ._requests import DEFAULT_TIMEOUT, Timeout, deadline_of

if TYPE_CHECKING:
    from ..values import Value

Policy = Literal["all", "latest", "drop_oldest"]


class PV:
    """One PV in an event loop.

    >>> import asyncio
    >>> from cachannel import aio
    >>> async def main():
    ...     async with aio.PV("catest") as test:
    ...         await test.put(2.5, wait=True)
    ...         value = await test.get()
    ...         print(value + 1, value.units)
    >>> asyncio.run(main())
    3.5 mm

    It connects by itself, and again whenever its IOC comes back. ``async with`` waits for the connection, and closes
    the updates at its end. It belongs to the event loop that runs when it is made.

    :param name: name of the PV.
    :param timeout: seconds that methods wait where they are not told otherwise; None for no limit.
    """

    def __init__(self, name: str, *, timeout: Timeout = DEFAULT_TIMEOUT) -> None:
        self._here = state()
        self._timeout = timeout
        self._name = name
        self._here.channel(name)
        self._updates: weakref.WeakSet[Updates] = weakref.WeakSet()
        ca.flush_io()

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def connected(self) -> bool:
        """Whether it is connected now."""
        return self._channel.connected

    @property
    def host(self) -> str:
        """Its server: name and port; ``<disconnected>`` where it is not connected."""
        return ca.host_name(self._channel.chid) if self.connected else "<disconnected>"

    @property
    def count(self) -> int:
        """Elements that it can hold; 0 where it is not connected."""
        return ca.element_count(self._channel.chid)

    @property
    def _channel(self) -> Channel:
        return self._here.channel(self._name)

    async def connect(self, timeout: Timeout | Literal["default"] = "default") -> None:
        """Awaits the connection.

        :raises CANothing: ECA_TIMEOUT where no server has answered in time.
        """
        await self._connect(self._deadline(timeout))

    async def get(
        self,
        *,
        as_string: bool = False,
        count: int | None = None,
        datatype: Any = None,
        timeout: Timeout | Literal["default"] = "default",
    ) -> Value:
        """Reads the value, with time, alarm and properties. See ca_array_get_callback.

        :param as_string: an enum as the name of its state (its number where that has none), a CHAR array as the text
            in it.
        :param count: elements to read at most; as many as there are where None.
        :param datatype: another type than the PV's own.
        :param timeout: seconds for all of it; the PV's by default, None for no limit.
        :raises CANothing: as :func:`caget` does.
        """
        deadline = self._deadline(timeout)
        channel = await self._connect(deadline)
        reads = _ca.read_values([channel.chid], self._spec(as_string, count, datatype), [channel.properties])
        await self._here.until(reads, deadline)
        result: Any = reads.results()[0]
        if is_value(result):
            return result  # type: ignore[no-any-return]  # to checkers, a Value is Any
        raise raised(CANothing(self._name, int(result)))

    async def put(
        self,
        value: Any,
        *,
        wait: bool = False,
        datatype: Any = None,
        timeout: Timeout | Literal["default"] = "default",
    ) -> None:
        """Writes the value; with `wait`, awaits that the processing is complete. As :func:`caput`."""
        limit = self._timeout if timeout == "default" else timeout
        await caput(self._name, value, datatype=datatype, wait=wait, timeout=limit)

    async def wait_for(self, wanted: Any, timeout: Timeout | Literal["default"] = "default") -> Value:
        """Awaits that the value is what is wanted. Each update is looked at.

        :param wanted: a value, or a function of one that says whether it is. A str is compared with the text of the
            value.
        :returns: the value that was wanted.
        :raises CANothing: ECA_TIMEOUT where it has not come in time, ECA_CHANDESTROY where the PV is closed meanwhile.
            What the function raises.
        """
        deadline = self._deadline(timeout)
        updates = self.updates(as_string=isinstance(wanted, str))
        try:
            while True:
                if not await updates._until(deadline):
                    raise raised(CANothing(self._name, ECA_CHANDESTROY if updates._closed else ECA_TIMEOUT))
                value: Value = updates._waiting.popleft()
                if wanted(value) if callable(wanted) else value == wanted:
                    return value
        finally:
            updates.close()

    def updates(
        self,
        *,
        policy: Policy = "all",
        maxsize: int = 0,
        as_string: bool = False,
        count: int | None = None,
        datatype: Any = None,
        mask: int = DBE_VALUE | DBE_ALARM | DBE_PROPERTY,
        notify_disconnect: bool = False,
    ) -> Updates:
        """The values, now and whenever they change, for ``async for``. See ca_create_subscription.

        :param policy: what becomes of updates that come while the loop's body runs: ``"all"`` are kept, however many
            (of those that come while the event loop stands still, the newest 32,768 or 96 MiB); only the ``"latest"``
            is; or the oldest are dropped (``"drop_oldest"``) where more than `maxsize` wait.
            ``dropped`` counts.
        :param maxsize: for ``"drop_oldest"``.
        :param mask: which changes are updates: ``DBE_VALUE``, ``DBE_LOG``, ``DBE_ALARM``, ``DBE_PROPERTY``, added.
        :param notify_disconnect: a disconnect is a :class:`CANothing` (ECA_DISCONN) among the values.
        :param as_string: as for :meth:`get`, and so are `count` and `datatype`.
        """
        if policy not in ("all", "latest", "drop_oldest"):
            raise CaChannelValueError(
                ECA_BADCOUNT, self._name, f'a policy is "all", "latest" or "drop_oldest", not {policy!r}'
            )
        if (policy == "drop_oldest") != (maxsize > 0):
            detail = 'maxsize is how many updates wait at most with policy="drop_oldest", which needs it'
            raise CaChannelValueError(ECA_BADCOUNT, self._name, detail)
        spec = self._spec(as_string, count, datatype)
        limit = {"all": None, "latest": 1, "drop_oldest": maxsize}[policy]
        self._here.running()
        updates = Updates(self._here, self._channel, spec, checked_mask(mask, self._name), limit, notify_disconnect)
        self._updates.add(updates)
        return updates

    def close(self) -> None:
        """Ends the updates that are iterated over. The PV stays connected, for others and for the next call."""
        for updates in list(self._updates):
            updates.close()

    async def __aenter__(self) -> PV:
        await self.connect()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = f"connected to {self.host}" if self.connected else "not connected"
        return f"<aio.PV {self._name!r} {where}>"

    def _deadline(self, timeout: Timeout | Literal["default"]) -> float | None:
        return deadline_of(self._timeout if timeout == "default" else timeout)

    async def _connect(self, deadline: float | None) -> Channel:
        channel = (await connected(self._here, [self._name], deadline))[0]
        if isinstance(channel, CANothing):
            raise raised(channel)
        return channel

    def _spec(self, as_string: bool, count: int | None, datatype: Any) -> _ca.ValueSpec:
        texts = as_string or is_long_string(self._name)
        number = type_to_read(datatype, self._name)
        return value_spec(FORMAT_TIME, number, count, texts=texts, state_texts=as_string, aio=True)


class Updates:
    """The values of a PV, now and whenever they change: what :meth:`PV.updates` returns, for ``async for``.

    It ends when it is closed, when the PV is, or when nobody refers to it.
    """

    def __init__(
        self,
        here: LoopState,
        channel: Channel,
        spec: _ca.ValueSpec,
        mask: int,
        limit: int | None,
        notify_disconnect: bool,
    ) -> None:
        self._here = here
        self._channel = channel
        self._waiting: deque[Any] = deque()
        self._limit = limit
        self._dropped = 0
        self._notify_disconnect = notify_disconnect
        # Of each task that waits for a value: several may iterate, and each value goes to one of them.
        self._waiters: list[asyncio.Future[bool]] = []
        self._closed = False
        own = weakref.ref(self)

        def came(value: Any) -> None:
            updates = own()
            if updates is not None:
                updates._came(value)

        self._evid = _ca.subscribe_values(channel.chid, came, spec, mask, channel.properties, latest_only=limit == 1)
        self._listener = _Listener(own)
        channel.listeners.add(self._listener)
        ca.flush_io()

    @property
    def dropped(self) -> int:
        """Updates that were dropped so far."""
        return self._dropped + _ca.dropped(self._evid)

    def close(self) -> None:
        """Ends it: a loop over it ends, whatever is left. It may be called in any thread. See ca_clear_subscription."""
        if self._closed:
            return
        self._closed = True
        self._channel.listeners.discard(self._listener)
        ca.clear_subscription(self._evid)
        ca.flush_io()
        if self._waiters:
            self._here.in_loop(self._wake)

    def __del__(self) -> None:
        if hasattr(self, "_listener"):
            self.close()

    def __aiter__(self) -> Updates:
        return self

    async def __anext__(self) -> Value:
        if not await self._until(None):
            raise StopAsyncIteration
        return self._waiting.popleft()  # type: ignore[no-any-return]  # a Value, or a CANothing

    def batches(self) -> AsyncIterator[list[Value]]:
        """All that has gathered, list by list: ``async for batch in pv.updates().batches()``."""
        return _Batches(self)

    async def _until(self, deadline: float | None) -> bool:
        """Awaits that a value is there; False where it is closed, or late."""
        loop = self._here.running()
        while not self._closed:
            if self._waiting:
                return True
            if deadline is not None and loop.time() >= deadline:
                return False
            waiter: asyncio.Future[bool] = loop.create_future()
            self._waiters.append(waiter)
            timer = None if deadline is None else loop.call_at(deadline, settle_future, waiter, False)
            try:
                # Between the last look and here, another thread may have closed it.
                if not self._closed:
                    await waiter
            finally:
                self._waiters.remove(waiter)
                if timer is not None:
                    timer.cancel()
        return False

    def _came(self, value: Any) -> None:
        if self._limit is not None and len(self._waiting) >= self._limit:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(value)
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            settle_future(waiter, True)

    def _connection_changed(self, connected: bool) -> None:
        if not connected and self._notify_disconnect:
            self._came(CANothing(self._channel.name, ECA_DISCONN))


class _Batches:
    """The values of some updates, list by list. (An asynchronous generator that is left needs a task to end in.)"""

    def __init__(self, updates: Updates) -> None:
        self._updates = updates

    def __aiter__(self) -> _Batches:
        return self

    async def __anext__(self) -> list[Value]:
        if not await self._updates._until(None):
            raise StopAsyncIteration
        batch = list(self._updates._waiting)
        self._updates._waiting.clear()
        return batch


class _Listener:
    """Tells updates of the connection, and does not keep them."""

    def __init__(self, updates: weakref.ref[Updates]) -> None:
        self._updates = updates

    def connection_changed(self, connected: bool) -> None:
        updates = self._updates()
        if updates is not None:
            updates._connection_changed(connected)

    def loop_ends(self) -> None:
        pass

    def close(self) -> None:
        updates = self._updates()
        if updates is not None:
            updates.close()
