"""Class PV of `cachannel.aio`: values, updates for ``async for``, and what is left when a loop over them ends."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import Any

import pytest
from cachannel import PV, CaChannel, CaChannelValueError, aio, ca
from loops import nudged, run, until

MISSING = "no:such:pv"

# Each test has a loop, and so channels, of its own.
pytestmark = pytest.mark.usefixtures("circuit")


def write_many(name: str, first: int, last: int) -> None:
    """Write these numbers, while the event loop stands still, and wait until its updates of them are there."""
    seen: list[int] = []
    with CaChannel(name) as channel:
        channel.setTimeout(10)
        channel.searchw()
        channel.add_masked_array_event(None, None, None, lambda args, _: seen.append(args["pv_value"]))
        for number in range(first, last + 1):
            channel.putw(number)
        channel.getw()


def test_a_pv_reads_writes_and_tells_what_it_is(prefix: str) -> None:
    async def main() -> None:
        name = prefix + "catest"
        async with aio.PV(name) as pv:
            assert (pv.name, pv.connected, pv.count) == (name, True, 1)
            await pv.put(2.5, wait=True)
            value = await pv.get()
            assert (value, value.units, value.severity, value.precision) == (2.5, "mm", 0, 4)
            assert value.timestamp > 0
            assert repr(pv) == f"<aio.PV '{name}' connected to {pv.host}>"
            await pv.put(0)
            assert await pv.get() == 0
        assert await pv.get() == 0  # it stays connected
        states = aio.PV(prefix + "states")
        await states.put("three", wait=True)
        assert (await states.get(), await states.get(as_string=True)) == (3, "three")
        await states.put(0, wait=True)
        waves = aio.PV(prefix + "cawave")
        await waves.put([1, 2, 3], wait=True)
        assert (await waves.get(count=2)).tolist() == [1, 2]
        assert (await waves.get(datatype=str)).tolist() == ["1.000", "2.000", "3.000"]
        with pytest.raises(CaChannelValueError):
            await waves.put(range(6))
        with pytest.raises(aio.CANothing, match="Write access denied"):
            await aio.PV(prefix + "readonly").put(1)

    run(main())


def test_a_pv_that_is_missing() -> None:
    async def main() -> None:
        pv = aio.PV(MISSING, timeout=0.1)
        assert (pv.connected, pv.host, pv.count) == (False, "<disconnected>", 0)
        for call in (pv.connect, pv.get, lambda: pv.put(1), lambda: pv.wait_for(1), pv.__aenter__):
            with pytest.raises(TimeoutError) as caught:
                await call()
            assert (caught.value.name, caught.value.errorcode) == (MISSING, ca.ECA_TIMEOUT)  # type: ignore[attr-defined]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(aio.PV(MISSING, timeout=None).get(), 0.1)

    run(main())


def test_waiting_for_a_value(prefix: str) -> None:
    async def main() -> None:
        name = prefix + "count"
        pv = aio.PV(name, timeout=10)
        await pv.put(0, wait=True)
        assert await pv.wait_for(0) == 0
        waiting = [
            asyncio.ensure_future(pv.wait_for(3)),
            asyncio.ensure_future(pv.wait_for(lambda value: value > 1)),
        ]
        await until(lambda: aio.get_channel_infos()[0].subscriber_count == 2)
        for number in range(1, 4):
            await pv.put(number, wait=True)
        assert await nudged(name, asyncio.gather(*waiting)) == [3, 2]
        assert aio.get_channel_infos()[0].subscriber_count == 0
        with pytest.raises(TimeoutError):
            await pv.wait_for(99, timeout=0.05)
        with pytest.raises(TimeoutError):
            await pv.wait_for(99, timeout=0)
        with pytest.raises(ZeroDivisionError):
            await pv.wait_for(lambda value: 1 / 0)
        await aio.caput(prefix + "cabo", "Done", wait=True)
        assert await aio.PV(prefix + "cabo").wait_for("Done") == "Done"
        closed = asyncio.ensure_future(pv.wait_for(99))
        await until(lambda: aio.get_channel_infos()[0].subscriber_count == 1)
        pv.close()
        with pytest.raises(aio.CANothing) as caught:
            await closed
        assert caught.value.errorcode == ca.ECA_CHANDESTROY
        assert aio.get_channel_infos()[0].subscriber_count == 0

    run(main())


def test_updates_come_with_time_and_properties(prefix: str) -> None:
    async def main() -> None:
        pv = aio.PV(prefix + "catest")
        await pv.put(1, wait=True)
        async for value in pv.updates():
            assert (value, value.units, value.upper_disp_limit, value.severity) == (1, "mm", 20, 0)
            assert value.timestamp > 0
            break
        async for value in aio.PV(prefix + "states").updates(as_string=True):
            assert (value, value.enums[2]) == ("zero", "two")
            break
        await aio.caput(prefix + "cawave", [1, 2, 3], wait=True)
        async for value in aio.PV(prefix + "cawave").updates(count=2, datatype=aio.DBR_LONG):
            assert (value.tolist(), value.units) == ([1, 2], "V")
            break
        async for value in aio.PV(prefix + "number").updates(datatype=float):  # a STRING has no properties
            assert value == 12
            break
        value = await pv.get(datatype=aio.DBR_LONG)
        assert (value, value.units, type(+value)) == (1, "mm", int)

    run(main())


@pytest.mark.parametrize(
    ("policy", "maxsize", "expected"),
    [("all", 0, list(range(21))), ("latest", 0, [0, 20]), ("drop_oldest", 4, [0, 17, 18, 19, 20])],
)
@pytest.mark.parametrize("loop_runs", [False, True])
def test_policies(prefix: str, policy: Any, maxsize: int, expected: list[int], loop_runs: bool) -> None:
    """What becomes of updates that come while the body runs, and of those that come while the loop stands still."""

    async def main() -> None:
        name = prefix + "count"
        pv = aio.PV(name)
        await pv.put(0, wait=True)
        updates = pv.updates(policy=policy, maxsize=maxsize)
        seen: list[int] = []
        async for value in updates:
            seen.append(value)
            if value == 0:
                assert updates.dropped == 0
                if loop_runs:
                    watched: list[int] = []
                    watch = aio.camonitor(name, watched.append, all_updates=True)
                    for number in range(1, 21):
                        await pv.put(number, wait=True)
                    await until(lambda of=watched: of and of[-1] == 20)  # type: ignore[misc]
                    watch.close()
                else:
                    write_many(name, 1, 20)
                    # Its update comes behind those of the updates above.
                    PV(name).wait_for(20, timeout=10)
            if value == 20:
                break
        assert seen == expected
        assert updates.dropped == 21 - len(expected)

    run(main())


def test_batches(prefix: str) -> None:
    async def main() -> None:
        name = prefix + "count"
        pv = aio.PV(name)
        await pv.put(0, wait=True)
        updates = pv.updates()
        gathered: list[list[int]] = []
        async for batch in updates.batches():
            gathered.append(batch)
            if batch[-1] == 100:
                break
            if batch == [0]:
                write_many(name, 1, 100)
        assert [value for batch in gathered for value in batch] == list(range(101))
        assert len(gathered) <= 4, [len(batch) for batch in gathered]
        updates.close()
        async for batch in updates.batches():
            raise AssertionError(batch)

    run(main())


def test_two_iterations_at_once(prefix: str) -> None:
    """Over updates of their own each gets all; over the same, each value goes to one of the two."""

    async def main() -> None:
        pv = aio.PV(prefix + "count")
        await pv.put(0, wait=True)

        async def collect(updates: aio.Updates) -> list[int]:
            seen: list[int] = []
            async for value in updates:
                seen.append(value)
                if value == 30:
                    break
                await asyncio.sleep(0)
            return seen

        own = [asyncio.ensure_future(collect(pv.updates())) for _ in range(2)]
        same = pv.updates()
        shared = [asyncio.ensure_future(collect(same)) for _ in range(2)]
        for number in range(1, 31):
            await pv.put(number, wait=number % 5 == 0)
        assert await nudged(pv.name, asyncio.gather(*own)) == [list(range(31))] * 2
        done, left = await nudged(pv.name, asyncio.wait(shared, return_when=asyncio.FIRST_COMPLETED))
        same.close()  # ends the other's
        await asyncio.wait(left)
        assert sorted(shared[0].result() + shared[1].result()) == list(range(31))
        assert done

    run(main())


def test_break_leaves_nothing(prefix: str) -> None:
    async def main() -> None:
        pv = aio.PV(prefix + "count")
        count = lambda: aio.get_channel_infos()[0].subscriber_count  # noqa: E731

        async def one_value() -> None:
            async for _ in pv.updates():
                assert count() == 1
                break

        async def one_batch() -> None:
            async for _ in pv.updates().batches():
                assert count() == 1
                break

        async def fails() -> None:
            async for _ in pv.updates():
                raise KeyError

        await one_value()
        assert count() == 0
        await one_batch()
        assert count() == 0
        with pytest.raises(KeyError):
            await fails()
        assert count() == 0
        updates = pv.updates()
        assert await updates.__anext__() is not None
        kept = weakref.ref(updates)
        del updates
        gc.collect()
        assert kept() is None
        assert count() == 0

    run(main())


@pytest.mark.parametrize("closes", ["updates", "pv", "with", "purge", "thread"])
def test_close_ends_the_iteration(prefix: str, closes: str) -> None:
    async def main() -> None:
        pv = aio.PV(prefix + "count")
        updates = pv.updates()
        seen: list[Any] = []

        async def iterate() -> str:
            async for value in updates:
                seen.append(value)
            return "ended"

        async def in_batches() -> str:
            async for _ in pv.updates().batches():
                seen.append(None)
            return "ended"

        tasks = [asyncio.ensure_future(iterate())]
        if closes not in ("updates", "thread"):
            tasks.append(asyncio.ensure_future(in_batches()))
        await until(lambda: len(seen) == len(tasks))
        if closes == "updates":
            updates.close()
            updates.close()
        elif closes == "pv":
            pv.close()
        elif closes == "purge":
            aio.purge_channel_caches()
        elif closes == "thread":
            thread = threading.Thread(target=updates.close)
            thread.start()
            await asyncio.get_running_loop().run_in_executor(None, thread.join)
        else:
            async with pv:
                pass
        assert await asyncio.wait_for(asyncio.gather(*tasks), 5) == ["ended"] * len(tasks)
        assert all(info.subscriber_count == 0 for info in aio.get_channel_infos())
        assert await pv.get() == seen[0]

    run(main())


def test_what_waits_is_not_lost_when_a_wait_is_cancelled(prefix: str) -> None:
    async def main() -> None:
        pv = aio.PV(prefix + "count")
        await pv.put(0, wait=True)
        updates = pv.updates()
        assert await updates.__anext__() == 0
        for number in range(1, 20):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(updates.__anext__(), 0.001)
            task = asyncio.ensure_future(updates.__anext__())
            await asyncio.sleep(0)
            task.cancel()
            await pv.put(number, wait=True)
            assert await updates.__anext__() == number
            assert task.cancelled()
        task = asyncio.ensure_future(updates.__anext__())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        updates.close()

    run(main())


def test_arguments_that_are_wrong(prefix: str) -> None:
    async def main() -> None:
        pv = aio.PV(prefix + "count")
        for arguments in (
            {"policy": "newest"},
            {"policy": "drop_oldest"},
            {"maxsize": 5},
            {"policy": "drop_oldest", "maxsize": -1},
            {"mask": 0},
        ):
            with pytest.raises(CaChannelValueError):
                pv.updates(**arguments)  # type: ignore[arg-type]
        assert aio.get_channel_infos()[0].subscriber_count == 0

    run(main())


def test_a_pv_belongs_to_its_loop(prefix: str) -> None:
    async def make() -> tuple[aio.PV, aio.Updates]:
        pv = aio.PV(prefix + "count")
        await pv.connect()
        return pv, pv.updates()

    pv, updates = run(make())

    async def use() -> None:
        for call in (pv.get, pv.connect, updates.__anext__, lambda: pv.wait_for(1)):
            with pytest.raises((RuntimeError, StopAsyncIteration), match=r"another event loop|^$"):
                await asyncio.wait_for(call(), 5)
        with pytest.raises(RuntimeError, match="another event loop"):
            pv.updates()

    run(use())
