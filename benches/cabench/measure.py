"""Wall clock, CPU time and memory, in the clients' processes.

No import of anything but the standard library: the peers' environment has nothing else for certain.
"""

from __future__ import annotations

import resource
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType

from .task import SUBSCRIBED

SETTLE = 1.5  # seconds that the first updates of all monitors may take
SILENCE = 1.0  # a firehose that is silent for so long has ended
CONNECTING = 30.0  # seconds that 10,000 connections may take


class NotPossibleError(Exception):
    """A client cannot do what it was asked for: the reason."""


@dataclass
class Measurement:
    """What a work reports; times are those of one operation (one PV read, one update, …)."""

    seconds: float
    cpu: float
    received: int | None = None  # updates of the firehose
    lost: int | None = None  # those of it that did not come
    swapped: int | None = None  # those that came after one that was sent later


def cpu_time() -> float:
    """Return the seconds of CPU that this process has used, all threads, in user space and in the system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_memory() -> int:
    """Return the most memory that this process had, in bytes."""
    # getrusage counts what the process was before it executed this program, a copy of its parent; the high-water mark
    # of the address space does not.
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Stopwatch:
    """Measures a with-block that does ``operations`` operations; the result is in ``measurement``."""

    def __init__(self, operations: int) -> None:
        self.operations = operations
        self.measurement = Measurement(0, 0)

    def __enter__(self) -> Stopwatch:
        self._cpu = cpu_time()
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._start
        cpu = cpu_time() - self._cpu
        self.measurement = Measurement(seconds / self.operations, cpu / self.operations)


class _Times:
    """The times of a work's repetitions."""

    def __init__(self, seconds: float, operations: int) -> None:
        self.operations = operations
        self._times: list[float] = []
        self._cpu = cpu_time()
        self._end = time.perf_counter() + seconds

    def add(self, seconds: float) -> None:
        self._times.append(seconds)

    def are_enough(self) -> bool:
        # One that takes as long as all of them may is done once.
        return bool(self._times) and time.perf_counter() >= self._end

    def measurement(self) -> Measurement:
        cpu = (cpu_time() - self._cpu) / len(self._times)
        return Measurement(statistics.median(self._times) / self.operations, cpu / self.operations)


def repeat(step: Callable[[], object], seconds: float, operations: int = 1) -> Measurement:
    """Do ``step``, which is so many operations, until the time is over, once before unmeasured: the median."""
    step()
    times = _Times(seconds, operations)
    while not times.are_enough():
        start = time.perf_counter()
        step()
        times.add(time.perf_counter() - start)
    return times.measurement()


async def repeat_async(step: Callable[[], Awaitable[object]], seconds: float, operations: int = 1) -> Measurement:
    """Do the same with a coroutine function."""
    await step()
    times = _Times(seconds, operations)
    while not times.are_enough():
        start = time.perf_counter()
        await step()
        times.add(time.perf_counter() - start)
    return times.measurement()


def compute(seconds: float) -> int:
    """Keep Python busy for so long, as a program does that calculates, and return something."""
    end = time.perf_counter() + seconds
    total = 0
    while time.perf_counter() < end:
        for number in range(1000):
            total = (total * 31 + number) % 1_000_003
    return total


class Compute:
    """The same in another thread, for clients whose callbacks run in the main thread."""

    def __init__(self, seconds: float) -> None:
        self._thread = threading.Thread(target=compute, args=(seconds,), daemon=True)
        self._thread.start()


class Counter:
    """Counts the updates between two moments."""

    def __init__(self) -> None:
        self.received = 0

    def begin(self) -> None:
        """Begin to count what counts."""
        self._first = self.received
        self._cpu = cpu_time()
        self._start = time.perf_counter()

    def end(self) -> Measurement:
        """Return how long an update took."""
        seconds = time.perf_counter() - self._start
        updates = self.received - self._first
        if not updates:
            raise NotPossibleError("no update came")
        return Measurement(seconds / updates, (cpu_time() - self._cpu) / updates)


def subscribed() -> None:
    """Tell the runner that all PVs are subscribed to: it has the IOC begin to update them."""
    print(SUBSCRIBED, flush=True)


def monitored(
    counter: Counter, pause: Callable[[float], object], during: Callable[[float], object], seconds: float
) -> Measurement:
    """Return how long an update took, on average, during ``during(seconds)``, when all PVs have had their first."""
    subscribed()
    pause(SETTLE)
    counter.begin()
    during(seconds)
    return counter.end()


class Flood:
    """Tells when the firehose is over, and how long an update took."""

    def __init__(self, updates: int) -> None:
        self._updates = updates
        self._cpu = cpu_time()
        self._first: tuple[int, float] | None = None
        self._last = (0, time.perf_counter())

    def saw(self, received: int) -> bool:
        """Take in how many updates have come so far; return whether that is all, or nothing more comes."""
        now = time.perf_counter()
        if received > self._last[0]:
            self._first = self._first or (received, now)
            self._last = (received, now)
        silent = self._first is not None and now - self._last[1] > SILENCE
        return received >= self._updates or silent

    def measurement(self, swapped: int, repeated: int = 0) -> Measurement:
        """Return how long an update took, and whether any is missing or out of order."""
        if self._first is None:
            raise NotPossibleError("no update came")
        cpu = cpu_time() - self._cpu
        (before, start), (received, end) = self._first, self._last
        lost = self._updates - (received - repeated)
        seconds = (end - start) / max(received - before, 1)
        return Measurement(seconds, cpu / received, received, lost, swapped)


class Hose:
    """Watches what has come of the firehose, as a list that callbacks append the values to."""

    def __init__(self, values: Sequence[float], updates: int) -> None:
        self._values = values
        self._flood = Flood(updates)

    def is_over(self) -> bool:
        """Look; return whether everything has come, or nothing more comes."""
        return self._flood.saw(len(self._values))

    def measurement(self) -> Measurement:
        """Return how long an update took, and whether any is missing or out of order."""
        # Without a copy, which would count as the client's memory.
        values = self._values
        swapped = sum(bool(later <= earlier) for earlier, later in zip(values, islice(values, 1, None)))
        return self._flood.measurement(swapped, len(values) - len(set(values)) if swapped else 0)


def watched(hose: Hose, pause: Callable[[float], object]) -> Measurement:
    """Wait until the firehose is over and return what it measured."""
    while not hose.is_over():
        pause(0.005)
    return hose.measurement()
