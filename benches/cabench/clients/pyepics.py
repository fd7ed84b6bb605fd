"""pyepics."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import epics
import numpy as np

from cabench.measure import CONNECTING, Counter, Hose, Measurement, Stopwatch, compute, monitored, repeat, watched
from cabench.task import Task


def _connected(names: list[str], **options: Any) -> list[Any]:
    pvs = [epics.PV(name, **options) for name in names]
    for pv in pvs:
        pv.wait_for_connection(CONNECTING)
    return pvs


def connect(task: Task) -> Measurement:
    """A ``PV`` for each, then ``wait_for_connection``."""
    with Stopwatch(task.size) as watch:
        pvs = _connected(task.names("ao", task.size), auto_monitor=False)
    assert all(pv.connected for pv in pvs)
    return watch.measurement


def get_one(task: Task) -> Measurement:
    """``PV.get``, of the server."""
    (pv,) = _connected([task.name("ao", 7)], auto_monitor=False)
    return repeat(pv.get, task.seconds)


def get_many(task: Task) -> Measurement:
    """``ca.get`` without waiting for each, ``ca.get_complete`` for each, as its documentation advises."""
    chids = [epics.ca.create_channel(name, auto_cb=False) for name in task.names("ao", task.size)]
    for chid in chids:
        epics.ca.connect_channel(chid, timeout=CONNECTING)

    def read() -> list[Any]:
        for chid in chids:
            epics.ca.get(chid, wait=False)
        epics.ca.poll()
        values = [epics.ca.get_complete(chid, timeout=5) for chid in chids]
        assert None not in values
        return values

    return repeat(read, task.seconds, task.size)


def put(task: Task) -> Measurement:
    """``PV.put`` in a loop, then ``get``."""
    (pv,) = _connected([task.name("ao", 7)], auto_monitor=False)

    def write() -> None:
        for number in range(task.size):
            pv.put(number)
        assert pv.get() == task.size - 1

    return repeat(write, task.seconds, task.size)


def put_many(task: Task) -> Measurement:
    """``PV.put`` on each, then ``get`` of the last."""
    pvs = _connected(task.names("ao", task.size), auto_monitor=False)

    def write() -> None:
        for number, pv in enumerate(pvs):
            pv.put(number)
        assert pvs[-1].get(timeout=10) == task.size - 1

    return repeat(write, task.seconds, task.size)


def put_wait(task: Task) -> Measurement:
    """``PV.put`` with ``wait=True``."""
    (pv,) = _connected([task.name("ao", 7)], auto_monitor=False)
    numbers = itertools.count()
    return repeat(lambda: pv.put(next(numbers), wait=True), task.seconds)


def put_callback(task: Task) -> Measurement:
    """``PV.put`` with a callback that sets an Event."""
    (pv,) = _connected([task.name("ao", 7)], auto_monitor=False)
    numbers = itertools.count()
    written = threading.Event()

    def write() -> None:
        written.clear()
        pv.put(next(numbers), callback=lambda **_: written.set())
        assert written.wait(10)

    return repeat(write, task.seconds)


def wave_get(task: Task) -> Measurement:
    """``PV.get``, which gives numpy arrays."""
    (pv,) = _connected([task.name("wave", task.size)], auto_monitor=False)
    values = np.arange(task.size, dtype=float)
    pv.put(values, wait=True, timeout=30)
    assert (pv.get(timeout=30) == values).all()
    return repeat(lambda: pv.get(timeout=30), task.seconds)


def wave_put_get(task: Task) -> Measurement:
    """``PV.put`` of a numpy array, ``PV.get``."""
    (pv,) = _connected([task.name("wave", task.size)], auto_monitor=False)
    values = np.arange(task.size, dtype=float)

    def write_and_read() -> Any:
        pv.put(values)
        return pv.get(timeout=30)

    assert (write_and_read() == values).all()
    return repeat(write_and_read, task.seconds)


def _subscribed(names: list[str], callback: Callable[..., None]) -> list[Any]:
    pvs = _connected(names, form="time", auto_monitor=epics.dbr.DBE_VALUE | epics.dbr.DBE_ALARM)
    for pv in pvs:
        pv.add_callback(callback)
    return pvs


def _monitored(task: Task, during: Callable[[float], object]) -> Measurement:
    counter = Counter()

    def updated(**_: Any) -> None:
        counter.received += 1

    pvs = _subscribed(task.names("calc", task.size), updated)
    measurement = monitored(counter, time.sleep, during, task.seconds)
    del pvs
    return measurement


def monitor(task: Task) -> Measurement:
    """``PV.add_callback`` on each."""
    return _monitored(task, time.sleep)


def monitor_computing(task: Task) -> Measurement:
    """The same while the main thread computes."""
    return _monitored(task, compute)


def firehose(task: Task) -> Measurement:
    """``PV`` with a callback; the callback keeps the value."""
    values: list[float] = []

    def updated(value: float, **_: Any) -> None:
        values.append(value)

    hose = Hose(values, task.size)
    names = task.names("hose", task.subscriptions)
    pvs = [epics.PV(name, callback=updated, form="time", auto_monitor=True) for name in names]
    measurement = watched(hose, time.sleep)
    del pvs
    return measurement
