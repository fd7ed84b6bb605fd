"""caproto's threading client."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from caproto.threading.client import Batch, Context

from cabench.measure import CONNECTING, Counter, Hose, Measurement, Stopwatch, compute, monitored, repeat, watched
from cabench.task import Task


def _connected(names: list[str]) -> list[Any]:
    pvs: list[Any] = Context(timeout=CONNECTING).get_pvs(*names)
    for pv in pvs:
        pv.wait_for_connection(timeout=CONNECTING)
    return pvs


def connect(task: Task) -> Measurement:
    """``get_pvs``, then ``wait_for_connection``."""
    names = task.names("ao", task.size)
    with Stopwatch(task.size) as watch:
        _connected(names)
    return watch.measurement


def get_one(task: Task) -> Measurement:
    """``PV.read``."""
    (pv,) = _connected([task.name("ao", 7)])
    return repeat(pv.read, task.seconds)


def get_many(task: Task) -> Measurement:
    """A ``Batch`` of reads."""
    pvs = _connected(task.names("ao", task.size))

    def read() -> None:
        values: list[Any] = []
        complete = threading.Event()

        def answered(response: Any) -> None:
            values.append(response)
            if len(values) == len(pvs):
                complete.set()

        with Batch(timeout=CONNECTING) as batch:
            for pv in pvs:
                batch.read(pv, answered)
        assert complete.wait(CONNECTING)

    return repeat(read, task.seconds, task.size)


def put(task: Task) -> Measurement:
    """``PV.write`` without waiting in a loop, then ``read``."""
    (pv,) = _connected([task.name("ao", 7)])

    def write() -> None:
        for number in range(task.size):
            pv.write([number], wait=False, notify=False)
        assert pv.read().data[0] == task.size - 1

    return repeat(write, task.seconds, task.size)


def put_many(task: Task) -> Measurement:
    """``PV.write`` without waiting on each, then ``read`` of the last."""
    pvs = _connected(task.names("ao", task.size))

    def write() -> None:
        for number, pv in enumerate(pvs):
            pv.write([number], wait=False, notify=False)
        assert pvs[-1].read(timeout=10).data[0] == task.size - 1

    return repeat(write, task.seconds, task.size)


def put_wait(task: Task) -> Measurement:
    """``PV.write``, which waits."""
    (pv,) = _connected([task.name("ao", 7)])
    numbers = itertools.count()
    return repeat(lambda: pv.write([next(numbers)], wait=True), task.seconds)


def put_callback(task: Task) -> Measurement:
    """``PV.write`` with a callback that sets an Event."""
    (pv,) = _connected([task.name("ao", 7)])
    numbers = itertools.count()
    written = threading.Event()

    def write() -> None:
        written.clear()
        pv.write([next(numbers)], wait=False, callback=lambda _: written.set())
        assert written.wait(10)

    return repeat(write, task.seconds)


def wave_get(task: Task) -> Measurement:
    """``PV.read``, which gives numpy arrays."""
    (pv,) = _connected([task.name("wave", task.size)])
    values = np.arange(task.size, dtype=float)
    pv.write(values, wait=True, timeout=20)
    assert (pv.read(timeout=20).data == values).all()
    return repeat(lambda: pv.read(timeout=20).data, task.seconds)


def wave_put_get(task: Task) -> Measurement:
    """``PV.write`` of a numpy array, ``PV.read``."""
    (pv,) = _connected([task.name("wave", task.size)])
    values = np.arange(task.size, dtype=float)

    def write_and_read() -> Any:
        pv.write(values, wait=False, notify=False)
        return pv.read(timeout=20).data

    assert (write_and_read() == values).all()
    return repeat(write_and_read, task.seconds)


def _subscribe(names: list[str], callback: Callable[[Any, Any], None]) -> list[Any]:
    subscriptions = [pv.subscribe(data_type="time") for pv in _connected(names)]
    for subscription in subscriptions:
        subscription.add_callback(callback)
    return subscriptions


def _monitored(task: Task, during: Callable[[float], object]) -> Measurement:
    counter = Counter()

    def updated(subscription: Any, response: Any) -> None:
        counter.received += 1

    subscriptions = _subscribe(task.names("calc", task.size), updated)
    measurement = monitored(counter, time.sleep, during, task.seconds)
    del subscriptions
    return measurement


def monitor(task: Task) -> Measurement:
    """``PV.subscribe`` on each."""
    return _monitored(task, time.sleep)


def monitor_computing(task: Task) -> Measurement:
    """The same while the main thread computes."""
    return _monitored(task, compute)


def firehose(task: Task) -> Measurement:
    """``PV.subscribe`` on each; the callback keeps the value."""
    values: list[float] = []

    def updated(subscription: Any, response: Any) -> None:
        values.append(response.data[0])

    hose = Hose(values, task.size)
    subscriptions = _subscribe(task.names("hose", task.subscriptions), updated)
    measurement = watched(hose, time.sleep)
    del subscriptions
    return measurement
