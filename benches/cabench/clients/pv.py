"""Class PV of this package, and caget of a list with time and alarm."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from cachannel import PV, CaChannel, ca
from cachannel.util import caput

from cabench.measure import CONNECTING, Counter, Hose, Measurement, Stopwatch, compute, monitored, repeat, watched
from cabench.task import Task


def _connected(names: list[str]) -> list[PV]:
    pvs = [PV(name, timeout=CONNECTING) for name in names]
    for pv in pvs:
        pv.wait_connected()
    return pvs


def connect(task: Task) -> Measurement:
    """A ``PV`` for each, then ``wait_connected``."""
    with Stopwatch(task.size) as watch:
        pvs = _connected(task.names("ao", task.size))
    assert all(pv.connected for pv in pvs)
    return watch.measurement


def get_one(task: Task) -> Measurement:
    """``PV.get``."""
    (pv,) = _connected([task.name("ao", 7)])
    return repeat(pv.get, task.seconds)


def get_many(task: Task) -> Measurement:
    """``PV.get`` of each: for many at once there is ``ChannelGroup``."""
    pvs = _connected(task.names("ao", task.size))
    return repeat(lambda: [pv.get() for pv in pvs], task.seconds, task.size)


def put(task: Task) -> Measurement:
    """``PV.put`` in a loop, then ``get``."""
    (pv,) = _connected([task.name("ao", 7)])

    def write() -> None:
        for number in range(task.size):
            pv.put(number)
        assert pv.get() == task.size - 1

    return repeat(write, task.seconds, task.size)


def put_many(task: Task) -> Measurement:
    """``caput`` of a list, then ``PV.get`` of the last."""
    CaChannel.ca_timeout = CONNECTING
    names = task.names("ao", task.size)
    values = list(range(task.size))
    (last,) = _connected(names[-1:])

    def write() -> None:
        caput(names, values)
        assert last.get() == values[-1]

    return repeat(write, task.seconds, task.size)


def put_wait(task: Task) -> Measurement:
    """``PV.put`` with ``wait=True``."""
    (pv,) = _connected([task.name("ao", 7)])
    numbers = itertools.count()
    return repeat(lambda: pv.put(next(numbers), wait=True), task.seconds)


def _waveform(task: Task) -> tuple[PV, Any]:
    (pv,) = _connected([task.name("wave", task.size)])
    return pv, np.arange(task.size, dtype=float)


def wave_get(task: Task) -> Measurement:
    """``PV.get``, which gives numpy arrays."""
    pv, values = _waveform(task)
    pv.put(values, wait=True)
    assert (pv.get(timeout=30) == values).all()
    return repeat(lambda: pv.get(timeout=30), task.seconds)


def wave_put_get(task: Task) -> Measurement:
    """``PV.put`` of a numpy array, ``PV.get``."""
    pv, values = _waveform(task)

    def write_and_read() -> Any:
        pv.put(values)
        return pv.get(timeout=30)

    assert (write_and_read() == values).all()
    return repeat(write_and_read, task.seconds)


def _monitored(task: Task, during: Callable[[float], object]) -> Measurement:
    counter = Counter()

    def updated(value: Any) -> None:
        counter.received += 1

    pvs = _connected(task.names("calc", task.size))
    for pv in pvs:
        pv.subscribe(updated, mask=ca.DBE_VALUE | ca.DBE_ALARM)
    return monitored(counter, time.sleep, during, task.seconds)


def monitor(task: Task) -> Measurement:
    """``PV.subscribe`` on each: value, time, alarm and properties."""
    return _monitored(task, time.sleep)


def monitor_computing(task: Task) -> Measurement:
    """The same while the main thread computes."""
    return _monitored(task, compute)


def firehose(task: Task) -> Measurement:
    """``PV.subscribe`` on each; the callback keeps the value."""
    values: list[Any] = []
    pvs = _connected(task.names("hose", task.subscriptions))
    hose = Hose(values, task.size)
    for pv in pvs:
        pv.subscribe(values.append, mask=ca.DBE_VALUE | ca.DBE_ALARM)
    return watched(hose, time.sleep)
