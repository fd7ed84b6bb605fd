"""`cachannel.aio` beside a server that does not read, and a PV that is missing: the loop goes on."""

from __future__ import annotations

import sys
import time

import pytest
from helpers import RunScript, assert_quiet

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="stops a process")

STOPPED = """
import asyncio, gc
import numpy as np
from cachannel import aio
from loops import Stall, until, wakers

BIG = [np.full(200_000, float(number)) for number in range(20)]  # 1.6 MB each

async def stop():
    await aio.connect([P + "big", P + "calong", P + "plain"])
    await aio.caput(P + "big", BIG[0], wait=True)
    os.kill(IOC_PID, signal.SIGSTOP)
    while (await aio.caget(P + "calong", timeout=0.05, throw=False)).ok:
        pass

def go_on():
    os.kill(IOC_PID, signal.SIGCONT)

def left():
    return asyncio.all_tasks() - {asyncio.current_task()}
"""


@pytest.mark.parametrize("wait", [False, True])
def test_puts_to_a_server_that_does_not_read(run_script: RunScript, wait: bool) -> None:
    """20 puts of 1.6 MB with a limit of 0.2 s: the loop does not stand still for 50 ms.

    What was not handed over raises, and is not written when the server goes on.
    """
    result = run_script(
        STOPPED
        + f"""
async def main():
    await stop()
    async with Stall() as stall:
        began = time.monotonic()
        results = [await aio.caput(P + "big", value, wait={wait}, timeout=0.2, throw=False) for value in BIG]
        seconds = time.monotonic() - began
    stalls = [stall.seconds]
    while min(stalls) > 0.05 and len(stalls) < 4:  # others need the processor, too
        async with Stall() as stall:
            for value in BIG:
                assert not await aio.caput(P + "big", value, wait={wait}, timeout=0.2, throw=False)
        stalls.append(stall.seconds)
    if min(stalls) > 0.05:
        print("stood still for", stalls)
    if seconds > 20 * 0.2 + 2:
        print("took", seconds)
    print({{result.errorcode for result in results if not result.ok}}, left())
    written = [number for number, result in enumerate(results) if result.ok]
    print({"not written" if wait else "len(written) < 20"})
    go_on()
    await aio.caput(P + "calong", 5, wait=True, timeout=30)
    now = await aio.caget(P + "big", timeout=30)
    # What is there was handed over before it was too late; libca may have had one more, in part.
    ok = {"now[0] < 19" if wait else "written == list(range(len(written))) and now[0] in [*written, len(written)]"}
    print(set(now) == {{now[0]}}, ok or (now[0], written))

asyncio.run(main())
        """,
        timeout=60,
    )
    assert_quiet(result, "{80} set()\nTrue\nTrue True\n")


def test_all_at_once(run_script: RunScript) -> None:
    """The same 20 at once, in tasks and in one list."""
    result = run_script(
        STOPPED
        + """
async def main():
    await stop()
    async with Stall() as stall:
        began = time.monotonic()
        calls = [aio.caput(P + "big", value, wait=True, timeout=0.2, throw=False) for value in BIG]
        results = await asyncio.gather(*calls)
        results += await aio.caput([P + "big"] * 20, BIG, wait=True, timeout=0.2, throw=False)
        results += await aio.caput([P + "big"] * 20, BIG, timeout=0.2, throw=False)
        reads = await aio.caget([P + "big", P + "calong"] * 20, timeout=0.2, throw=False)
        seconds = time.monotonic() - began
    print({result.ok for result in results[:40]}, {read.ok for read in reads}, left())
    print(any(result.ok for result in results[40:]))
    if stall.seconds > 0.15 or seconds > 2:
        print("stood still for", stall.seconds, "and took", seconds)
    go_on()
    print(await aio.caput(P + "calong", 6, wait=True, timeout=30) and await aio.caget(P + "calong"))

asyncio.run(main())
        """,
        timeout=60,
    )
    assert_quiet(result, "{False} {False} set()\nFalse\n6\n")


