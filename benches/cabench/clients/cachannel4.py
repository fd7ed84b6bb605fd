"""This package: what it does as CaChannel 3.2.0 does it, and here what it alone can."""

from __future__ import annotations

import numpy as np
from cachannel import CaChannel, ChannelGroup, Recorder

from cabench.clients.cachannel import *  # noqa: F403
from cabench.measure import CONNECTING, SILENCE, Flood, Measurement, repeat
from cabench.task import Task


def _group(task: Task) -> ChannelGroup:
    group = ChannelGroup(task.names("ao", task.size), timeout=CONNECTING)
    group.connect()
    return group


def group_get(task: Task) -> Measurement:
    """``ChannelGroup.get``."""
    return repeat(_group(task).get, task.seconds, task.size)


def group_put(task: Task) -> Measurement:
    """``ChannelGroup.put`` of an array, then ``getw`` of the last: it is answered when the IOC has done them all."""
    group = _group(task)
    values = np.arange(task.size, dtype=float)

    def write() -> None:
        group.put(values)
        assert group[-1].getw() == task.size - 1

    return repeat(write, task.seconds, task.size)


def recorder(task: Task) -> Measurement:
    """``Recorder.read`` of whatever has gathered."""
    CaChannel.ca_timeout = CONNECTING
    flood, received, swapped, last = Flood(task.size), 0, 0, -1.0
    with Recorder(task.names("hose", task.subscriptions), capacity=4_000_000) as recording:
        while not flood.saw(received):
            values = recording.read(timeout=SILENCE)["value"]
            if len(values):
                received += len(values)
                swapped += int(values[0] <= last) + int((np.diff(values) <= 0).sum())
                last = values[-1]
    return flood.measurement(swapped)
