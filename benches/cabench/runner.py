"""Has every client do every row, in turn, each time in a process of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import servers
from .database import PREFIX
from .roster import C, Client
from .rows import SUBSCRIPTIONS, Row
from .task import SUBSCRIBED, Task

TIME_LIMIT = 60  # seconds for one process
GRACE = 5  # and so many more until it is killed


@dataclass(frozen=True)
class Sample:
    """What one process measured, or the reason why it did not."""

    row: str
    client: str
    round: int
    seconds: float = 0.0  # for one operation
    cpu: float = 0.0  # seconds of CPU for one operation
    memory: int = 0  # bytes, at most
    received: int | None = None  # updates of the firehose
    lost: int | None = None
    swapped: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Programs:
    """What to run."""

    python: Path  # with the peers
    c_speed: Path
    firehose: Path
    libca: str  # the one that the package uses, for C

    def command(self, client: Client) -> list[str]:
        """Return how a client's process begins."""
        if client is C:
            return [str(self.c_speed), self.libca, str(TIME_LIMIT)]
        python = str(self.python) if client.is_peer else sys.executable
        return [python, "-m", "cabench.client", client.module, str(TIME_LIMIT)]


def _output(
    command: Sequence[str], variables: Mapping[str, str], updating: AbstractContextManager[None] | None = None
) -> dict[str, Any]:
    """Run a client's process and return what it says; where it subscribes, begin ``updating`` then."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables
    )
    assert process.stdout is not None
    with contextlib.ExitStack() as at_end:
        try:
            # It ends by itself when it takes too long, and then the line is empty.
            if updating is not None and process.stdout.readline().strip() == SUBSCRIBED:
                at_end.enter_context(updating)
            output, errors = process.communicate(timeout=TIME_LIMIT + GRACE)
        except subprocess.TimeoutExpired:
            output, errors = "", "Timeout"
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            result: dict[str, Any] = json.loads(line)
            return result
    if "Timeout" in errors.partition("\n")[0] or (process.returncode == 1 and not errors):
        return {"reason": f"not over in {TIME_LIMIT} s"}
    said = [line.strip() for line in errors.splitlines() if line.strip()]
    return {"reason": f"fails: {said[-1][:120]}" if said else f"ends with status {process.returncode}"}


class Runner:
    """Measures, and keeps the samples."""

    def __init__(self, programs: Programs, ioc: servers.Ioc, variables: Mapping[str, str]) -> None:
        self.samples: list[Sample] = []
        self._programs = programs
        self._ioc = ioc
        self._variables = variables
        self._failed: dict[tuple[str, str], str] = {}

    def _measure(self, row: Row, client: Client) -> dict[str, Any]:
        size = row.sizes.get(client.key, row.size)
        task = Task(row.works(), size, row.seconds, PREFIX, SUBSCRIPTIONS)
        command = [*self._programs.command(client), *task.arguments()]
        if row.updating:
            return _output(command, self._variables, self._ioc.updating())
        if not row.flooded:
            return _output(command, self._variables)
        limit = TIME_LIMIT + 2 * GRACE
        with servers.firehose(self._programs.firehose, SUBSCRIPTIONS, size, limit, self._variables) as variables:
            return _output(command, variables)

    def measure(self, row: Row, client: Client, number: int) -> Sample:
        """Measure once; what has failed before is not tried again."""
        failed = self._failed.get((row.key, client.key))
        result = self._measure(row, client) if failed is None else {"reason": failed}
        sample = Sample(row.key, client.key, number, **result)
        if sample.reason:
            self._failed[row.key, client.key] = sample.reason
        self.samples.append(sample)
        return sample

    def run(
        self,
        rows: Sequence[Row],
        clients: Sequence[Client],
        rounds: int,
        tell: Callable[[int, Row, list[Sample]], None],
    ) -> None:
        """Go through all rows so many times; ``tell`` hears of each row that is done."""
        for number in range(rounds):
            for row in rows:
                # Another one begins each time, so that nobody always comes after the same one.
                turn = number % len(clients)
                order = [*clients[turn:], *clients[:turn]]
                tell(number, row, [self.measure(row, client, number) for client in order])


def as_json(sample: Sample) -> dict[str, Any]:
    """Return a sample without what it has not."""
    return {name: value for name, value in asdict(sample).items() if value not in (None, "")}
