"""`cachannel.aio.camonitor`: what is called back, when, and what ends it."""

from __future__ import annotations

import asyncio
import functools
import gc
import secrets
import sys
import threading
import time
import weakref
from typing import Any

import numpy as np
import pytest
from cachannel import CaChannel, aio, ca
from conftest import RESTART_PORT
from ioc import Ioc
from loops import run, until

# A reconnect takes libca some seconds where a beacon goes astray.
LONG = 40.0

# Each test has a loop, and so channels, of its own.
pytestmark = pytest.mark.usefixtures("circuit")


async def numbered(name: str, first: int, last: int) -> None:
    """Write these numbers, one after the other."""
    for number in range(first, last + 1):
        await aio.caput(name, number, wait=number % 5 == 0 or number == last)


class Bound:
    def __init__(self) -> None:
        self.values: list[Any] = []

    def method(self, value: Any) -> None:
        self.values.append(value)

    async def coroutine(self, value: Any) -> None:
        await asyncio.sleep(0)
        self.values.append(value)

    def __call__(self, value: Any) -> None:
        self.values.append(value)


def test_all_sorts_of_callbacks(prefix: str) -> None:
    async def main() -> None:
        name = prefix + "count"
        await aio.caput(name, 0, wait=True)
        got: dict[str, list[Any]] = {}
        bound = Bound()
        queue: asyncio.Queue[Any] = asyncio.Queue()

        def function(value: Any) -> None:
            got.setdefault("function", []).append(value)

        def with_key(key: str, value: Any) -> None:
            got.setdefault(key, []).append(value)

        async def coroutine(value: Any) -> None:
            await asyncio.sleep(0.001)
            got.setdefault("coroutine", []).append(value)

        async def async_with_key(key: str, value: Any) -> None:
            got.setdefault(key, []).append(value)

        def gives_a_future(value: Any) -> Any:
            got.setdefault("future", []).append(value)
            future = asyncio.get_running_loop().create_future()
            future.set_result(None)
            return future

        called, awaited = Bound(), Bound()
        callbacks: list[Any] = [
            function,
            coroutine,
            functools.partial(with_key, "partial"),
            functools.partial(async_with_key, "async partial"),
            bound.method,
            awaited.coroutine,
            called,
            gives_a_future,
            queue.put,
        ]
        subscriptions = [aio.camonitor(name, callback, all_updates=True) for callback in callbacks]
        assert [each.state for each in subscriptions] == [aio.Subscription.OPENING] * len(callbacks)
        await until(lambda: len(got) == 5 and bound.values and called.values and awaited.values and queue.qsize())
        assert [each.state for each in subscriptions] == [aio.Subscription.OPEN] * len(callbacks)
        await numbered(name, 1, 20)
        lists = [got[key] for key in ("function", "coroutine", "partial", "async partial", "future")]
        lists += [bound.values, awaited.values, called.values]
        expected = list(range(21))
        await until(lambda: all(each[-1] == 20 for each in lists) and queue.qsize() == 21)
        assert all(each == expected for each in lists)
        assert [queue.get_nowait() for _ in range(21)] == expected
        assert [each.dropped_callbacks for each in subscriptions] == [0] * len(callbacks)
        assert aio.get_channel_infos()[0].subscriber_count == len(callbacks)
        for each in subscriptions:
            each.close()
            each.close()
            assert each.state == each.CLOSED
        assert aio.get_channel_infos()[0].subscriber_count == 0
        await numbered(name, 21, 22)
        await aio.caget(name)
        assert all(each == expected for each in lists)

    run(main())


