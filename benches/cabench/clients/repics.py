"""repics: its blocking functions."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from repics import ca

from cabench.measure import CONNECTING, Counter, Hose, Measurement, Stopwatch, compute, monitored, repeat, watched
from cabench.task import Task

CANNOT = {"put_callback": "no callback of a put"}


def connect(task: Task) -> Measurement:
    """``connect`` of a list."""
    with Stopwatch(task.size) as watch:
        ca.connect(task.names("ao", task.size), timeout=CONNECTING)
    return watch.measurement


def get_one(task: Task) -> Measurement:
    """``caget`` of the plain value."""
    return repeat(lambda: ca.caget(task.name("ao", 7), form="plain"), task.seconds)


def get_many(task: Task) -> Measurement:
    """``caget`` of a list, plain values."""
    names = task.names("ao", task.size)
    ca.connect(names, timeout=CONNECTING)
    return repeat(lambda: ca.caget(names, form="plain", timeout=CONNECTING), task.seconds, task.size)


def put(task: Task) -> Measurement:
    """``caput`` in a loop, then ``caget``."""
    name = task.name("ao", 7)

    def write() -> None:
        for number in range(task.size):
            ca.caput(name, number)
        assert ca.caget(name) == task.size - 1

    return repeat(write, task.seconds, task.size)


def put_many(task: Task) -> Measurement:
    """``caput`` of a list, then ``caget`` of the last."""
    names = task.names("ao", task.size)
    values = list(range(task.size))
    ca.connect(names, timeout=CONNECTING)

    def write() -> None:
        ca.caput(names, values, timeout=CONNECTING)
        assert ca.caget(names[-1]) == values[-1]

    return repeat(write, task.seconds, task.size)


def put_wait(task: Task) -> Measurement:
    """``caput`` with ``wait=True``."""
    numbers = itertools.count()
    return repeat(lambda: ca.caput(task.name("ao", 7), next(numbers), wait=True), task.seconds)


def wave_get(task: Task) -> Measurement:
    """``caget``, which gives numpy arrays."""
    name = task.name("wave", task.size)
    values = np.arange(task.size, dtype=float)
    ca.caput(name, values, wait=True, timeout=30)
    assert (ca.caget(name, form="plain", timeout=30) == values).all()
    return repeat(lambda: ca.caget(name, form="plain", timeout=30), task.seconds)


def wave_put_get(task: Task) -> Measurement:
    """``caput`` of a numpy array, ``caget``."""
    name = task.name("wave", task.size)
    values = np.arange(task.size, dtype=float)

    def write_and_read() -> Any:
        ca.caput(name, values, timeout=30)
        return ca.caget(name, form="plain", timeout=30)

    assert (write_and_read() == values).all()
    return repeat(write_and_read, task.seconds)


def _subscribe(names: list[str], callback: Callable[[Any], None]) -> list[Any]:
    return [ca.camonitor(name, callback, all_updates=True) for name in names]


def _monitored(task: Task, during: Callable[[float], object]) -> Measurement:
    counter = Counter()

    def updated(value: Any) -> None:
        counter.received += 1

    names = task.names("calc", task.size)
    ca.connect(names, timeout=CONNECTING)
    subscriptions = _subscribe(names, updated)
    measurement = monitored(counter, time.sleep, during, task.seconds)
    del subscriptions
    return measurement


def monitor(task: Task) -> Measurement:
    """``camonitor`` with ``all_updates=True``."""
    return _monitored(task, time.sleep)


def monitor_computing(task: Task) -> Measurement:
    """The same while the main thread computes."""
    return _monitored(task, compute)


def firehose(task: Task) -> Measurement:
    """``camonitor`` with ``all_updates=True``; the callback keeps the value."""
    values: list[float] = []

    def updated(value: Any) -> None:
        values.append(float(value))

    hose = Hose(values, task.size)
    subscriptions = _subscribe(task.names("hose", task.subscriptions), updated)
    measurement = watched(hose, time.sleep)
    del subscriptions
    return measurement
