"""A load's process: ``python -m soak.child NAME``, with a Job as JSON on the first line of its standard input.

It does its work until the time is over or SIGTERM comes, and prints an Outcome as JSON. It ends when its standard input
ends, and by itself where it takes too long.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import traceback
from typing import Any, Callable

from memory_loads import resident

from .load import Job, Load, Outcome
from .works import WORKS


class _Log(logging.Handler):
    """Errors in callbacks are found; libca's talk of lost connections is counted."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self._outcome = outcome

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            self._outcome.find(logging.Formatter().format(record)[-600:])
        else:
            self._outcome.counts["messages"] += 1


def _run(load: Load, work: Callable[[Load], Any]) -> None:
    outcome = load.outcome
    logger = logging.getLogger("cachannel")
    logger.addHandler(_Log(outcome))
    logger.propagate = False
    try:
        outcome.said = str(work(load) or "")
    except BaseException:
        outcome.find(traceback.format_exc()[-900:])
    end = resident()
    outcome.memory = (outcome.memory[0] or end, end)


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(3)


def main() -> None:
    job = Job(**json.loads(sys.stdin.readline()))
    signal.alarm(int(job.limit))
    load = Load(job)
    signal.signal(signal.SIGTERM, lambda number, frame: load.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_input, daemon=True).start()
    _run(load, WORKS[sys.argv[1]].work)
    print(json.dumps(vars(load.outcome)), flush=True)


if __name__ == "__main__":
    main()
