"""Event loops of `cachannel.aio`: several, in threads, closed and forgotten, other kinds, forks, and the end."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import os
import sys
import threading
import warnings
import weakref
from pathlib import Path
from typing import Any

import pytest
from cachannel import aio, ca
from helpers import RunScript, assert_quiet
from loops import run, until, wakers
from server_process import wait_for

# Each test has loops, and so channels, of its own.
pytestmark = pytest.mark.usefixtures("circuit")

needs_uvloop = pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop has no wheel here")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="measures with /proc")


def cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    """As asyncio.run does."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks))


def test_loops_one_after_the_other_leave_nothing(run_script: RunScript) -> None:
    """50 times asyncio.run: no thread, no channel, no memory."""
    result = run_script(
        """
import asyncio, gc
from cachannel import aio
from loops import until, wakers

held = connect("calong")  # keeps the circuit

async def main():
    seen = []
    subscription = aio.camonitor(P + "calong", seen.append)
    awaited = asyncio.Queue()
    aio.camonitor(P + "count", awaited.put, all_updates=True)
    pv = aio.PV(P + "catest")
    updates = pv.updates()
    await until(lambda: seen and awaited.qsize())
    await updates.__anext__()
    await aio.caget([P + "cawave", P + "big", "no:such:pv"], throw=False, timeout=0.01)
    await aio.caput(P + "plain", 1, wait=True)
    asyncio.ensure_future(aio.caget("no:such:pv"))
    asyncio.ensure_future(pv.wait_for(-99, timeout=None))
    await asyncio.sleep(0)

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def channels():
    return sum(isinstance(each, ca.chid) for each in gc.get_objects())

asyncio.run(main())
for number in range(50):
    asyncio.run(main())
    if number == 20:
        before = resident() if os.path.exists("/proc/self/statm") else 0
wait_for(lambda: wakers() == 0, 10, "the threads end")
gc.collect()
print(channels(), [one for one in gc.get_objects() if type(one).__name__ in ("LoopState", "Subscription", "Updates")])
if before:
    grown = resident() - before
    print("grown by", grown) if grown > 4_000_000 else None
        """,
        timeout=60,
    )
    assert (result.returncode, result.stderr) == (0, ""), result
    assert result.stdout == "1 []\n"


@pytest.mark.parametrize("how", ["run", "close", "forget"])
def test_a_loop_that_ends_with_live_subscriptions(
    prefix: str, how: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """No traceback, no thread, and no task that nobody ends, though updates come all the time."""

    async def slow(value: Any) -> None:
        await asyncio.sleep(0.001)

    async def main() -> weakref.ref[Any]:
        seen: list[Any] = []
        names = [prefix + "fast", *(f"{prefix}fast{number}" for number in range(10))]
        subscriptions = [aio.camonitor(name, seen.append, all_updates=True) for name in names]
        for name in names:
            subscriptions.append(aio.camonitor(name, slow, all_updates=True))
            subscriptions.append(aio.camonitor(name, slow))
        aio.camonitor("no:such:pv", slow, connect_timeout=0.001)
        await until(lambda: len(seen) > 50)
        return weakref.ref(subscriptions[0])

    threads = wakers()
    for _ in range(5):
        if how == "run":
            subscription = asyncio.run(main(), debug=True)
        else:
            loop = asyncio.new_event_loop()
            subscription = loop.run_until_complete(main())
            cancel_all(loop)
            if how == "close":
                loop.close()
            else:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ResourceWarning)
                    del loop
                    gc.collect()
        wait_for(lambda: wakers() <= threads, 10, "the thread ends")
        gc.collect()
        assert subscription() is None
    out, err = capfd.readouterr()
    assert (out, err, [record for record in caplog.records if record.name != "asyncio"]) == ("", "", [])
    assert [record.getMessage() for record in caplog.records if "took" not in record.getMessage()] == []


def test_awaits_that_a_closed_loop_has_left(prefix: str) -> None:
    """Tasks that nobody ends with the loop keep nothing."""

    async def begin() -> weakref.ref[Any]:
        # Not cancelled, and not awaited.
        task = asyncio.ensure_future(aio.caget("no:such:pv", timeout=None))
        await asyncio.sleep(0)
        aio.PV(prefix + "plain")
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        return weakref.ref(task)

    threads = wakers()
    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(begin())
    loop.close()
    wait_for(lambda: wakers() <= threads, 10, "the thread ends")
    del loop
    gc.collect()
    assert task() is None


