"""aioca: its coroutines, on one event loop in the main thread."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import aioca
import numpy as np

from cabench.measure import (
    CONNECTING,
    SETTLE,
    Compute,
    Counter,
    Hose,
    Measurement,
    Stopwatch,
    repeat_async,
    subscribed,
)
from cabench.task import Task

CANNOT = {"put_callback": "no callback of a put"}


def _run(work: Awaitable[Measurement]) -> Measurement:
    async def run() -> Measurement:
        return await work

    return asyncio.run(run())


def connect(task: Task) -> Measurement:
    """``connect`` of a list."""

    async def work() -> Measurement:
        with Stopwatch(task.size) as watch:
            await aioca.connect(task.names("ao", task.size), timeout=CONNECTING)
        return watch.measurement

    return _run(work())


def get_one(task: Task) -> Measurement:
    """``caget``."""
    return _run(repeat_async(lambda: aioca.caget(task.name("ao", 7)), task.seconds))


def get_many(task: Task) -> Measurement:
    """``caget`` of a list."""
    names = task.names("ao", task.size)

    async def work() -> Measurement:
        await aioca.connect(names, timeout=CONNECTING)
        return await repeat_async(lambda: aioca.caget(names, timeout=CONNECTING), task.seconds, task.size)

    return _run(work())


def put(task: Task) -> Measurement:
    """``caput`` in a loop, then ``caget``."""
    name = task.name("ao", 7)

    async def write() -> None:
        for number in range(task.size):
            await aioca.caput(name, number)
        assert await aioca.caget(name) == task.size - 1

    return _run(repeat_async(write, task.seconds, task.size))


def put_many(task: Task) -> Measurement:
    """``caput`` of a list, then ``caget`` of the last."""
    names = task.names("ao", task.size)
    values = list(range(task.size))

    async def write() -> None:
        await aioca.caput(names, values, timeout=CONNECTING)
        assert await aioca.caget(names[-1]) == values[-1]

    async def work() -> Measurement:
        await aioca.connect(names, timeout=CONNECTING)
        return await repeat_async(write, task.seconds, task.size)

    return _run(work())


def put_wait(task: Task) -> Measurement:
    """``caput`` with ``wait=True``."""
    numbers = itertools.count()
    return _run(repeat_async(lambda: aioca.caput(task.name("ao", 7), next(numbers), wait=True), task.seconds))


def wave_get(task: Task) -> Measurement:
    """``caget``, which gives numpy arrays."""
    name = task.name("wave", task.size)
    values = np.arange(task.size, dtype=float)

    async def work() -> Measurement:
        await aioca.caput(name, values, wait=True, timeout=30)
        assert (await aioca.caget(name, timeout=30) == values).all()
        return await repeat_async(lambda: aioca.caget(name, timeout=30), task.seconds)

    return _run(work())


def wave_put_get(task: Task) -> Measurement:
    """``caput`` of a numpy array, ``caget``."""
    name = task.name("wave", task.size)
    values = np.arange(task.size, dtype=float)

    async def write_and_read() -> Any:
        await aioca.caput(name, values, timeout=30)
        return await aioca.caget(name, timeout=30)

    async def work() -> Measurement:
        assert (await write_and_read() == values).all()
        return await repeat_async(write_and_read, task.seconds)

    return _run(work())


def _subscribe(names: list[str], callback: Callable[[Any], None]) -> list[Any]:
    return [aioca.camonitor(name, callback, format=aioca.FORMAT_TIME, all_updates=True) for name in names]


def _monitored(task: Task, begin: Callable[[float], object]) -> Measurement:
    counter = Counter()

    def updated(value: Any) -> None:
        counter.received += 1

    async def work() -> Measurement:
        names = task.names("calc", task.size)
        await aioca.connect(names, timeout=CONNECTING)
        subscriptions = _subscribe(names, updated)
        await asyncio.sleep(0.1)  # in which it subscribes
        subscribed()
        await asyncio.sleep(SETTLE)
        counter.begin()
        begin(task.seconds)
        await asyncio.sleep(task.seconds)
        del subscriptions
        return counter.end()

    return _run(work())


def monitor(task: Task) -> Measurement:
    """``camonitor`` with ``all_updates=True``."""
    return _monitored(task, lambda seconds: None)


def monitor_computing(task: Task) -> Measurement:
    """The same while another thread computes: the main thread has the event loop."""
    return _monitored(task, Compute)


def firehose(task: Task) -> Measurement:
    """``camonitor`` with ``all_updates=True``; the callback keeps the value."""
    values: list[float] = []

    async def work() -> Measurement:
        hose = Hose(values, task.size)
        subscriptions = _subscribe(task.names("hose", task.subscriptions), values.append)
        while not hose.is_over():
            await asyncio.sleep(0.005)
        del subscriptions
        return hose.measurement()

    return _run(work())
