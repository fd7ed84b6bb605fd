"""Loads under which memory has to level off, each with a count of its own.

The tests run them with counts of a few seconds, ``make soak`` with the full ones; by hand it is
``python tests/memory_loads.py NAME PREFIX COUNT``.  A load is a generator that says after each step how much it has
done.  It checks the values that it gets: they are numbered.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator, Sized
from itertools import islice
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np
from cachannel import CaChannel, CaChannelException, ChannelGroup, Recorder, ca
from server_process import wait_for

Load = Callable[[str, int], Iterator[int]]

FRAME = 4_000_000  # doubles
_BATCH = 100
_LONG = 60.0  # seconds that a busy computer may take for a step


def resident() -> float:
    """Memory of this process that is in use now, in MB."""
    with Path("/proc/self/status").open() as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def _connect(name: str) -> Any:
    status, chid = ca.create_channel(name)
    assert status == ca.ECA_NORMAL, status
    assert ca.pend_io(_LONG) == ca.ECA_NORMAL, name
    return chid


def _finish() -> None:
    assert ca.pend_io(_LONG) == ca.ECA_NORMAL


def _put(chid: Any, value: Any) -> None:
    assert ca.put(chid, value) == ca.ECA_NORMAL


def _read(chid: Any, *args: Any, **keywords: Any) -> Any:
    status, value = ca.get(chid, *args, **keywords)
    assert status == ca.ECA_NORMAL, status
    assert value is not None
    _finish()
    return value.get()


def _gathered(things: Sized, count: int) -> None:
    wait_for(lambda: len(things) >= count, _LONG)


def gets(prefix: str, count: int) -> Iterator[int]:
    """Reads of all kinds: waited for, with callbacks, of the class, of a group, of a synchronous group."""
    chid, text = _connect(prefix + "count"), _connect(prefix + "text")
    channel = CaChannel(prefix + "count")
    channel.setTimeout(_LONG)
    channel.searchw()
    words = "all is well"
    _put(text, words)
    status, gid = ca.sg_create()
    assert status == ca.ECA_NORMAL
    assert gid is not None
    seen: list[Any] = []
    types = [None, ca.DBR_STRING, ca.DBR_TIME_DOUBLE, ca.DBR_CTRL_LONG]
    with ChannelGroup([prefix + f"many{tens}_0" for tens in range(10)], timeout=_LONG) as group:
        for number in range(0, count, _BATCH):
            _put(chid, number)
            kind = types[number // _BATCH % len(types)]
            values = [ca.get(chid, kind)[1] for _ in range(60)]
            _finish()
            for value in values:
                assert value is not None
                found = value.get()
                assert int(found["value"] if isinstance(found, dict) else found) == number
            seen.clear()
            for _ in range(20):
                ca.get(chid, kind, callback=seen.append)
            held = ca.sg_get(gid, chid)[1]
            ca.sg_block(gid, _LONG)
            assert held is not None
            assert held.get() == number
            for _ in range(4):
                assert channel.getw() == number
            group.get()
            characters = [ca.get(text, count=len(words), use_numpy=bool(each % 2))[1] for each in range(5)]
            _finish()
            for letters in characters:
                assert letters is not None
                assert bytes(bytearray(letters.get())) == words.encode()
            _gathered(seen, 20)
            assert {int(args["value"]["value"] if kind and kind > 6 else args["value"]) for args in seen} == {number}
            yield number + _BATCH
    ca.sg_delete(gid)
    for each in (chid, text):
        ca.clear_channel(each)
    channel.clear_channel()


def puts(prefix: str, count: int) -> Iterator[int]:
    """Writes of all kinds: only sent, with callbacks, waited for, arrays, texts, of a group."""
    plain, text, wave = (_connect(prefix + name) for name in ("plain", "note", "stream"))
    channel = CaChannel(prefix + "count")
    channel.setTimeout(_LONG)
    channel.searchw()
    done: list[Any] = []
    with ChannelGroup([prefix + f"many{tens}_1" for tens in range(10)], timeout=_LONG) as group:
        for number in range(0, count, _BATCH):
            for step in range(50):
                _put(plain, number + step)
            for step in range(10):
                _put(text, f"number {number + step}")
                _put(wave, np.full(100, number + step, "f8"))
            done.clear()
            for step in range(10):
                ca.put(plain, number + step, callback=done.append)
                channel.putw(number + step)
            group.put(number, wait=True)
            assert channel.getw() == number + 9
            assert _read(plain) == number + 9
            assert _read(text) == f"number {number + 9}"
            assert _read(wave, count=2) == [number + 9] * 2
            _gathered(done, 10)
            assert {args["status"] for args in done} == {ca.ECA_NORMAL}
            try:
                channel.array_put("no number")
            except CaChannelException:
                pass
            else:
                raise AssertionError("taken")
            yield number + _BATCH
    for each in (plain, text, wave):
        ca.clear_channel(each)
    channel.clear_channel()


def events(prefix: str, count: int) -> Iterator[int]:
    """Updates of ten subscriptions of several types and of a recorder; each is as its number says, and in order."""
    chid = _connect(prefix + "count")
    _put(chid, 0)
    _read(chid)
    writer = _connect(prefix + "count")
    channel = CaChannel(prefix + "count")
    channel.setTimeout(_LONG)
    channel.searchw()
    latest = [0] * 10
    received = 0

    def took(index: int, value: Any) -> None:
        nonlocal received
        received += 1
        number = int(value)
        assert number >= latest[index], (number, latest[index])
        latest[index] = number

    evids = []
    for index, kind in enumerate([None, ca.DBR_DOUBLE, ca.DBR_STRING, ca.DBR_STS_LONG, ca.DBR_TIME_DOUBLE] * 2):

        def update(args: Any, index: int = index) -> None:
            value = args["value"]
            took(index, value["value"] if isinstance(value, dict) else value)

        if index < 9:
            status, evid = ca.create_subscription(chid, update, kind, use_numpy=index % 2 == 1)
            assert status == ca.ECA_NORMAL
            assert evid is not None
            evids.append(evid)
        else:
            channel.add_masked_array_event(
                ca.DBR_TIME_LONG, None, None, lambda args, user_args: took(9, args["pv_value"])
            )

    def arrived() -> bool:
        return set(latest) == {number}

    with Recorder(prefix + "count") as recorder:
        recorded = -1.0
        number = 0
        while received < count:
            for _ in range(10):
                number += 1
                _put(writer, number)
            ca.flush_io()
            wait_for(arrived, _LONG, f"update {number}")
            while recorded < number:
                rows = recorder.read(_LONG)
                assert (np.diff(rows["value"]) > 0).all()
                assert rows["value"][0] > recorded
                recorded = rows["value"][-1]
            yield min(received, count)
    assert ca.dropped(evids[0]) == 0
    for each in (chid, writer):
        ca.clear_channel(each)
    channel.clear_channel()


def channels(prefix: str, count: int) -> Iterator[int]:
    """Channels that are made and dropped: cleared or only forgotten, connected or not yet, in cycles, by a group."""
    names = [prefix + f"many{tens}_{ones}" for tens in range(10) for ones in range(10)]
    for done in range(0, count, 5 * len(names)):
        # Cleared one by one, with subscriptions.
        seen: set[Any] = set()
        chids = [ca.create_channel(name)[1] for name in names]
        _finish()
        for chid in chids:
            ca.create_subscription(chid, lambda args, seen=seen: seen.add(args["chid"]))
        ca.flush_io()
        _gathered(seen, len(names))
        for chid in chids:
            assert ca.clear_channel(chid) == ca.ECA_NORMAL
        # Forgotten, each in a cycle with the callback of a read under way. (A connection callback would keep it.)
        objects = [CaChannel(name) for name in names]
        ups: list[Any] = []
        for each in objects:
            each.search_and_connect(None, lambda args, user_args: user_args[1].append(user_args[0]), each, ups)
        objects[0].flush_io()
        _gathered(ups, len(names))
        for each in objects:
            each.change_connection_event(None)
            each.array_get_callback(None, None, lambda args, user_args: None, each)
        objects[0].flush_io()
        del each, objects
        # Never waited for.
        early = [CaChannel(name) for name in names]
        for one in early:
            one.search()
        early[0].flush_io()
        del one, early
        # Names that nobody has, while libca searches.
        lost = [CaChannel(name + ":nowhere") for name in names]
        for one in lost:
            one.search()
        lost[0].flush_io()
        del one, lost
        with ChannelGroup(names, timeout=_LONG) as group:
            group.get()
        gc.collect()
        yield done + 5 * len(names)


def frames(prefix: str, count: int) -> Iterator[int]:
    """Images of 32 MB: written, read, monitored; each is of one number."""
    chid, writer = _connect(prefix + "big"), _connect(prefix + "big")
    image = np.zeros(FRAME)
    _put(writer, image)
    assert len(_read(writer, use_numpy=True)) == FRAME
    latest = -1

    def update(args: Any) -> None:
        nonlocal latest
        frame = args["value"]
        assert len(frame) == FRAME
        assert frame[0] == frame[FRAME // 2] == frame[-1] >= latest
        latest = int(frame[0])

    def arrived() -> bool:
        return latest == number

    assert ca.create_subscription(chid, update, use_numpy=True)[0] == ca.ECA_NORMAL
    ca.flush_io()
    for number in range(1, count + 1):
        image.fill(number)
        _put(writer, image)
        if number % 4 == 0:
            frame = _read(writer, use_numpy=True)
            assert frame[0] == frame[-1] == number
            del frame
        ca.flush_io()
        wait_for(arrived, _LONG, f"frame {number}")
        yield number
    for each in (chid, writer):
        ca.clear_channel(each)


def contexts(prefix: str, count: int) -> Iterator[int]:
    """Contexts with a channel, a subscription and what is under way, made and destroyed; half are non-preemptive."""

    def use(preemptive: bool) -> None:
        assert ca.create_context(preemptive) == ca.ECA_NORMAL
        chid = _connect(prefix + "calong")
        left = [ca.create_channel(f"{prefix}nowhere{number:0300}") for number in range(300)]
        assert {status for status, _ in left} == {ca.ECA_NORMAL}
        seen: list[Any] = []
        ca.create_subscription(chid, seen.append)
        ca.flush_io()
        end = time.monotonic() + _LONG
        while not seen:
            assert time.monotonic() < end
            ca.pend_event(0.005)
        ca.get(chid, callback=seen.append)
        ca.get(chid)
        ca.flush_io()
        ca.destroy_context()

    for number in range(count):
        thread = threading.Thread(target=use, args=(number % 2 == 0,))
        thread.start()
        thread.join()
        yield number + 1


class Trend(NamedTuple):
    """Resident memory, in MB, after a tenth of a load and at every tenth from there on."""

    name: str
    done: int
    points: list[float]
    allowed: float
    seconds: float

    @property
    def growth(self) -> float:
        """By how much the second half needed more than the first, in MB."""
        half = len(self.points) // 2
        return max(self.points[half:]) - max(self.points[:half])

    @property
    def levels_off(self) -> bool:
        return self.growth <= self.allowed

    def __str__(self) -> str:
        points = " ".join(f"{point:.1f}" for point in self.points)
        said = "levels off" if self.levels_off else f"GROWS by {self.growth:.1f} MB, allowed are {self.allowed}"
        return f"{self.name} {self.done}: {said}; MB at every tenth: {points}; {self.seconds:.0f} s"


class Kind(NamedTuple):
    """A load, how much of it is all, and by how many MB it may still grow in its second half."""

    load: Load
    full: int
    allowed: float


LOADS = {
    "gets": Kind(gets, 1_000_000, 2.0),
    "puts": Kind(puts, 1_000_000, 2.0),
    "events": Kind(events, 1_000_000, 2.0),
    "channels": Kind(channels, 100_000, 2.0),
    "frames": Kind(frames, 1_000, 64.0),
    "contexts": Kind(contexts, 1_000, 3.5),
}


def run(name: str, prefix: str, count: int | None = None) -> Trend:
    """Runs a load and tells how memory went."""
    kind = LOADS[name]
    count = count or kind.full
    points: list[float] = []
    began = time.monotonic()
    for done in kind.load(prefix, count):
        if done * 10 >= count * (len(points) + 1):
            gc.collect()
            points.append(resident())
    return Trend(name, count, points, kind.allowed, time.monotonic() - began)


def main() -> int:
    name, prefix, *count = sys.argv[1:]
    trend = run(name, prefix, *[int(number) for number in islice(count, 1)])
    print(trend)
    return not trend.levels_off


if __name__ == "__main__":
    sys.exit(main())
