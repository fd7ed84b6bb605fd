"""What the monitor of a motor's DMOV tells, and waiting for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from . import _ca, ca
from ._constants import CA_OP_CONN_DOWN, DBE_VALUE, ECA_EVDISALLOW
from ._enums import CA_OP, ChannelState
from .CaChannel import CaChannel

# A wait looks so often whether the connection is lost.
_LOOK_AGAIN = 0.2
# Seconds between two rounds of callbacks, for a thread that has to deliver them itself.
_ROUND = 0.01
# Seconds that a server has to tell DMOV, however little of the timeout is left.
_LAST_LOOK = 0.2
# Seconds that an update may come after the answer to a read, though it was posted before.
_LATE = 0.1


def pause(seconds: float) -> bool:
    """Waits so long, and has callbacks run; in a callback, where none can, it only waits: True."""
    in_callback = ca.pend_event(seconds) == ECA_EVDISALLOW
    if in_callback:
        time.sleep(seconds)
    return in_callback


class TooLate(Exception):
    """A wait has reached its deadline. (No TimeoutError: that is also what a read of a server that hangs raises.)"""


class Motion:
    """The starts of a motor, counted. It knows neither the motor nor its channels, so that these can go away."""

    def __init__(self) -> None:
        self.news = _ca.News()
        """Updates and losses of the connection so far."""
        self.losses = 0
        """How often the connection was lost."""
        # Callbacks alone write it, one at a time; in one piece, so that what belongs together is read together.
        self._told: tuple[int, bool | None] = (0, None)
        self._dispatcher: int | None = None

    @property
    def starts(self) -> int:
        """How often it began to move."""
        return self._told[0]

    @property
    def done(self) -> bool | None:
        """DMOV, as it was told last; None where nothing was since it connected."""
        return self._told[1]

    def watch(self, dmov: CaChannel) -> None:
        """Subscribes to DMOV."""
        dmov.change_connection_event(_ca.Own(self._connection_changed))
        dmov.add_masked_array_event(None, None, DBE_VALUE, _ca.Own(self._updated))
        dmov.flush_io()

    def _updated(self, epics_args: dict[str, Any], user_args: tuple[Any, ...]) -> None:
        value = epics_args["pv_value"]
        self._dispatcher = threading.get_ident()
        if value is not None:
            starts, before = self._told
            done = bool(value)
            # A 1 after a 1 is a motion too: of a 0 and a 1 in quick succession a server may tell the last alone.
            self._told = (starts + (not done or before is True), done)
        self.news.add()

    def _connection_changed(self, epics_args: tuple[ca.chid, CA_OP], user_args: tuple[Any, ...]) -> None:
        if epics_args[1] == CA_OP_CONN_DOWN:
            self.losses += 1
            self._told = (self.starts, None)
        self.news.add()

    def now(self) -> tuple[int, int]:
        """The starts and losses that count for what is asked of the motor now."""
        starts, done = self._told
        # A motor that moves has started: its DMOV stays 0.
        return starts - (done is False), self.losses

    def wait_until(
        self,
        reached: Callable[[bool], bool],
        read: Callable[[float], bool],
        dmov: CaChannel,
        losses: int,
        deadline: float,
    ) -> None:
        """Waits until ``reached(DMOV)``. Updates wake it; what DMOV is, ``read(timeout)`` tells.

        :raises ConnectionError: where the connection is lost, or was since there were so many ``losses``.
        :raises TooLate: at the deadline (of the monotonic clock).
        """
        while True:
            # Before the read: a change after the server has read DMOV counts as news.
            seen = self.news.count
            self._check_connection(dmov, losses)
            if reached(read(max(deadline - time.monotonic(), _LAST_LOOK))):
                return
            while self.news.count == seen:
                self._check_connection(dmov, losses)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TooLate
                self._wait(dmov, seen, left)

    def settle(self, dmov: CaChannel, starts: int) -> None:
        """Gives the updates of a motion that is over, and of which a read has told, a moment to come too, so that no
        later wait takes them for a new start."""
        deadline = time.monotonic() + _LATE
        while not (self.done and self.starts > starts):
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._wait(dmov, self.news.count, left)

    def _check_connection(self, dmov: CaChannel, losses: int) -> None:
        if self.losses != losses or dmov.state() != ChannelState.CONN:
            raise ConnectionError

    def _wait(self, dmov: CaChannel, seen: int, seconds: float) -> None:
        """Returns when there is more news than ``seen``, or earlier; never later than after so many seconds."""
        if self._dispatcher in (None, threading.get_ident()):
            # This thread is in a callback, or delivers them itself, as its context is not preemptive.
            if pause(min(seconds, _ROUND)) and dmov._evid is not None:
                _ca.deliver_own(dmov._evid)
            return
        self.news.wait(seen, min(seconds, _LOOK_AGAIN))