def test_loops_in_several_threads_at_once(prefix: str, many: list[str]) -> None:
    """Each has its channels, and callbacks run in its thread."""
    failures: list[BaseException] = []

    async def main(number: int) -> None:
        seen: list[int] = []
        threads: set[int] = set()

        def callback(value: int) -> None:
            seen.append(value)
            threads.add(threading.get_ident())

        name = many[number]
        subscription = aio.camonitor(name, callback, all_updates=True)
        await until(lambda: seen)
        assert [info.name for info in aio.get_channel_infos()] == [name]
        for value in range(100, 200):
            await aio.caput(name, value, wait=True)
            assert await aio.caget(name) == value
        await until(lambda: seen[-1] == 199)
        assert seen[1:] == list(range(100, 200))
        assert threads == {threading.get_ident()}
        assert len(await aio.caget(many)) == len(many)
        subscription.close()

    def thread(number: int) -> None:
        try:
            run(main(number))
        except BaseException as error:
            failures.append(error)

    before = wakers()
    threads = [threading.Thread(target=thread, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    wait_for(lambda: wakers() <= before, 10, "the threads end")


def test_purged_by_another_thread(prefix: str) -> None:
    """Channels of all loops are closed, with their subscriptions; what is awaited ends, and works again."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        problems: list[Any] = []
        loop.set_exception_handler(lambda loop, context: problems.append(context))
        name = prefix + "count"
        cancelled: list[Any] = []

        async def slow(value: int) -> None:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                cancelled.append(value)
                raise

        for _ in range(20):
            await aio.connect(name)
            subscription = aio.camonitor(name, slow)
            pv = aio.PV(name)

            async def iterate(pv: aio.PV = pv) -> None:
                async for _ in pv.updates():
                    pass

            iteration = asyncio.ensure_future(iterate())
            missing = asyncio.ensure_future(aio.caget([name, "no:such:pv"], timeout=None, throw=False))
            await until(lambda of=subscription: of._task is not None)  # type: ignore[misc]
            thread = threading.Thread(target=aio.purge_channel_caches)
            thread.start()
            await asyncio.wait_for(iteration, 10)
            assert [value.ok for value in await asyncio.wait_for(missing, 10)][1] is False
            await loop.run_in_executor(None, thread.join)
            assert subscription.state == subscription.CLOSED
        await until(lambda: len(asyncio.all_tasks()) == 2)
        assert len(cancelled) == 20
        assert problems == []

    run(main())


def test_a_loop_with_a_context_of_its_own(prefix: str) -> None:
    """Its thread is in another context, preemptive or not: the loop delivers all the same."""
    results: list[Any] = []

    async def main() -> None:
        name = prefix + "count"
        seen: list[Any] = []
        subscription = aio.camonitor(name, seen.append)
        await aio.caput(name, 7, wait=True)
        await until(lambda: seen and seen[-1] == 7)
        assert await aio.PV(name).wait_for(7) == 7
        results.append((await aio.caget(name), (await aio.caget([name, prefix + "cawave"]))[0]))
        with pytest.raises(TimeoutError):
            await aio.caget("no:such:pv", timeout=0.05)
        subscription.close()

    def thread(preemptive: bool) -> None:
        assert ca.create_context(preemptive) == ca.ECA_NORMAL
        try:
            run(main())
        finally:
            ca.destroy_context()

    for preemptive in (True, False):
        each = threading.Thread(target=thread, args=(preemptive,))
        each.start()
        each.join()
    assert results == [(7, 7)] * 2


def test_a_context_that_is_destroyed_meanwhile(run_script: RunScript) -> None:
    """What is awaited ends, and the loop goes on with the next context."""
    result = run_script(
        """
import asyncio
from cachannel import aio
from loops import until

async def main():
    ca.create_context(True)
    seen = []
    aio.camonitor(P + "calong", seen.append)
    await until(lambda: seen)
    await aio.connect(P + "slow")
    calls = [
        asyncio.ensure_future(aio.caget("no:such:pv", timeout=None, throw=False)),
        asyncio.ensure_future(aio.caget(["no:such:pv", P + "calong"], timeout=None, throw=False)),
        asyncio.ensure_future(aio.caput(P + "slow", 1, timeout=None, throw=False, wait=True)),
    ]
    await asyncio.sleep(0)
    ca.destroy_context()
    results = await asyncio.wait_for(asyncio.gather(*calls), 5)
    print(results[0].ok, results[1][0].ok, type(results[2]).__name__)
    print(await aio.caget(P + "calong"))

asyncio.run(main())
        """
    )
    assert (result.returncode, result.stdout) == (0, "False False CANothing\n5\n"), result


@needs_fork
def test_forked_children_have_loops_of_their_own(run_script: RunScript) -> None:
    result = run_script(
        """
import asyncio, gc, warnings
from cachannel import aio
from loops import until, wakers

warnings.simplefilter("ignore", DeprecationWarning)  # of a fork in a program with threads

async def main(fork):
    seen = []
    subscription = aio.camonitor(P + "fast", seen.append)
    pv = aio.PV(P + "calong")
    updates = pv.updates()
    await until(lambda: seen)
    if fork:
        return [child() for _ in range(10)], subscription, pv, updates
    return await aio.caget([P + "calong", P + "cawave"])

def child():
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(20)
    asyncio.events._set_running_loop(None)
    gc.collect()
    value, wave = asyncio.run(main(False))
    wait_for(lambda: wakers() == 0)
    os._exit(int(value) + len(wave))

async def parent():
    kept = await main(True)
    status = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in kept[0]]
    print(set(status))
    print(await aio.caget(P + "calong"))

async def twice():
    await parent()

asyncio.run(parent())
# After the loop, too.
child_pid = child()
print(os.waitstatus_to_exitcode(os.waitpid(child_pid, 0)[1]))
        """,
        timeout=60,
    )
    assert result.returncode == 0, result
    lengths = result.stdout.splitlines()
    assert lengths[1] == "5", result
    assert lengths[0] == "{" + lengths[2] + "}", result
    assert int(lengths[2]) >= 5


@needs_uvloop
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_uvloop(prefix: str, many: list[str]) -> None:
    import uvloop

    async def main() -> weakref.ref[Any]:
        assert type(asyncio.get_running_loop()).__module__.startswith("uvloop")
        name = prefix + "count"
        seen: list[Any] = []
        queue: asyncio.Queue[Any] = asyncio.Queue()
        aio.camonitor(name, seen.append, all_updates=True)
        subscription = aio.camonitor(name, queue.put, all_updates=True)
        await aio.caput(name, 0, wait=True)
        for number in range(1, 500):
            await aio.caput(name, number, wait=number % 20 == 0)
        await until(lambda: seen and seen[-1] == 499 and queue.qsize() == len(seen))
        assert seen[-500:] == list(range(500))
        assert len(await aio.caget(many)) == len(many)
        async with aio.PV(name) as pv:
            assert await pv.wait_for(499) == 499
            async for value in pv.updates(policy="latest"):
                assert value == 499
                break
        task = asyncio.ensure_future(aio.caget("no:such:pv", timeout=30))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        with pytest.raises(TimeoutError):
            await aio.caget("no:such:pv", timeout=0.05)
        left = asyncio.ensure_future(aio.caget("no:such:pv", timeout=None))
        await asyncio.sleep(0)
        assert not left.done()
        return weakref.ref(subscription)

    threads = wakers()
    for closes in (True, False):
        loop = uvloop.new_event_loop()
        subscription = loop.run_until_complete(main())
        cancel_all(loop)
        if closes:
            loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        wait_for(lambda: wakers() <= threads, 10, "the thread ends")
        del loop
        gc.collect()
        assert subscription() is None


def test_a_loop_that_is_used_again(prefix: str) -> None:
    """run_until_complete, several times: what has come in between is delivered."""
    loop = asyncio.new_event_loop()
    seen: list[int] = []
    name = prefix + "count"

    async def begin() -> aio.Subscription:
        await aio.caput(name, 0, wait=True)
        subscription = aio.camonitor(name, seen.append, all_updates=True)
        await until(lambda: seen)
        return subscription

    subscription = loop.run_until_complete(begin())
    run(aio.caput(name, 1, wait=True))  # another loop
    loop.run_until_complete(until(lambda: seen[-1] == 1))
    subscription.close()  # while the loop does not run
    loop.run_until_complete(aio.caput(name, 2, wait=True))
    assert seen == [0, 1]
    loop.close()


def test_an_interrupt_in_a_callback(run_script: RunScript) -> None:
    """KeyboardInterrupt and SystemExit leave the loop; what was not delivered is delivered when it runs again."""
    result = run_script(
        """
import asyncio
from cachannel import aio
from loops import until

loop = asyncio.new_event_loop()
seen = []

def callback(value, index):
    seen.append(index)
    if index in (1, 3):
        raise KeyboardInterrupt if index == 1 else SystemExit(3)

async def main():
    names = [P + name for name in ("calong", "count", "plain", "note", "number")]
    await aio.connect(names)
    aio.camonitor(names, callback)
    await until(lambda: len(seen) == 5)

task = loop.create_task(main())
for _ in range(3):
    try:
        loop.run_until_complete(task)
    except (KeyboardInterrupt, SystemExit) as error:
        print(type(error).__name__)
print(sorted(seen), task.done())
loop.close()
        """
    )
    assert_quiet(result, "KeyboardInterrupt\nSystemExit\n[0, 1, 2, 3, 4] True\n")


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
def test_interrupted(run_script: RunScript) -> None:
    """Ctrl-C, with a PV that is missing and many updates: asyncio.run ends at once, in good order."""
    result = run_script(
        """
import asyncio
from cachannel import aio

async def main():
    for number in range(19):
        aio.camonitor(P + f"fast{number}", lambda value: None)
    pv = aio.PV("no:such:pv")
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        await asyncio.gather(pv.get(timeout=None), aio.connect("no:such:pv", timeout=None))
    finally:
        global began
        began = time.monotonic()

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - began < 1)
        """
    )
    assert_quiet(result, "interrupted True\n")
    assert result.seconds < 10


@pytest.mark.parametrize(
    "ending",
    [
        "asyncio.run(main())",
        "loop = asyncio.new_event_loop(); kept = loop.run_until_complete(main())",
        "threading.Thread(target=asyncio.run, args=(main(True),), daemon=True).start(); started.wait(10)",
        "asyncio.run(main(False, sys.exit))",
    ],
)
def test_the_program_ends(run_script: RunScript, ending: str) -> None:
    """With all that it has open: at once, and silently."""
    result = run_script(
        f"""