def test_several_pvs_with_their_index(prefix: str) -> None:
    async def main() -> None:
        names = [prefix + "plain", prefix + "count", prefix + "cawave"]
        await aio.caput(names, [1, 2, [3]], wait=True)
        seen: list[tuple[Any, int]] = []
        subscriptions = aio.camonitor(names, lambda value, index: seen.append((value, index)), count=-1)
        await until(lambda: len(seen) == 3)
        by_index = sorted(seen, key=lambda pair: pair[1])
        assert [index for _, index in by_index] == [0, 1, 2]
        assert (by_index[0][0], by_index[1][0], by_index[2][0].tolist()) == (1, 2, [3, 0, 0, 0, 0])
        assert [each.name for each in subscriptions] == names
        seen.clear()
        await aio.caput(names[1], 5, wait=True)
        await until(lambda: seen)
        assert seen == [(5, 1)]
        for each in subscriptions:
            each.close()

    run(main())


def test_all_updates_loses_nothing(prefix: str) -> None:
    """10,000 numbered updates, in order, with a loop that has other things to do as well."""
    count = 10_000

    async def main() -> None:
        name = prefix + "count"
        await aio.caput(name, 0, wait=True)
        plain: list[int] = []
        awaited: list[int] = []

        async def slowly(value: int) -> None:
            awaited.append(value)
            if value % 100 == 0:
                await asyncio.sleep(0.001)

        subscriptions = [aio.camonitor(name, each, all_updates=True) for each in (plain.append, slowly)]
        await until(lambda: plain and awaited)
        for number in range(1, count + 1):
            # The server merges what it has no room for: it gets time.
            await aio.caput(name, number, wait=number % 20 == 0)
            if number % 1000 == 0:
                time.sleep(0.02)  # a loop that is busy
        await until(lambda: plain[-1] == awaited[-1] == count)
        assert plain == awaited == list(range(count + 1))
        assert [each.dropped_callbacks for each in subscriptions] == [0, 0]
        for each in subscriptions:
            each.close()

    run(main())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_updates_are_merged(prefix: str, kind: str) -> None:
    """Without all_updates, what comes before the callback can be called is merged into the newest, and counted."""

    async def main() -> None:
        name = prefix + "count"
        await aio.caput(name, 0, wait=True)
        seen: list[int] = []
        goes_on = asyncio.Event()

        async def held(value: int) -> None:
            seen.append(value)
            await goes_on.wait()

        subscription = aio.camonitor(name, held if kind == "async" else seen.append)
        await until(lambda: seen)
        assert subscription.dropped_callbacks == 0
        if kind == "async":
            # Each of these is delivered while the first callback is awaited.
            other: list[int] = []
            watch = aio.camonitor(name, other.append, all_updates=True)
            await numbered(name, 1, 10)
            await until(lambda: other and other[-1] == 10)
            watch.close()
            assert seen == [0]
            goes_on.set()
        else:
            # The loop does not run while these come.
            with CaChannel(name) as channel:
                channel.setTimeout(10)
                for number in range(1, 11):
                    channel.putw(number)
                channel.getw()
        await until(lambda: seen[-1] == 10)
        assert seen == [0, 10]
        assert subscription.dropped_callbacks == 9
        subscription.close()
        assert subscription.dropped_callbacks == 9

    run(main())


def test_a_callback_is_not_called_again_before_it_is_done(prefix: str) -> None:
    async def main() -> None:
        name = prefix + "count"
        running = most = 0
        seen: list[int] = []

        async def callback(value: int) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1
            seen.append(value)

        subscription = aio.camonitor(name, callback, all_updates=True)
        await numbered(name, 1, 30)
        await until(lambda: seen and seen[-1] == 30)
        assert most == 1
        subscription.close()

    run(main())


