"""A camera of 32 MB a frame and a callback ten times too slow for it: memory stays bounded, the newest frame arrives.

``slow_camera`` is run by the tests and by ``make soak``; ``python tests/slow_camera.py PREFIX FRAMES`` by hand.
"""

from __future__ import annotations

import sys
import threading
from typing import Any, NamedTuple

import numpy as np
from cachannel import ca
from memory_loads import FRAME, resident
from server_process import wait_for

_MIB = 1024 * 1024
WAITING = 96.0  # MiB of updates that wait for one subscription
POOL = 256.0  # MiB that are kept for the next large arrays
ONE = FRAME * 8 / _MIB
# What waits, what is kept, the frame that the callback has, and the one that arrives.
BOUND = WAITING + POOL + 2 * ONE
_SLOWER = 10
_LONG = 60.0


class Camera(NamedTuple):
    """How it went; memory in MB."""

    frames: int
    received: int
    dropped: int
    most: float  # above what was in use before
    newest: bool

    @property
    def is_well(self) -> bool:
        return self.newest and self.dropped > 0 and self.most <= BOUND

    def __str__(self) -> str:
        arrived = "the newest arrived" if self.newest else "the newest did NOT arrive"
        return (
            f"{self.frames} frames, {self.received} received, {self.dropped} dropped, {arrived}; "
            f"at most {self.most:.0f} MB more than before, allowed are {BOUND:.0f}"
        )


def slow_camera(prefix: str, count: int) -> Camera:
    """So many frames, with a callback that holds each until the camera is ten frames further."""
    status, chid = ca.create_channel(prefix + "big")
    assert status == ca.ECA_NORMAL
    status, writer = ca.create_channel(prefix + "big")
    assert ca.pend_io(_LONG) == ca.ECA_NORMAL
    image = np.zeros(FRAME)

    def write(number: int) -> None:
        """Returns when the server has it."""
        image.fill(number)
        assert ca.put(writer, image) == ca.ECA_NORMAL
        assert ca.get(writer, count=1)[0] == ca.ECA_NORMAL
        assert ca.pend_io(_LONG) == ca.ECA_NORMAL

    values: list[int] = []
    written = 0
    further = threading.Condition()
    over = False

    def callback(args: Any) -> None:
        frame = args["value"]
        number = int(frame[0])
        assert frame[FRAME // 2] == frame[-1] == number
        with further:
            values.append(number)
            further.wait_for(lambda: over or written >= number + _SLOWER, _LONG)

    write(0)
    status, evid = ca.create_subscription(chid, callback, use_numpy=True)
    assert status == ca.ECA_NORMAL
    assert evid is not None
    ca.flush_io()
    wait_for(lambda: values, _LONG, "the first frame")
    before = most = resident()
    for number in range(1, count + 1):
        write(number)
        with further:
            written = number
            further.notify_all()
        most = max(most, resident())
    with further:
        over = True
        further.notify_all()
    wait_for(lambda: values[-1] == count, _LONG, "the newest frame")
    assert values == sorted(set(values)), values
    camera = Camera(count, len(values), ca.dropped(evid), most - before, values[-1] == count)
    for each in (chid, writer):
        ca.clear_channel(each)
    return camera


if __name__ == "__main__":
    camera = slow_camera(sys.argv[1], int(sys.argv[2]))
    print(camera)
    sys.exit(not camera.is_well)