import asyncio
from cachannel import aio
from loops import until

started = threading.Event()

async def main(stays=False, at_last=lambda: None):
    seen = []
    aio.camonitor([P + f"fast{{number}}" for number in range(10)], lambda value, index: seen.append(value))
    global pv, updates, task
    pv = aio.PV(P + "calong")
    updates = pv.updates()
    await updates.__anext__()
    await until(lambda: seen)
    started.set()
    task = asyncio.ensure_future(aio.caget("no:such:pv"))
    await asyncio.sleep(1000 if stays else 0)
    task.cancel()
    await asyncio.wait([task])
    at_last()

{ending}
began = time.monotonic()
        """
    )
    assert_quiet(result, "")
    assert result.seconds < 10


def test_many_reads_share_few_calls(prefix: str, many: list[str]) -> None:
    """The answers of a list reach the loop as one event."""

    async def main() -> None:
        await aio.connect(many)
        loop = asyncio.get_running_loop()
        calls = 0
        original = loop.call_soon_threadsafe

        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            return original(*args, **kwargs)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
        for _ in range(10):
            await aio.caget(many)
            await aio.caput(many, 1, wait=True)
        del loop.call_soon_threadsafe
        assert calls <= 20

    run(main())


@needs_proc
def test_calls_do_not_keep_memory(prefix: str, many: list[str]) -> None:
    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def main() -> None:
        async def calls() -> None:
            await aio.caget(many)
            await aio.caput(many, 1, wait=True)
            await aio.caget("no:such:pv", timeout=0, throw=False)
            task = asyncio.ensure_future(aio.caget([*many, "no:such:pv"], timeout=10, throw=False))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            async for _ in aio.PV(many[0]).updates():
                break
            aio.camonitor(many[1], print).close()

        for _ in range(100):
            await calls()
        gc.collect()
        before = resident()
        for _ in range(200):
            await calls()
        gc.collect()
        assert resident() - before < 3_000_000

    run(main())
