"""Loads on the server that always runs: memory, channels of many threads, forks; and exits in the middle of it."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from typing import Any

from cachannel import CaChannel, CaChannelException, ca
from ioc import BUNCHES
from server_process import wait_for

from .load import Load

_LONG = 60.0
_EXIT = 4.0  # seconds for an exit; 2 are promised, and the computer is busy

_STREAMING = """
import logging, os, sys, threading, time
from cachannel import CaChannel, Recorder, ca
logging.disable(logging.WARNING)
seen, names = [], [sys.argv[1] + f"tick{n}" for n in range(10)] + [sys.argv[2] + f"fast{n}" for n in range(20)]
channels = [CaChannel(name) for name in names]
for channel in channels:
    channel.search()
channels[0].flush_io()
for channel in channels[10:]:
    channel.searchw()
    channel.add_masked_array_event(None, None, None, lambda args, user_args: seen.append(args))
channels[0].flush_io()
while len(seen) < 40:
    time.sleep(0.01)
def last():
    os.write(1, b"bye")
import atexit
atexit.register(last)
"""
_ENDS = {
    "the end": "",
    "sys.exit": "sys.exit(0)",
    "a get": "channels[0].setTimeout(0.01)\ntry: channels[0].getw()\nexcept Exception: pass",
    "a slow callback": "channels[-1].array_get_callback(None, None, lambda a, u: time.sleep(9))",
    "a thread": "threading.Thread(target=lambda: ca.pend_event(60), daemon=True).start()",
    "a recorder": "recorder = Recorder(names)\nrecorder.start(0.2, throw=False)",
}


def memory(name: str, load: Load) -> str:
    """One of memory_loads, in its full count or a share of it."""
    import memory_loads

    count = max(100, int(memory_loads.LOADS[name].full * load.job.share))
    trend = memory_loads.run(name, load.job.steady, count)
    load.outcome.counts[name] += count
    load.outcome.memory = (trend.points[0], trend.points[-1])
    load.check(trend.levels_off, str(trend))
    return str(trend)


def camera(load: Load) -> str:
    """A callback ten times too slow for 32 MB a frame."""
    from slow_camera import slow_camera

    camera = slow_camera(load.job.steady, max(40, int(400 * load.job.share)))
    load.outcome.counts["frames"] += camera.frames
    load.check(camera.is_well, str(camera))
    return str(camera)


def threads(load: Load) -> None:
    """Threads that make, use and drop channels of both servers at random."""

    def work(seed: int) -> None:
        pick = random.Random(seed)
        while not load.is_over:
            steady = pick.random() < 0.7
            name = f"{load.job.steady}many{pick.randrange(15)}_9" if steady else f"{load.job.faulty}tick0"
            channel = CaChannel(name)
            channel.setTimeout(_LONG if steady else 0.2)
            try:
                channel.searchw()
                if pick.random() < 0.5:
                    channel.add_masked_array_event(None, None, None, lambda args, user_args: None, channel)
                value = channel.getw()
                load.check(value == 9 if steady else value > 0, f"{name} is {value}")
                load.outcome.counts["channels"] += 1
            except CaChannelException as error:
                allowed = () if steady else (ca.ECA_TIMEOUT, ca.ECA_DISCONN)
                load.expect(error.status, allowed, name)
            if pick.random() < 0.5:
                channel.clear_channel()

    # Other loads may have written to these PVs.
    for number in range(15):
        with CaChannel(f"{load.job.steady}many{number}_9") as channel:
            channel.setTimeout(_LONG)
            channel.putw(9)
            channel.getw()
    workers = [threading.Thread(target=work, args=(load.job.seed + number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    while not load.is_over:
        load.sleep(1)
    for worker in workers:
        worker.join(_LONG)
        load.check(not worker.is_alive(), "a thread hangs")


def storm(load: Load) -> None:
    """Threads that make, use, share and drop channels at random: tests/storm.py, on the server that always runs."""
    from storm import storm as rage

    names = [f"{load.job.steady}many{tens}_{ones}" for tens in range(BUNCHES) for ones in range(10)]
    load.outcome.counts.update(rage(load.job.seconds, load.job.seed, names))


def read_in_worker(name: str) -> float:
    """What a process of a pool does."""
    with CaChannel(name) as channel:
        channel.setTimeout(_LONG)
        channel.searchw()
        return float(channel.getw())


def _child(channel: CaChannel, name: str) -> int:
    """What a forked child does; what is wrong, as its exit status."""
    signal.alarm(60)
    try:
        channel.getw()
        return 2
    except CaChannelException as error:
        if error.status != ca.ECA_BADCHID:
            return 3
    return 0 if read_in_worker(name) == 9 else 4


def forks(load: Load) -> None:
    """Children of fork, and workers of a pool, while updates come in."""
    warnings.simplefilter("ignore", DeprecationWarning)
    name = load.job.steady + "many0_9"
    channel = CaChannel(name)
    channel.setTimeout(_LONG)
    channel.searchw()
    channel.putw(9)
    fast = CaChannel(load.job.steady + "fast")
    fast.searchw()
    seen: list[Any] = []
    fast.add_masked_array_event(None, None, None, lambda args, user_args: seen.append(args["pv_value"]))
    fast.flush_io()
    while not load.is_over:
        pid = os.fork()
        if pid == 0:
            os._exit(_child(channel, name))
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        load.check(ended == 0, f"a forked child ended with {ended}")
        load.outcome.counts["forks"] += 1
        load.check(channel.getw() == 9, "the parent reads something else after a fork")
        count = len(seen)
        wait_for(lambda count=count: len(seen) > count, 10, "updates go on after a fork")  # type: ignore[misc]  # infers no type for the default
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        load.check(list(pool.map(read_in_worker, [name] * 4, timeout=_LONG)) == [9] * 4, "a pool reads something else")
    load.check(all(b == a + 1 for a, b in zip(seen, seen[1:])), "updates were lost during forks")


def exits(load: Load) -> None:
    """Programs that end while everything is under way, also with a server that hangs: soon, quietly, with status 0."""
    pick = random.Random(load.job.seed)
    while not load.is_over:
        end = pick.choice(list(_ENDS))
        process = subprocess.Popen(
            [sys.executable, "-c", _STREAMING + _ENDS[end], load.job.faulty, load.job.steady],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=False,
        )
        assert process.stdout is not None
        killer = threading.Timer(_LONG, process.kill)
        killer.start()
        process.stdout.read(3)
        began = time.monotonic()
        _, errors = process.communicate()
        took = time.monotonic() - began
        killer.cancel()
        load.outcome.counts["exits"] += 1
        said = errors.decode().splitlines()
        ended = (process.returncode, said)
        load.check(ended == (0, []), f"an exit with {end}: status {process.returncode}, {said[-3:]}")
        load.check(took < _EXIT, f"an exit with {end} took {took:.1f} s")
