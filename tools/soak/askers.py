"""Loads on the server that comes and goes: reads and writes. Each ends in time, with the right value or an error."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cachannel import CaChannel, CaChannelException, ChannelGroup, ca
from server_process import wait_for

from .faults import TICKS
from .load import Load

_LATE = 2.0  # seconds that a wait may last beyond its timeout on a busy computer
_MAY_FAIL = (ca.ECA_TIMEOUT, ca.ECA_DISCONN)
_BACK = 60.0  # seconds for the server, and the connection to it, to be there again


@contextmanager
def _in_time(load: Load, what: str, timeout: float) -> Iterator[None]:
    """What the block does ends in time, and fails with no other status than those that are allowed."""
    began = time.monotonic()
    try:
        yield
        load.outcome.counts["done"] += 1
    except CaChannelException as error:
        load.expect(error.status, _MAY_FAIL, what)
    took = time.monotonic() - began
    load.check(took < timeout + _LATE, f"{what} took {took:.1f} s, its timeout is {timeout:.1f} s")


def _connected(load: Load, names: list[str]) -> list[CaChannel]:
    channels = [CaChannel(name) for name in names]
    for channel in channels:
        channel.search()
    channels[0].flush_io()
    wait_for(lambda: all(channel.state() == ca.ChannelState.CONN for channel in channels), _BACK, "all connect")
    return channels


def reads(load: Load) -> None:
    """Reads of all kinds; a value is never older than what was seen of the PV before, however it was seen."""
    pick = random.Random(load.job.seed)
    channels = _connected(load, [f"{load.job.faulty}tick{number}" for number in range(TICKS)])
    seen = [0.0] * TICKS
    monitored = [0.0] * TICKS
    answered = [0.0] * TICKS

    def update(args: Any, user_args: Any) -> None:
        if args["status"] == ca.ECA_NORMAL:
            monitored[user_args[0]] = args["pv_value"]

    def answer(args: Any, user_args: Any) -> None:
        number = user_args[0]
        if args["status"] != ca.ECA_NORMAL:
            load.expect(args["status"], _MAY_FAIL, "a get with a callback")
            return
        value = args["pv_value"]
        load.check(value >= answered[number], f"tick{number}: answer {value} after {answered[number]}")
        answered[number] = value

    def took(number: int, value: float, least: float) -> None:
        load.check(value >= least, f"tick{number}: read {value}, and {least} was there before")
        load.check(int(value) == value, f"tick{number}: read {value}")
        seen[number] = max(seen[number], value)

    for number, channel in enumerate(channels):
        channel.add_masked_array_event(ca.DBR_DOUBLE, None, None, update, number)
    while not load.is_over:
        timeout = pick.choice((0.05, 0.3, 1.0))
        number = pick.randrange(TICKS)
        channel = channels[number]
        channel.setTimeout(timeout)
        least = max(seen[number], monitored[number])
        with _in_time(load, "getw", timeout):
            took(number, channel.getw(), least)
        before = [max(pair) for pair in zip(seen, monitored)]
        with _in_time(load, "array_get of all", timeout):
            for each in channels:
                each.array_get()
            channel.pend_io(timeout)
            for index, each in enumerate(channels):
                took(index, each.getValue(), before[index])
        with _in_time(load, "array_get_callback", timeout):
            channel.array_get_callback(ca.DBR_DOUBLE, None, answer, number)
            channel.flush_io()
        load.sleep(pick.uniform(0, 0.02))


def groups(load: Load) -> None:
    """ChannelGroups, which read what they can; values only rise."""
    names = [f"{load.job.faulty}tick{number}" for number in range(TICKS)]
    last = [0.0] * TICKS
    pick = random.Random(load.job.seed)
    group = ChannelGroup(names)
    group.connect(_BACK)
    puts = ChannelGroup([f"{load.job.faulty}put{number}" for number in range(3, TICKS)])
    while not load.is_over:
        timeout = pick.choice((0.05, 0.3, 1.0))
        with _in_time(load, "a group's get", timeout):
            values = group.get(timeout, throw=False)
            for index, (value, status) in enumerate(zip(values.tolist(), group.status.tolist())):
                load.expect(status, (ca.ECA_NORMAL, *_MAY_FAIL), "a group's get")
                if status == ca.ECA_NORMAL:
                    load.check(value >= last[index], f"{names[index]}: {value} after {last[index]} in a group")
                    last[index] = value
        with _in_time(load, "a group's put", timeout):
            puts.put(pick.randrange(1000), wait=True, timeout=timeout)
        load.sleep(pick.uniform(0, 0.05))
    group.close()
    puts.close()


class _Writer:
    """Writes 1, 2, 3, … to a PV that holds 0 when its server starts; reads it back."""

    def __init__(self, load: Load, name: str) -> None:
        self._load = load
        self._name = name
        self._number = 0
        self._downs = 0
        self.waiting: set[int] = set()
        (self._channel,) = _connected(load, [name])
        self._channel.change_connection_event(self._connection)

    def _connection(self, args: Any, user_args: Any) -> None:
        self._downs += args[1] == ca.CA_OP_CONN_DOWN

    def _written(self, args: Any, user_args: Any) -> None:
        number = user_args[0]
        self._load.check(number in self.waiting, f"{self._name}: two answers to the write of {number}")
        self.waiting.discard(number)
        self._load.expect(args["status"], (ca.ECA_NORMAL, ca.ECA_DISCONN), "a write with a callback")

    def _write(self) -> None:
        if self._number % 2:
            self._channel.putw(self._number)
            return
        self.waiting.add(self._number)
        try:
            self._channel.array_put_callback(self._number, None, None, self._written, self._number)
            self._channel.flush_io()
        except CaChannelException:
            self.waiting.discard(self._number)
            raise

    def _read(self, downs: int) -> None:
        value = self._channel.getw()
        self._load.check(value <= self._number, f"{self._name}: {value}, and only {self._number} was written")
        if value != self._number:
            # Only with the connection may a write be lost; the callback that tells may still be to come.
            lost = f"{self._name}: {value} is there, {self._number} was written, and no connection was lost"
            wait_for(lambda: self._downs > downs, 2.0, lost)

    def write_and_read(self, timeout: float) -> None:
        self._number += 1
        self._channel.setTimeout(timeout)
        downs = self._downs
        with _in_time(self._load, "a write and its getw", 2 * timeout):
            self._write()
            self._read(downs)


def writes(load: Load) -> None:
    """Writes with and without callbacks: each has one answer, and is there afterwards unless a connection was lost."""
    pick = random.Random(load.job.seed)
    writers = [_Writer(load, f"{load.job.faulty}put{number}") for number in range(3)]
    while not load.is_over:
        timeout = pick.choice((0.1, 0.5, 2.0))
        for writer in writers:
            writer.write_and_read(timeout)
        load.sleep(pick.uniform(0, 0.03))
    # The server is left running at the end, so all answers come.
    for writer in writers:
        wait_for(lambda writer=writer: not writer.waiting, 50, "answers to all writes")  # type: ignore[misc]  # infers no type for the default
