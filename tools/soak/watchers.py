"""Loads on the server that comes and goes: monitors, and a recorder. Every value is the one before plus one.

Only after a reconnect may values be missing. No value may be older than one that was seen before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from cachannel import CaChannel, Recorder, ca

from .faults import TICKS
from .load import Load


class _Tick:
    """One monitor and its channel."""

    def __init__(self, load: Load, name: str, req_type: int) -> None:
        self._load = load
        self._name = name
        self._last: float | None = None
        self._may_jump = True
        self._is_up = False
        self.channel = CaChannel(name)
        self.channel.search_and_connect(None, self._connection)
        self.channel.flush_io()
        self._type = req_type
        self._subscribed = False

    def _connection(self, args: Any, user_args: Any) -> None:
        up = args[1] == ca.CA_OP_CONN_UP
        self._load.check(up != self._is_up, f"{self._name}: told twice that it is {'up' if up else 'down'}")
        self._is_up = up
        self._may_jump = True
        self._load.outcome.counts["connects" if up else "disconnects"] += 1
        if up and not self._subscribed:
            self._subscribed = True
            self.channel.add_masked_array_event(self._type, None, None, self._update)
            self.channel.flush_io()

    def _update(self, args: Any, user_args: Any) -> None:
        load, last = self._load, self._last
        if args["status"] != ca.ECA_NORMAL:
            load.expect(args["status"], (ca.ECA_DISCONN,), f"an update of {self._name}")
            return
        value = float(args["pv_value"])
        load.outcome.counts["updates"] += 1
        load.check(self._is_up, f"{self._name}: {value} while disconnected")
        if last is not None:
            load.check(value >= last, f"{self._name}: {value} after {last}: stale")
            load.check(self._may_jump or value == last + 1, f"{self._name}: {value} after {last}")
        self._last, self._may_jump = value, False


def monitors(load: Load) -> None:
    """Monitors of several types with connection callbacks, in the order of events."""
    types = (ca.DBR_DOUBLE, ca.DBR_LONG, ca.DBR_TIME_DOUBLE, ca.DBR_STRING, ca.DBR_CTRL_DOUBLE)
    ticks = [_Tick(load, f"{load.job.faulty}tick{number}", kind) for kind in types for number in range(TICKS)]
    shape = CaChannel(load.job.faulty + "shape")

    def changed(args: Any, user_args: Any) -> None:
        if args["status"] == ca.ECA_NORMAL:
            load.outcome.counts["updates of another type"] += 1
            load.check(float(args["pv_value"]) == 7, f"shape is {args['pv_value']!r}")

    def connected(args: Any, user_args: Any) -> None:
        if args[1] == ca.CA_OP_CONN_UP:
            shape.clear_event()
            shape.add_masked_array_event(None, None, None, changed)
            shape.flush_io()

    shape.search_and_connect(None, connected)
    shape.flush_io()
    while not load.is_over:
        load.sleep(1)
    for tick in ticks:
        load.check(tick.channel.dropped_events() == 0, "updates were dropped")
        tick.channel.clear_channel()


def recorder(load: Load) -> None:
    """A Recorder of all ticks: every row is one more than the one before, but for a row that tells of a disconnect."""
    names = [f"{load.job.faulty}tick{number}" for number in range(TICKS)]
    last: list[float | None] = [None] * TICKS
    may_jump = [True] * TICKS
    with Recorder(names, capacity=100_000) as recording:
        while not load.is_over:
            rows = recording.read(0.5)
            load.outcome.counts["rows"] += len(rows)
            for row in rows:
                index, value = int(row["channel"]), float(row["value"])
                if row["status"] == Recorder.DISCONNECTED:
                    load.outcome.counts["disconnects"] += 1
                    load.check(np.isnan(value), f"{names[index]}: a disconnect with a value")
                    may_jump[index] = True
                    continue
                before = last[index]
                if before is not None:
                    right = value >= before if may_jump[index] else value == before + 1
                    load.check(right, f"{names[index]}: recorded {value} after {before}")
                last[index], may_jump[index] = value, False
        load.check(not recording.dropped.any(), "rows were dropped")
