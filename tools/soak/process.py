"""One load in a process of its own, from start to what came of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict

from .load import Job, Outcome
from .works import Work

_SOON = 60.0  # seconds to end in good order when told to
# What libca prints by itself: the servers' addresses are also that of a network interface.
_EXPECTED = ("Duplicate EPICS CA Address",)


class Process:
    """A load that runs."""

    def __init__(self, name: str, work: Work, job: Job, variables: Mapping[str, str]) -> None:
        self.name = name
        self._work = work
        self._job = job
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "soak.child", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=variables,
            start_new_session=True,  # Ctrl-C is for who started it
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(asdict(job)) + "\n")
            self._process.stdin.flush()

    def finish(self, early: bool = False) -> Outcome:
        """Wait for its end, which ``early`` asks for, and return what it did and what was found."""
        if early and self._process.poll() is None:
            self._process.terminate()
        left = _SOON if early else self._job.limit - (time.monotonic() - self._began)
        hangs = False
        output = errors = ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            output, errors = self._communicate(max(left, 1.0))
        if self._process.poll() is None:
            hangs = True
            self.kill()
            output, errors = self._process.communicate()
        outcome = self._outcome(output)
        status = self._process.returncode
        if hangs or status == -signal.SIGALRM:
            outcome.find(f"it hangs: not over {self._job.limit:.0f} s after its start")
        elif status != 0:
            outcome.find(f"it ended with status {status}")
        lines = [line for line in errors.splitlines() if line.strip()]
        unexpected = [line for line in lines if not any(part in line for part in _EXPECTED)]
        if unexpected:
            outcome.find("it printed: " + "\n".join(unexpected[-25:]))
        outcome.counts["messages"] += len(lines) - len(unexpected)
        grown = outcome.memory[1] - outcome.memory[0]
        if grown > self._work.may_grow:
            outcome.find(f"memory grew by {grown:.0f} MB, from {outcome.memory[0]:.0f} MB")
        return outcome

    def _communicate(self, timeout: float) -> tuple[str, str]:
        # communicate() would close the standard input of the load, which ends the load.
        stdin, self._process.stdin = self._process.stdin, None
        try:
            return self._process.communicate(timeout=timeout)
        finally:
            self._process.stdin = stdin

    def kill(self) -> None:
        """End it at once, and whatever it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @staticmethod
    def _outcome(output: str) -> Outcome:
        for line in reversed(output.splitlines()):
            if line.startswith("{"):
                outcome = Outcome(**json.loads(line))
                outcome.counts = Counter(outcome.counts)
                return outcome
        return Outcome()
