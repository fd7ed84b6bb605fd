"""What a load is told, what it tells, and what all loads share."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

_GRACE = 60  # seconds after its time until a load is ended by force
_FOUND_AT_MOST = 20


@dataclass
class Job:
    """What a load is told."""

    seconds: float
    seed: int
    steady: str  # prefix of the IOC that always runs
    faulty: str  # and of the one that comes and goes
    share: float = 1.0  # of what the load does in full, where it has a count

    @property
    def limit(self) -> float:
        """Seconds after which the load is taken to hang."""
        return self.seconds + _GRACE


@dataclass
class Outcome:
    """What a load did, and what it found that must not be."""

    counts: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)
    memory: tuple[float, float] = (0.0, 0.0)  # MB, soon after the beginning and at the end
    said: str = ""

    def find(self, what: str) -> None:
        """Note something that must not be."""
        if len(self.found) < _FOUND_AT_MOST:
            self.found.append(what)
        self.counts["found"] += 1


class Load:
    """What all loads share: their job, their outcome, and whether it is time to end."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.outcome = Outcome()
        self._began = time.monotonic()
        self._stopped = False  # no Event: a signal handler sets it

    def stop(self) -> None:
        self._stopped = True

    def sleep(self, seconds: float) -> None:
        """Sleep, but not past the end."""
        end = time.monotonic() + seconds
        while not self.is_over and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    @property
    def is_over(self) -> bool:
        """Whether to end. Also notes the memory at the beginning, once the load has run for a while."""
        from memory_loads import resident

        elapsed = time.monotonic() - self._began
        if not self.outcome.memory[0] and elapsed > self.job.seconds / 5:
            self.outcome.memory = (resident(), 0.0)
        return self._stopped or elapsed > self.job.seconds

    def check(self, condition: object, what: str) -> None:
        if not condition:
            self.outcome.find(what)

    def expect(self, status: int, allowed: tuple[int, ...], what: str) -> None:
        """Count a failure that may be, and note one that may not."""
        from cachannel import ca

        name = ca.ECA(status).name
        self.outcome.counts[name] += 1
        self.check(status in allowed, f"{what}: {name}")