def test_what_is_cancelled_is_not_written(run_script: RunScript) -> None:
    result = run_script(
        STOPPED
        + """
async def main():
    await stop()
    for value in BIG[1:]:
        if not await aio.caput(P + "big", value, timeout=0.3, throw=False):
            break
    for wait in (False, True):
        put = asyncio.ensure_future(aio.caput(P + "plain", 77, wait=wait, timeout=30))
        await asyncio.sleep(0)
        put.cancel()
        await asyncio.wait([put])
        print(put.cancelled(), left())
    go_on()
    await aio.caput(P + "calong", 5, wait=True, timeout=30)
    print(await aio.caget(P + "plain", timeout=30) == 77)

asyncio.run(main())
        """,
        timeout=60,
    )
    assert_quiet(result, "True set()\nTrue set()\nFalse\n")


CANCELS = """
AWAITABLES = {{
    "caget": lambda: aio.caget({name}, timeout=30),
    "caget without a limit": lambda: aio.caget({name}, timeout=None),
    "caget of a list": lambda: aio.caget([{name}, P + "calong"] * 10, timeout=30),
    "caget of a list without throw": lambda: aio.caget([{name}, P + "calong"] * 10, timeout=30, throw=False),
    "caput": lambda: aio.caput({name}, BIG[1], timeout=30, wait=True),
    "caput of a list": lambda: aio.caput([{name}, P + "calong"], [BIG[1], 1], timeout=30, wait=True, throw=False),
    "connect": lambda: aio.connect([{name}, "no:such:pv"], timeout=30),
    "cainfo": lambda: aio.cainfo([{name}, "no:such:pv"], timeout=30),
    "get": lambda: aio.PV({name}).get(timeout=30),
    "put": lambda: aio.PV({name}).put(BIG[1], timeout=30, wait=True),
    "wait_for": lambda: aio.PV({name}).wait_for(lambda value: False, timeout=30),
    "updates": lambda: all_updates(aio.PV({name})),
    "batches": lambda: all_batches(aio.PV({name})),
}}

async def all_updates(pv):
    async for value in pv.updates():
        pass

async def all_batches(pv):
    async for values in pv.updates().batches():
        pass

async def cancel_all():
    for what, call in AWAITABLES.items():
        for pause in (0, 0.03):
            task = asyncio.ensure_future(call())
            await asyncio.sleep(pause)
            began = time.monotonic()
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() or time.monotonic() - began > 0.1:
                print(what, task, time.monotonic() - began)
        if left():
            print(what, left())
        with_limit = asyncio.ensure_future(asyncio.wait_for(call(), 0.03))
        await asyncio.wait([with_limit])
        print(type(with_limit.exception()).__name__, end=" ") if what == "caget" else None
        if not isinstance(with_limit.exception(), asyncio.TimeoutError) or left():
            print(what, with_limit, left())
        # The exceptions refer to the frames, and these to the updates.
        del task, with_limit
        gc.collect()
    infos = aio.get_channel_infos()
    print({{info.subscriber_count for info in infos}})
"""


@pytest.mark.parametrize("name", ['P + "big"', '"no:such:pv"'])
def test_whatever_is_awaited_can_be_cancelled(run_script: RunScript, name: str) -> None:
    """It ends at once, leaves no task, and the program ends within a second."""
    result = run_script(
        STOPPED
        + CANCELS.format(name=name)
        + """
async def main():
    await stop()
    await cancel_all()
    # Cancelled by the end of asyncio.run, in all their places.
    tasks = [asyncio.ensure_future(call()) for call in AWAITABLES.values()]
    await asyncio.sleep(0)
    global began
    began = time.monotonic()

asyncio.run(main())
if time.monotonic() - began > 0.5:
    print("asyncio.run took", time.monotonic() - began)
wait_for(lambda: wakers() == 0)
sys.stdout.flush()
print(time.time())
        """,
        timeout=60,
    )
    lines = result.stdout.splitlines()
    assert lines[:-1] == ["TimeoutError {0}"], result
    assert (result.returncode, result.stderr) == (0, "")
    assert time.time() - float(lines[-1]) < 3  # the end of the process, which waits 0.8 s for a server that hangs