@pytest.mark.parametrize("kind", ["sync", "async", "later", "async later"])
def test_a_callback_that_raises_ends_its_subscription(
    prefix: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        name = prefix + "count"
        await aio.caput(name, 0, wait=True)
        seen: list[int] = []
        last = 1 if "later" in kind else 0

        def boom(value: int) -> None:
            seen.append(value)
            if len(seen) > last:
                raise ValueError("Boom")

        async def async_boom(value: int) -> None:
            await asyncio.sleep(0)
            boom(value)

        subscription = aio.camonitor(name, async_boom if "async" in kind else boom, all_updates=True)
        await until(lambda: seen)
        await numbered(name, 1, 5)
        await until(lambda: subscription.state == subscription.CLOSED)
        await aio.caget(name)
        assert seen == list(range(last + 1))
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"Subscription {name} callback raised exception\nTraceback (most recent call last)")
        assert err.endswith(f"ValueError: Boom\nSubscription {name} closed\n")
        assert aio.get_channel_infos()[0].subscriber_count == 0

    run(main())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_closed_by_its_own_callback(prefix: str, kind: str) -> None:
    async def main() -> None:
        name = prefix + "count"
        await aio.caput(name, 0, wait=True)
        seen: list[Any] = []

        def callback(value: int) -> None:
            seen.append(value)
            if value == 2:
                subscription.close()
                seen.append("closed")

        async def async_callback(value: int) -> None:
            callback(value)
            await asyncio.sleep(0)
            seen.append("done")

        subscription = aio.camonitor(name, async_callback if kind == "async" else callback, all_updates=True)
        await until(lambda: seen)
        await numbered(name, 1, 5)
        await until(lambda: "closed" in seen)
        await aio.caget(name)
        await until(lambda: len(asyncio.all_tasks()) == 2)
        assert seen == ([0, "done", 1, "done", 2, "closed", "done"] if kind == "async" else [0, 1, 2, "closed"])
        assert not subscription.pending_values or subscription.state == subscription.CLOSED

    run(main())


def test_a_callback_that_is_awaited_is_cancelled_by_close(prefix: str) -> None:
    async def main() -> None:
        ended: list[str] = []

        async def callback(value: int) -> None:
            ended.append("called")
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        for closes in (False, True):
            subscription = aio.camonitor(prefix + "count", callback)
            await until(lambda: ended == ["called"])
            if closes:
                subscription.close()
            else:
                aio.purge_channel_caches()
            await until(lambda: ended == ["called", "cancelled"])
            assert subscription.state == subscription.CLOSED
            ended.clear()

    run(main())


