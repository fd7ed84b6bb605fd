"""``python -m soak --minutes 30``: runs the loads, prints the table; exit status 1 where anything was found."""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import time

from world import World, world

from .faults import Faults, Faulty
from .load import Job, Outcome
from .process import Process
from .table import findings, table
from .works import WORKS

_FULL = 20.0  # minutes from which on loads with a count do all of it
_SPARE = 900  # seconds that the servers live on, where all is late
_INTERRUPTED = 130

Outcomes = list[tuple[str, float, Outcome]]


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


class Soak:
    """The loads that run, and what came of those that ended."""

    def __init__(self, place: World, server: Faulty, minutes: float, seed: int, only: str) -> None:
        self.outcomes: Outcomes = []
        self.is_interrupted = False
        self._running: list[tuple[Process, float]] = []
        self._place = place
        self._server = server
        self._seconds = minutes * 60
        self._share = min(1.0, minutes / _FULL)
        self._random = random.Random(seed)
        self._works = {name: work for name, work in WORKS.items() if only in name}

    @property
    def left_out(self) -> list[str]:
        """Loads that had no turn."""
        had = {name for name, _, _ in self.outcomes}
        return [name for name in self._works if name not in had]

    def _start(self, name: str, seconds: float) -> Process:
        seed = self._random.randrange(2**31)
        job = Job(seconds, seed, self._place.ioc.prefix, self._server.prefix, self._share)
        process = Process(name, WORKS[name], job, self._place.variables)
        self._running.append((process, time.monotonic()))
        return process

    def _finish(self, process: Process, early: bool = False) -> None:
        outcome = process.finish(early)
        (began,) = [began for other, began in self._running if other is process]
        self._running = [pair for pair in self._running if pair[0] is not process]
        self.outcomes.append((process.name, time.monotonic() - began, outcome))
        found = f", found {len(outcome.found)}" if outcome.found else ""
        _say(f"{process.name} is over{found}; {outcome.said}" if outcome.said else f"{process.name} is over{found}")

    def _turns(self, end: float) -> None:
        """One after the other, the loads that do not run throughout; those with a count once."""
        turns = [name for name, work in self._works.items() if not work.throughout]
        while turns and time.monotonic() < end:
            for name in list(turns):
                left = end - time.monotonic()
                if left < 3:
                    break
                work = WORKS[name]
                if work.has_count:
                    turns.remove(name)
                self._finish(
                    self._start(name, work.seconds if work.has_count else min(work.seconds * self._share + 3, left))
                )
        time.sleep(max(0.0, end - time.monotonic()))

    def run(self) -> None:
        """Run everything; Ctrl-C ends it early."""
        end = time.monotonic() + self._seconds
        faults = Faults(self._server, self._random.randrange(2**31))
        try:
            for name, work in self._works.items():
                if work.throughout:
                    self._start(name, self._seconds + 3600)
            time.sleep(2)
            faults.start()
            self._turns(end)
        except KeyboardInterrupt:
            self.is_interrupted = True
            _say("interrupted: ending all loads")
        finally:
            try:
                faults.stop()
                for process, _ in list(self._running):
                    self._finish(process, early=True)
            finally:
                for process, _ in self._running:
                    process.kill()
        self.outcomes.append(("faults", self._seconds, Outcome(faults.counts, faults.found)))


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run, for the same faults")
    parser.add_argument("--only", default="", help="loads whose name has this in it")
    arguments = parser.parse_args()
    seed = secrets.randbelow(10**6) if arguments.seed is None else arguments.seed
    limit = int(arguments.minutes * 60) + _SPARE
    _say(f"soaking for {arguments.minutes:g} min, seed {seed}")
    began = time.monotonic()
    with (
        world(limit) as place,
        Faulty(f"f{secrets.token_hex(4)}:", place.spare_port, full=False, bare=False, limit=limit) as server,
    ):
        soak = Soak(place, server, arguments.minutes, seed, arguments.only)
        soak.run()
    print(f"\n{table(soak.outcomes)}\n\n{findings(soak.outcomes)}".rstrip())
    if soak.left_out:
        print(f"\nno time was left for: {', '.join(soak.left_out)}")
    found = sum(len(outcome.found) for _, _, outcome in soak.outcomes)
    minutes = (time.monotonic() - began) / 60
    print(f"\n{minutes:.1f} min, seed {seed}, the faulty server had {server.life} lives: {found or 'nothing'} found")
    if soak.is_interrupted:
        return _INTERRUPTED
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
