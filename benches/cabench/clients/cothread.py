"""cothread's catools."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import cothread
import numpy as np
from cothread import catools

from cabench.measure import (
    CONNECTING,
    SETTLE,
    Compute,
    Counter,
    Hose,
    Measurement,
    Stopwatch,
    repeat,
    subscribed,
    watched,
)
from cabench.task import Task


def connect(task: Task) -> Measurement:
    """``connect`` of a list."""
    with Stopwatch(task.size) as watch:
        catools.connect(task.names("ao", task.size), timeout=CONNECTING)
    return watch.measurement


def get_one(task: Task) -> Measurement:
    """``caget``."""
    return repeat(lambda: catools.caget(task.name("ao", 7)), task.seconds)


def get_many(task: Task) -> Measurement:
    """``caget`` of a list."""
    names = task.names("ao", task.size)
    catools.connect(names, timeout=CONNECTING)
    return repeat(lambda: catools.caget(names, timeout=CONNECTING), task.seconds, task.size)


def put(task: Task) -> Measurement:
    """``caput`` in a loop, then ``caget``."""
    name = task.name("ao", 7)

    def write() -> None:
        for number in range(task.size):
            catools.caput(name, number)
        assert catools.caget(name) == task.size - 1

    return repeat(write, task.seconds, task.size)


def put_many(task: Task) -> Measurement:
    """``caput`` of a list, then ``caget`` of the last."""
    names = task.names("ao", task.size)
    values = list(range(task.size))
    catools.connect(names, timeout=CONNECTING)

    def write() -> None:
        catools.caput(names, values, timeout=CONNECTING)
        assert catools.caget(names[-1]) == values[-1]

    return repeat(write, task.seconds, task.size)


def put_wait(task: Task) -> Measurement:
    """``caput`` with ``wait=True``."""
    numbers = itertools.count()
    return repeat(lambda: catools.caput(task.name("ao", 7), next(numbers), wait=True), task.seconds)


def put_callback(task: Task) -> Measurement:
    """``caput`` with a callback that sets an Event (cothread's: a thread's would stop the callbacks)."""
    name = task.name("ao", 7)
    numbers = itertools.count()
    written = cothread.Event()

    def write() -> None:
        catools.caput(name, next(numbers), callback=lambda _: written.Signal())
        written.Wait(10)

    return repeat(write, task.seconds)


def wave_get(task: Task) -> Measurement:
    """``caget``, which gives numpy arrays."""
    name = task.name("wave", task.size)
    values = np.arange(task.size, dtype=float)
    catools.caput(name, values, wait=True, timeout=30)
    assert (catools.caget(name, timeout=30) == values).all()
    return repeat(lambda: catools.caget(name, timeout=30), task.seconds)


def wave_put_get(task: Task) -> Measurement:
    """``caput`` of a numpy array, ``caget``."""
    name = task.name("wave", task.size)
    values = np.arange(task.size, dtype=float)

    def write_and_read() -> Any:
        catools.caput(name, values, timeout=30)
        return catools.caget(name, timeout=30)

    assert (write_and_read() == values).all()
    return repeat(write_and_read, task.seconds)


def _subscribe(names: list[str], callback: Callable[[Any], None]) -> list[Any]:
    return [catools.camonitor(name, callback, format=catools.FORMAT_TIME, all_updates=True) for name in names]


def _monitored(task: Task, begin: Callable[[float], object]) -> Measurement:
    counter = Counter()

    def updated(value: Any) -> None:
        counter.received += 1

    names = task.names("calc", task.size)
    catools.connect(names, timeout=CONNECTING)
    subscriptions = _subscribe(names, updated)
    cothread.Sleep(0.1)  # in which it subscribes
    subscribed()
    cothread.Sleep(SETTLE)
    counter.begin()
    begin(task.seconds)
    cothread.Sleep(task.seconds)
    del subscriptions
    return counter.end()


def monitor(task: Task) -> Measurement:
    """``camonitor`` with ``all_updates=True``."""
    return _monitored(task, lambda seconds: None)


def monitor_computing(task: Task) -> Measurement:
    """The same while another thread computes: the main thread has the cothreads."""
    return _monitored(task, Compute)


def firehose(task: Task) -> Measurement:
    """``camonitor`` with ``all_updates=True``; the callback keeps the value."""
    values: list[float] = []
    hose = Hose(values, task.size)
    subscriptions = _subscribe(task.names("hose", task.subscriptions), values.append)
    measurement = watched(hose, cothread.Sleep)
    del subscriptions
    return measurement