def test_closed_by_another_thread(prefix: str) -> None:
    async def main() -> None:
        name = prefix + "count"
        loop = asyncio.get_running_loop()
        loop.set_debug(True)  # complains about what is not done in the loop's thread
        cancelled: list[int] = []
        problems: list[Any] = []
        loop.set_exception_handler(lambda loop, context: problems.append(context))

        async def callback(value: int) -> None:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                cancelled.append(value)
                raise

        for number in range(20):
            subscription = aio.camonitor(name, callback, connect_timeout=10)
            if number % 2:
                await until(lambda of=subscription: of.state == of.OPEN)  # type: ignore[misc]
            threads = [threading.Thread(target=subscription.close) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                await loop.run_in_executor(None, thread.join)
            assert subscription.state == subscription.CLOSED
        await until(lambda: len(asyncio.all_tasks()) == 2)
        await aio.caget(name)
        assert aio.get_channel_infos()[0].subscriber_count == 0
        assert problems == []

    run(main())


def test_time_limit_for_connecting() -> None:
    async def main() -> None:
        seen: list[Any] = []
        queue: asyncio.Queue[Any] = asyncio.Queue()
        absolute = time.time() + 0.2
        subscriptions = [
            aio.camonitor("no:such:pv", seen.append, connect_timeout=0.2),
            aio.camonitor("no:such:pv", queue.put, connect_timeout=(absolute,)),
            aio.camonitor("no:such:pv", seen.append),
        ]
        began = time.monotonic()
        await until(lambda: seen and queue.qsize())
        assert time.monotonic() - began > 0.1
        for value in (seen[0], queue.get_nowait()):
            assert (value.ok, value.errorcode, value.name) == (False, ca.ECA_TIMEOUT, "no:such:pv")
        assert len(seen) == 1
        assert [each.state for each in subscriptions] == [aio.Subscription.OPENING] * 3
        for each in subscriptions:
            each.close()

    run(main())


def test_it_goes_on_after_a_restart(own_ioc: Ioc) -> None:
    name = own_ioc.prefix + "catest"

    async def main() -> None:
        seen: list[Any] = []
        told: list[Any] = []
        updates: list[Any] = []
        subscription = aio.camonitor(name, seen.append, format=aio.FORMAT_TIME, notify_disconnect=True)
        silent = aio.camonitor(name, told.append)
        pv = aio.PV(name)

        async def iterate() -> None:
            async for value in pv.updates(notify_disconnect=True):
                updates.append(value)
                if len(updates) == 3:
                    break

        task = asyncio.ensure_future(iterate())
        await until(lambda: seen and told and updates)
        own_ioc.kill()
        await until(lambda: len(seen) == 2, LONG)
        gone = seen[1]
        assert (gone.ok, gone.errorcode, gone.name) == (False, ca.ECA_DISCONN, name)
        assert len(told) == 1
        info = await aio.cainfo(name, wait=False)
        assert (info.state_strings[info.state], info.datatype) == ("previously connected", 7)
        assert str(info).endswith(
            "Host: <disconnected>\n    Access: False, False\n    Data type: no access\n    Count: 0"
        )
        assert not aio.get_channel_infos()[0].connected
        assert repr(pv) == f"<aio.PV '{name}' not connected>"
        failed = await aio.caget(name, throw=False, timeout=0.2)
        assert failed.errorcode == ca.ECA_TIMEOUT
        own_ioc.start()
        await until(lambda: len(seen) >= 3 and len(told) >= 2, LONG)
        assert seen[2] == told[1] == 0
        assert seen[2].ok
        await asyncio.wait_for(task, LONG)
        assert [value.ok for value in updates] == [True, False, True]
        assert subscription.state == subscription.OPEN
        subscription.close()
        silent.close()

    run(main(), 3 * LONG)


@pytest.mark.timeout(120)
def test_made_before_its_ioc(prefix: str) -> None:
    async def main(server: Ioc) -> None:
        name = server.prefix + "cabo"
        seen: list[Any] = []
        texts: list[Any] = []
        subscription = aio.camonitor(name, seen.append, format=aio.FORMAT_CTRL, connect_timeout=0.01)
        enum = aio.camonitor(name, texts.append, datatype=aio.DBR_ENUM_STR)
        pv = aio.PV(name)
        updates = pv.updates(as_string=True)
        waiting = asyncio.ensure_future(pv.wait_for("Done", timeout=None))
        read = asyncio.ensure_future(aio.caget([name, prefix + "calong"], timeout=LONG, throw=False))
        await until(lambda: seen)
        assert not seen[0].ok
        with pytest.raises(TimeoutError):
            await pv.get(timeout=0.1)
        server.start()  # and the loop stands still until it runs
        assert await asyncio.wait_for(waiting, LONG) == "Done"
        await until(lambda: len(seen) == 2 and texts, LONG)
        assert (seen[1], seen[1].enums, texts) == (0, ["Done", "Busy"], ["Done"])
        assert await updates.__anext__() == "Done"
        assert (await read)[0] == 0
        assert await pv.get(as_string=True) == "Done"
        subscription.close()
        enum.close()

    server = Ioc(f"b{secrets.token_hex(4)}:", RESTART_PORT, full=False, bare=False)
    with server:
        server.stop()
        run(main(server), 2 * LONG)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("cabo", {"datatype": aio.DBR_ENUM_STR}, "Done"),
        ("cabo", {"datatype": str}, "Done"),
        ("cabo", {}, 0),
        ("text", {"datatype": aio.DBR_CHAR_STR}, "seen"),
        ("text", {"datatype": aio.DBR_CHAR_BYTES}, b"seen"),
        ("text", {"count": 2}, [115, 101]),
        ("note.VAL$", {}, "note"),
        ("cawave", {"count": -1}, [1, 2, 0, 0, 0]),
        ("cawave", {}, [1, 2]),
        ("cawave", {"datatype": np.int32}, [1, 2]),
        ("cawave", {"datatype": float, "count": 1}, [1]),
        ("plain", {"datatype": int}, 3),
        ("plain", {"datatype": "U10"}, "3.000"),
    ],
)
def test_what_is_asked_for(prefix: str, name: str, arguments: dict[str, Any], expected: Any) -> None:
    async def main() -> None:
        await aio.caput([prefix + "text", prefix + "note", prefix + "plain"], ["seen", "note", 3], wait=True)
        await aio.caput(prefix + "cawave", [1, 2], wait=True)
        await aio.caput(prefix + "cabo", 0, wait=True)
        for connects_first in (False, True):
            if connects_first:
                await aio.connect(prefix + name)
            else:
                aio.purge_channel_caches()
            seen: list[Any] = []
            subscription = aio.camonitor(prefix + name, seen.append, **arguments)
            await until(seen.__len__)
            value = seen[0].tolist() if isinstance(seen[0], np.ndarray) else seen[0]
            assert (value, type(value) is list) == (expected, type(expected) is list)
            read = await aio.caget(prefix + name, **arguments)
            assert type(read) is type(seen[0])
            subscription.close()

    run(main())