@pytest.mark.skipif(sys.version_info < (3, 11), reason="TaskGroup and asyncio.timeout")
def test_task_groups_and_timeouts(run_script: RunScript) -> None:
    result = run_script(
        STOPPED
        + """
async def fails():
    await asyncio.sleep(0.05)
    raise KeyError("x")

async def main():
    await stop()
    began = time.monotonic()
    try:
        async with asyncio.timeout(0.1):
            await aio.caget(P + "calong")
    except TimeoutError as error:
        print("timeout", isinstance(error, aio.CANothing))
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(aio.caget([P + "calong", "no:such:pv"], timeout=30, throw=False))
                group.create_task(aio.caput(P + "big", BIG[1], timeout=30, wait=True))
                group.create_task(aio.PV("no:such:pv").wait_for(1, timeout=None))
            group.create_task(fails())
    except* KeyError as errors:
        print(len(errors.exceptions))
    async with asyncio.timeout(0.1) as scope:
        # What times out by itself is not the scope's.
        print(await aio.caget(P + "calong", timeout=0.01, throw=False))
    print(scope.expired(), left(), time.monotonic() - began < 1)
    # A limit of its own, and one around it, at the same moment.
    for _ in range(50):
        try:
            async with asyncio.timeout(0.002):
                await aio.caget(P + "calong", timeout=0.002)
        except TimeoutError:
            pass
        else:
            print("none")
    print(left())

asyncio.run(main())
        """,
        timeout=60,
    )
    expected = "timeout False\n1\n{}: User specified timeout on IO operation expired\nFalse set() True\nset()\n"
    assert_quiet(result, expected.format(result.stdout.split("\n")[2].split(": User")[0]))


def test_interrupted_on_a_server_that_hangs(run_script: RunScript) -> None:
    """Ctrl-C ends asyncio.run at once, and the program."""
    result = run_script(
        STOPPED
        + """
async def main():
    await stop()
    aio.camonitor(P + "calong", print)
    tasks = [asyncio.ensure_future(aio.caput(P + "big", value, timeout=30, wait=True)) for value in BIG]
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    global began
    began = time.monotonic()
    await aio.caget([P + "calong", "no:such:pv"], timeout=None, throw=False)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - began < 1)
print(time.time())
        """,
        timeout=60,
    )
    lines = result.stdout.splitlines()
    assert lines[-2:-1] == ["interrupted True"], result
    assert result.stderr == ""
    assert time.time() - float(lines[-1]) < 3


def test_a_server_that_dies_while_it_is_asked(run_script: RunScript, own_ioc: object) -> None:
    """Answers that do not come end what waits for them: the channel is gone."""
    import os
    import signal

    from ioc import Ioc

    assert isinstance(own_ioc, Ioc)
    assert own_ioc.process is not None
    result = run_script(
        STOPPED
        + f"""
OTHER, PID = "{own_ioc.prefix}", {own_ioc.process.pid}

async def main():
    await aio.connect([OTHER + "catest", OTHER + "cawave", P + "calong"])
    os.kill(PID, signal.SIGSTOP)
    while (await aio.caget(OTHER + "catest", timeout=0.05, throw=False)).ok:
        pass
    one = asyncio.ensure_future(aio.caget(OTHER + "catest", timeout=None, throw=False))
    several = asyncio.ensure_future(aio.caget([OTHER + "cawave", P + "calong"], timeout=None, throw=False))
    put = asyncio.ensure_future(aio.caput(OTHER + "catest", 1, timeout=None, throw=False, wait=True))
    await asyncio.sleep(0)  # in which they are sent: the channels are connected
    os.kill(PID, signal.SIGKILL)
    one, several, put = await asyncio.gather(one, several, put)
    print(one.errorcode == put.errorcode == several[0].errorcode == ca.ECA_DISCONN, several[1], left())

asyncio.run(main())
        """,
        timeout=60,
    )
    os.kill(own_ioc.process.pid, signal.SIGKILL)
    assert (result.returncode, result.stdout) == (0, "True 5 set()\n"), result  # libca says that the circuit is gone
