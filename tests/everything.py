"""A short way through everything that the package does, for ``make memcheck``.

``python tests/everything.py PREFIX PORT``: PREFIX is that of an IOC with all records; on PORT the program starts
another one, which it kills.  It prints the name of each part that it has done, and fails where a value is not right.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import logging
import pickle
import sys
import threading
import time
from typing import Any, Callable

import numpy as np
from cachannel import PV, CaChannel, CaChannelException, ChannelGroup, Recorder, aio, ca, util
from cachannel.epicsPV import epicsPV
from ioc import Ioc

_LONG = 60.0  # seconds: valgrind is slow
_TYPES = ("CHAR", "UCHAR", "SHORT", "USHORT", "LONG", "ULONG", "INT64", "UINT64", "FLOAT", "DOUBLE", "STRING", "ENUM")


def wait(condition: Callable[[], object]) -> None:
    """As wait_for, but lets callbacks run, also those of a non-preemptive context."""
    end = time.monotonic() + _LONG
    while not condition():
        assert time.monotonic() < end, "not in time"
        ca.pend_event(0.01)


def connect(name: str) -> Any:
    status, chid = ca.create_channel(name)
    assert status == ca.ECA_NORMAL, status
    status = ca.pend_io(_LONG)
    assert status == ca.ECA_NORMAL, (name, status)
    return chid


def read(chid: Any, *args: Any, **keywords: Any) -> Any:
    status, value = ca.get(chid, *args, **keywords)
    assert status == ca.ECA_NORMAL, status
    assert ca.pend_io(_LONG) == ca.ECA_NORMAL
    return value.get()


def types(prefix: str) -> None:
    """Every DBR type of every kind of PV, with and without numpy, with and without a callback, written and read."""
    for name in _TYPES:
        chid = connect(prefix + "wf" + name)
        sent = ["1", "2", "3"] if name == "STRING" else [1, 2, 3]
        seen: list[Any] = []
        assert ca.put(chid, sent, callback=seen.append) == ca.ECA_NORMAL
        if name != "STRING":
            for kind in ("i1", "i4", "f8", ">i2", "u1", "i8"):
                assert ca.put(chid, np.array([1, 2, 3], kind)) == ca.ECA_NORMAL
        for use_numpy in (False, True):
            if name != "ENUM":  # which has no states
                assert str(read(chid, ca.DBR_STRING, 3, use_numpy=use_numpy)[0]).startswith("1")
            for kind in range(39):
                with contextlib.suppress(CaChannelException):
                    status, value = ca.get(chid, kind, use_numpy=use_numpy)
                    ca.get(chid, kind, 0, seen.append, use_numpy)
                    ca.pend_io(_LONG)
                    assert value is not None or status != ca.ECA_NORMAL
        ca.flush_io()
        wait(lambda seen=seen: seen)
        ca.clear_channel(chid)
    chid = connect(prefix + "states")
    ca.put(chid, "nonsense")
    assert ca.put(chid, 1) == ca.ECA_NORMAL
    for kind in range(39):
        with contextlib.suppress(CaChannelException):
            ca.get(chid, kind)
            ca.pend_io(_LONG)
    for bad in ("x", object(), [1, "x"], 1e300, None, np.array([object()])):
        with contextlib.suppress(CaChannelException, ValueError, TypeError):
            ca.put(connect(prefix + "count"), bad)
    text = connect(prefix + "text")
    ca.put(text, "all is well")
    assert bytes(read(text, count=11)) == b"all is well"
    ca.clear_channel(text)
    ca.clear_channel(chid)


def arrays(prefix: str) -> None:
    """Arrays from the pool, some of which live longer than their channel."""
    chid = connect(prefix + "big")
    data = np.arange(100_000, dtype="f8")
    seen: list[Any] = []
    ca.put(chid, data)
    _, evid = ca.create_subscription(chid, seen.append, ca.DBR_TIME_DOUBLE, 0, use_numpy=True)
    ca.flush_io()
    wait(lambda: seen)
    for number in range(5):
        data[0] = number
        ca.put(chid, data)
        assert read(chid, count=0, use_numpy=True)[0] == number
        assert read(chid, count=4)[0] == number
    kept = read(chid, count=0, use_numpy=True)
    wait(lambda: len(seen) > 1)
    ca.clear_subscription(evid)
    ca.clear_channel(chid)
    assert kept[99_999] == seen[0]["value"]["value"][99_999] == 99_999


def callbacks(prefix: str) -> None:
    """Callbacks that wait, raise, clear their own, and objects in cycles with them."""
    seen: list[Any] = []

    def raises(args: Any) -> None:
        seen.append(args)
        raise RuntimeError("meant")

    def nests(args: Any) -> None:
        seen.append(read(connect(prefix + "calong")))
        ca.pend_event(0.01)
        ca.clear_channel(args["chid"])

    chid = connect(prefix + "fast")
    for _ in range(3):
        ca.create_subscription(chid, raises)
    ca.get(connect(prefix + "fast0"), callback=nests)
    ca.flush_io()
    wait(lambda: len(seen) > 10)
    ca.clear_channel(chid)
    ups: list[Any] = []
    for _ in range(5):
        channel = CaChannel(prefix + "plain")
        channel.search_and_connect(None, lambda args, user_args: ups.append(args), channel)
        channel.replace_access_rights_event(lambda args, user_args: ups.append(args), channel)
        channel.flush_io()
    wait(lambda: len(ups) >= 10)
    channel.add_masked_array_event(ca.DBR_CTRL_DOUBLE, None, None, lambda args, user_args: ups.append(args), channel)
    channel.array_put_callback(5, None, None, lambda args, user_args: ups.append(args), channel)
    channel.array_get_callback(ca.DBR_GR_DOUBLE, None, lambda args, user_args: ups.append(args), channel)
    assert channel.getw() == 5
    channel.pend_event(0.1)
    channel.clear_event()
    del channel
    ups.clear()
    gc.collect()


def handlers(prefix: str) -> None:
    """Exceptions, messages, changes of access rights."""
    heard: list[Any] = []
    ca.add_exception_event(heard.append)
    ca.replace_printf_handler(heard.append)
    chid = connect(prefix + "cabo")
    ca.put(chid, "Nonsense")
    ca.flush_io()
    wait(lambda: heard)
    guarded, rights = connect(prefix + "guarded"), connect(prefix + "rights")
    changes: list[Any] = []
    ca.replace_access_rights_event(guarded, changes.append)
    for value in (0, 1):
        ca.put(rights, value)
        ca.flush_io()
        wait(lambda value=value: ca.write_access(guarded) == bool(value))
    wait(lambda: changes)
    assert ca.get(connect(prefix + "hidden"))[0] == ca.ECA_NORDACCESS
    ca.add_exception_event()
    ca.replace_printf_handler()
    for each in (chid, guarded, rights):
        ca.clear_channel(each)


def groups(prefix: str) -> None:
    """ChannelGroup, synchronous groups, Recorder."""
    names = [f"{prefix}many{tens}_{ones}" for tens in range(3) for ones in range(10)]
    with ChannelGroup(names, timeout=_LONG) as group:
        group.put(np.arange(30), wait=True)
        assert group.get().tolist() == list(range(30))
        group.put(2)
        assert len(group.get(as_string=True)) == len(group.get(time=True)) == 30
    mixed = ChannelGroup([*names[:2], prefix + "nowhere", prefix + "castr", prefix + "cawave"], timeout=0.5)
    mixed.get(throw=False)
    mixed.put(1, wait=True, throw=False)
    mixed.close()
    gid = ca.sg_create()[1]
    assert gid is not None
    chid = connect(names[0])
    ca.sg_put(gid, chid, 7)
    _, held = ca.sg_get(gid, chid)
    assert ca.sg_block(gid, _LONG) == ca.ECA_NORMAL
    assert held is not None
    assert held.get() == 7
    ca.sg_get(gid, chid)
    ca.sg_reset(gid)
    ca.sg_delete(gid)
    with Recorder(names, capacity=64) as recorder:
        for number in range(10):
            ca.put(chid, number)
        ca.flush_io()
        assert len(recorder.read(_LONG, 30)) >= 30
        for number in range(100):
            ca.put(chid, number)
        read(chid)
        recorder.read(0)
    ca.clear_channel(chid)


def tools(prefix: str) -> None:
    """Module util and epicsPV."""
    names = [prefix + "plain", prefix + "note", prefix + "cabo", prefix + "cawave"]
    util.caput(names[0], 1.5, wait=True, timeout=_LONG)
    assert util.caget(names[0], timeout=_LONG) == 1.5
    util.caget([*names, prefix + "nowhere"], timeout=2, throw=False)
    util.caget(names, as_string=True, timeout=_LONG)
    with contextlib.redirect_stdout(io.StringIO()):
        util.cainfo(names[0], timeout=_LONG)
    seen: list[Any] = []
    monitor = util.camonitor(names[0], callback=lambda args, user_args: seen.append(args), timeout=_LONG, add=True)
    wait(lambda: seen)
    monitor.stop()
    pv = epicsPV(prefix + "plain")
    pv.setMonitor()
    pv.putWait(2)
    wait(lambda: pv.getw() == 2)  # its update comes without being asked for
    pv.clearMonitor()


def values(prefix: str) -> None:
    """Class PV: values of all kinds, with what comes along."""
    for kind in _TYPES:
        for name in (f"{prefix}one{kind}", f"{prefix}wf{kind}"):
            pv = PV(name, timeout=0.5)
            with contextlib.suppress(CaChannelException, AttributeError):
                value = pv.get()
                pickle.loads(pickle.dumps(value))
                pv.put(+value, wait=True)
                pv.get(as_string=True)
                pv.get(count=1)
                repr(pv)
                value.units, value.datetime64, value.upper_ctrl_limit  # noqa: B018
            pv.close()
    seen: list[Any] = []
    pv = PV(prefix + "catest", timeout=_LONG)
    with pv.subscribe(seen.append), pv.subscribe(seen.append, latest_only=True, first=False):
        for number in range(20):
            pv.put(number)
        assert pv.wait_for(19) == 19
        wait(lambda: 19 in seen)
    PV(prefix + "cabo").subscribe(seen.append, as_string=True)
    with contextlib.suppress(CaChannelException):
        PV(prefix + "nowhere").get(timeout=0.1)
    assert pv.units == "mm"


def loops(prefix: str) -> None:
    """``cachannel.aio``, in two event loops, the second of which is left as it is."""

    async def work() -> None:
        names = [f"{prefix}many{tens}_{ones}" for tens in range(3) for ones in range(10)]
        await aio.caput(names, list(range(30)), wait=True, timeout=_LONG)
        assert await aio.caget(names, format=aio.FORMAT_TIME, timeout=_LONG) == list(range(30))
        await aio.caget([names[0], prefix + "nowhere"], format=aio.FORMAT_CTRL, timeout=0.5, throw=False)
        seen: list[Any] = []
        aio.camonitor(names, lambda value, index: seen.append(value), all_updates=True)

        async def later(value: Any) -> None:
            await asyncio.sleep(0)
            seen.append(value)

        aio.camonitor(names[0], later, format=aio.FORMAT_CTRL)
        async with aio.PV(names[0], timeout=_LONG) as pv:
            updates = pv.updates(policy="drop_oldest", maxsize=3)
            await pv.put(7, wait=True)
            assert await pv.wait_for(7) == 7
            async for value in updates:
                if value == 7:
                    break
            waiting = asyncio.ensure_future(pv.wait_for(8, timeout=None))
            await asyncio.sleep(0)
            waiting.cancel()
        while len(seen) < 30:
            await asyncio.sleep(0.01)

    asyncio.run(work())
    asyncio.run(work())


def contexts(prefix: str) -> None:
    """Contexts of other threads, preemptive and not, destroyed with everything in them under way."""

    def use(preemptive: bool) -> None:
        ca.create_context(preemptive)
        chid = connect(prefix + "fast1")
        seen: list[Any] = []
        ca.create_subscription(chid, seen.append, ca.DBR_TIME_STRING)
        ca.get(chid, callback=seen.append)
        wait(lambda: len(seen) > 2)
        ca.get(chid, callback=seen.append)
        ca.get(chid)
        ca.put(chid, 1, callback=seen.append)
        ca.create_channel(prefix + "nowhere")
        ca.destroy_context()
        assert ca.get(chid)[0] == ca.ECA_BADCHID

    for preemptive in (True, False):
        thread = threading.Thread(target=use, args=(preemptive,))
        thread.start()
        thread.join()


def failures(prefix: str, port: int) -> None:
    """A server that is stopped, and killed, with everything under way; channels are cleared then, or connect again."""
    with Ioc("everything:", port, full=False, bare=False, limit=300) as ioc:
        seen: list[Any] = []
        chid, wave, long = (connect(ioc.prefix + name) for name in ("cacalc", "cawave", "calong"))
        ca.change_connection_event(chid, seen.append)
        ca.create_subscription(chid, seen.append)
        ca.create_subscription(long, seen.append)
        group = ChannelGroup([ioc.prefix + "calong", ioc.prefix + "catest"], timeout=_LONG)
        group.connect()
        recorder = Recorder([ioc.prefix + "cacalc"])
        recorder.start(_LONG)
        ioc.pause()
        ca.get(chid)
        ca.pend_io(0.1)
        group.get(0.2, throw=False)
        for number in range(20):
            ca.get(wave, callback=seen.append, use_numpy=True)
            ca.put(wave, [number] * 5, callback=seen.append)
            ca.put(long, number)
        ca.get(chid)
        ca.flush_io()
        ca.clear_channel(long)
        ioc.kill()
        ca.pend_io(_LONG)
        wait(lambda: ca.state(chid) is ca.ChannelState.PREV_CONN)
        with contextlib.suppress(CaChannelException):
            group.get(throw=False)
        recorder.read(_LONG)
        seen.clear()
        ca.clear_channel(wave)
        ioc.start()
        wait(lambda: ca.state(chid) is ca.ChannelState.CONN)
        wait(lambda: seen)
        recorder.read(_LONG)
        recorder.stop()
        group.close()
        # And this is open when the server ends, and the program.
        ca.get(chid, callback=seen.append)


def everything(prefix: str, port: int) -> None:
    logging.disable(logging.CRITICAL)  # failures are meant here
    for part in (types, arrays, callbacks, handlers, groups, tools, values, loops, contexts):
        part(prefix)
        print(part.__name__, flush=True)
    failures(prefix, port)
    print("failures", flush=True)
    # Left to the exit: monitors that update, a channel that is not found, reads and writes under way.
    for number in range(5):
        ca.create_subscription(connect(f"{prefix}fast{number}"), lambda args: None)
    ca.create_channel(prefix + "nowhere")
    ca.get(connect(prefix + "calong"))
    ca.put(connect(prefix + "stuck0"), 1, callback=lambda args: None)
    ca.flush_io()
    print("exit", flush=True)


if __name__ == "__main__":
    everything(sys.argv[1], int(sys.argv[2]))