def test_what_comes_along(prefix: str) -> None:
    async def main() -> None:
        name = prefix + "catest"
        await aio.caput(name, 1, wait=True)
        raw: list[Any] = []
        timed: list[Any] = []
        full: list[Any] = []
        subscriptions = [
            aio.camonitor(name, raw.append),
            aio.camonitor(name, timed.append, format=aio.FORMAT_TIME),
            aio.camonitor(name, full.append, format=aio.FORMAT_CTRL),
        ]
        await until(lambda: raw and timed and full)
        assert not hasattr(raw[0], "severity")
        assert abs(timed[0].timestamp - time.time()) < 60
        assert (full[0].units, full[0].precision, full[0].upper_disp_limit) == ("mm", 4, 20)
        # Without `events`, only FORMAT_CTRL is for changes of properties.
        await aio.caput(name + ".EGU", "um", wait=True)
        await until(lambda: full[-1].units == "um")
        await aio.caput(name + ".EGU", "mm", wait=True)
        await until(lambda: full[-1].units == "mm")
        assert len(raw) == len(timed) == 1
        # A change of the alarm alone.
        await aio.caput(name + ".HIGH", 0.5, wait=True)
        await aio.caput(name, 1, wait=True)
        await until(lambda: timed[-1].severity == ca.AlarmSeverity.Minor)
        assert len(raw) == 1
        await aio.caput(name + ".HIGH", 10, wait=True)
        await aio.caput(name, 0, wait=True)
        for each in subscriptions:
            each.close()

    run(main())


def test_events_choose_changes(prefix: str) -> None:
    async def main() -> None:
        name = prefix + "plain"
        await aio.caput(name, 1, wait=True)
        logged: list[Any] = []
        alarms: list[Any] = []
        subscriptions = [
            aio.camonitor(name, logged.append, aio.DBE_LOG),
            aio.camonitor(name, alarms.append, events=aio.DBE_ALARM),
        ]
        await until(lambda: logged and alarms)
        await aio.caput(name, 2, wait=True)
        await until(lambda: len(logged) == 2)
        assert len(alarms) == 1
        for each in subscriptions:
            each.close()

    run(main())


def test_it_lives_until_it_is_closed(prefix: str) -> None:
    """Whoever forgets it; and then nothing is kept."""

    async def main() -> None:
        name = prefix + "count"
        values: list[Any] = []

        class Callback:
            def method(self, value: Any) -> None:
                values.append(value)

        callback = Callback()
        kept = weakref.ref(callback)
        subscription = weakref.ref(aio.camonitor(name, callback.method, all_updates=True))
        del callback
        await until(lambda: values)
        gc.collect()
        await numbered(name, 1, 3)
        await until(lambda: values[-1] == 3)
        found = subscription()
        assert found is not None
        found.close()
        del found
        await aio.caget(name)
        gc.collect()
        assert subscription() is None
        assert kept() is None

    run(main())


