"""This package, and CaChannel 3.2.0: one program serves both, under the names of the old one."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from cabench.measure import CONNECTING, Counter, Hose, Measurement, Stopwatch, compute, monitored, repeat, watched
from cabench.task import Task

if TYPE_CHECKING:
    from cachannel import CaChannel, ca
    from cachannel.epicsPV import epicsPV
    from cachannel.util import caput
else:
    from CaChannel import CaChannel, ca
    from CaChannel.util import caput
    from epicsPV import epicsPV


def _connected(names: list[str]) -> list[CaChannel]:
    channels = [CaChannel(name) for name in names]
    for channel in channels:
        channel.search()
    channels[0].pend_io(CONNECTING)
    return channels


def connect(task: Task) -> Measurement:
    """``search`` on each, one ``pend_io``."""
    channels = [CaChannel(name) for name in task.names("ao", task.size)]
    with Stopwatch(task.size) as watch:
        for channel in channels:
            channel.search()
        channels[0].pend_io(CONNECTING)
    return watch.measurement


def get_one(task: Task) -> Measurement:
    """``getw``."""
    (channel,) = _connected([task.name("ao", 7)])
    return repeat(channel.getw, task.seconds)


def get_many(task: Task) -> Measurement:
    """``array_get`` on each, one ``pend_io``, ``getValue`` on each."""
    channels = _connected(task.names("ao", task.size))

    def read() -> list[Any]:
        for channel in channels:
            channel.array_get()
        channels[0].pend_io(CONNECTING)
        return [channel.getValue() for channel in channels]

    return repeat(read, task.seconds, task.size)


def put(task: Task) -> Measurement:
    """``array_put`` in a loop, then ``getw``: when that is answered the IOC has done them all."""
    (channel,) = _connected([task.name("ao", 7)])

    def write() -> None:
        for number in range(task.size):
            channel.array_put(number)
        assert channel.getw() == task.size - 1

    return repeat(write, task.seconds, task.size)


def put_many(task: Task) -> Measurement:
    """``array_put`` on each, then ``getw`` of the last: it is answered when the IOC has done them all."""
    channels = _connected(task.names("ao", task.size))

    def write() -> None:
        for number, channel in enumerate(channels):
            channel.array_put(number)
        assert channels[-1].getw() == task.size - 1

    return repeat(write, task.seconds, task.size)


def put_wait(task: Task) -> Measurement:
    """``util.caput`` with ``wait=True``."""
    name = task.name("ao", 7)
    numbers = itertools.count()
    return repeat(lambda: caput(name, next(numbers), wait=True), task.seconds)


def put_wait_pv(task: Task) -> Measurement:
    """``epicsPV.putWait``."""
    pv = epicsPV(task.name("ao", 7))
    numbers = itertools.count()
    return repeat(lambda: pv.putWait(next(numbers)), task.seconds)


def put_callback(task: Task) -> Measurement:
    """``array_put_callback`` to a function that sets an Event, for which this thread waits."""
    (channel,) = _connected([task.name("ao", 7)])
    numbers = itertools.count()
    written = threading.Event()

    def done(epics_args: Any, user_args: Any) -> None:
        written.set()

    def write() -> None:
        written.clear()
        channel.array_put_callback(next(numbers), None, None, done)
        channel.flush_io()
        assert written.wait(10)

    return repeat(write, task.seconds)


def _waveform(task: Task) -> tuple[CaChannel, Any]:
    (channel,) = _connected([task.name("wave", task.size)])
    channel.setTimeout(30)
    return channel, np.arange(task.size, dtype=float)


def wave_get(task: Task) -> Measurement:
    """``getw`` with ``use_numpy=True``."""
    channel, values = _waveform(task)
    channel.putw(values)
    assert (channel.getw(use_numpy=True) == values).all()
    return repeat(lambda: channel.getw(use_numpy=True), task.seconds)


def wave_put_get(task: Task) -> Measurement:
    """``putw`` of a numpy array, ``getw`` with ``use_numpy=True``."""
    channel, values = _waveform(task)

    def write_and_read() -> Any:
        channel.putw(values)
        return channel.getw(use_numpy=True)

    assert (write_and_read() == values).all()
    return repeat(write_and_read, task.seconds)


def _monitored(task: Task, during: Callable[[float], object]) -> Measurement:
    counter = Counter()

    def updated(epics_args: Any, user_args: Any) -> None:
        counter.received += 1

    channels = _connected(task.names("calc", task.size))
    for channel in channels:
        channel.add_masked_array_event(ca.DBR_TIME_DOUBLE, None, ca.DBE_VALUE | ca.DBE_ALARM, updated)
    channels[0].flush_io()
    return monitored(counter, time.sleep, during, task.seconds)


def monitor(task: Task) -> Measurement:
    """``add_masked_array_event`` on each, while the main thread sleeps."""
    return _monitored(task, time.sleep)


def monitor_computing(task: Task) -> Measurement:
    """The same while the main thread computes."""
    return _monitored(task, compute)


def firehose(task: Task) -> Measurement:
    """``add_masked_array_event`` on each; the callback keeps the value."""
    values: list[float] = []
    keep = values.append

    def updated(epics_args: Any, user_args: Any) -> None:
        keep(epics_args["pv_value"])

    channels = _connected(task.names("hose", task.subscriptions))
    hose = Hose(values, task.size)
    for channel in channels:
        channel.add_masked_array_event(ca.DBR_TIME_DOUBLE, None, ca.DBE_VALUE | ca.DBE_ALARM, updated)
    channels[0].flush_io()
    return watched(hose, time.sleep)