def test_attributes(prefix: str) -> None:
    async def main() -> None:
        subscription = aio.camonitor(prefix + "plain", print, all_updates=True, notify_disconnect=True)
        assert subscription.name == prefix + "plain"
        assert subscription.callback is print
        assert (subscription.all_updates, subscription.notify_disconnect) == (True, True)
        assert (subscription.OPENING, subscription.OPEN, subscription.CLOSED) == (0, 1, 2)
        assert len(subscription.pending_values) == 0
        assert repr(subscription) == f"<Subscription to '{prefix}plain' opening>"
        subscription.close()
        assert repr(subscription) == f"<Subscription to '{prefix}plain' closed>"

    run(main())


def test_it_is_not_called_after_close(prefix: str) -> None:
    """Not even with what is on its way already."""

    async def main() -> None:
        name = prefix + "count"
        seen: list[int] = []
        subscription = aio.camonitor(name, seen.append, all_updates=True)
        await until(lambda: seen)
        with CaChannel(name) as channel:  # the loop does not run meanwhile
            channel.setTimeout(10)
            for number in range(10):
                channel.putw(number)
            channel.getw()
        count = len(seen)
        subscription.close()
        await aio.caget(name)
        assert len(seen) == count

    run(main())


def test_a_burst_reaches_the_loop_in_batches(many: list[str]) -> None:
    """One call_soon_threadsafe for all that has gathered, however many it is."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        seen: list[int] = []
        subscriptions = aio.camonitor(many, lambda value, index: seen.append(value), all_updates=True)
        await until(lambda: len(seen) == len(many))
        calls = 0
        original = loop.call_soon_threadsafe

        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            return original(*args, **kwargs)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
        seen.clear()
        rounds = 1_000 // len(many) + 1
        with CaChannel(many[0]) as channel:  # the loop does not run meanwhile
            channel.setTimeout(10)
            channel.searchw()
            for number in range(rounds):
                for name in many:
                    status = ca.put(CHIDS[name], 1000 + number)
                    assert status == ca.ECA_NORMAL
                ca.flush_io()
                assert read_back(many[-1]) == 1000 + number
            channel.getw()
        burst = rounds * len(many)
        assert calls == 1
        await until(lambda: len(seen) == burst)
        assert burst >= 1_000
        # The last of it may have come while the first was delivered; and `until` is no call of this kind.
        assert calls <= 3, calls
        del loop.call_soon_threadsafe
        for each in subscriptions:
            each.close()

    CHIDS = {}
    for name in many:
        CHIDS[name] = ca.create_channel(name)[1]
    assert ca.pend_io(10) == ca.ECA_NORMAL

    def read_back(name: str) -> Any:
        status, value = ca.get(CHIDS[name])
        assert status == ca.ECA_NORMAL
        assert ca.pend_io(10) == ca.ECA_NORMAL
        return value.get()

    run(main())
    for chid in CHIDS.values():
        ca.clear_channel(chid)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="TaskGroup")
def test_a_callback_may_use_the_loop(prefix: str) -> None:
    """It starts tasks, reads and subscribes."""

    async def main() -> None:
        name = prefix + "count"
        read: list[Any] = []
        more: list[Any] = []

        async def look() -> None:
            read.append(await aio.caget(name))

        async with asyncio.TaskGroup() as group:

            def callback(value: int) -> None:
                group.create_task(look())
                more.append(aio.camonitor(prefix + "plain", more.append))

            subscription = aio.camonitor(name, callback)
            await until(lambda: read and len(more) >= 2)
            subscription.close()
        for each in more:
            if isinstance(each, aio.Subscription):
                each.close()

    run(main())
