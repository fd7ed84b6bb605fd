"""A client's process: does one work, prints one line of JSON, ends.

``python -m cabench.client NAME LIMIT`` and the arguments of a :class:`Task`.  It ends after LIMIT seconds in any case.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from .measure import Measurement, NotPossibleError, peak_memory
from .task import Task


def run(name: str, task: Task) -> dict[str, Any]:
    """Return what the client's function measured, or the reason why it has none."""
    module = importlib.import_module(f"cabench.clients.{name}")
    cannot: dict[str, str] = getattr(module, "CANNOT", {})
    for work in task.works:
        function: Callable[[Task], Measurement] | None = getattr(module, work, None)
        if function is None:
            continue
        try:
            measurement = function(task)
        except NotPossibleError as why:
            return {"reason": str(why)}
        return {**asdict(measurement), "memory": peak_memory()}
    return {"reason": next((cannot[work] for work in task.works if work in cannot), "has no such call")}


def main() -> None:
    """Be the process."""
    name, limit, *arguments = sys.argv[1:]
    faulthandler.dump_traceback_later(float(limit), exit=True)
    print(json.dumps(run(name, Task.parse(arguments))), flush=True)
    # What a client does when Python ends is not measured, and some take their time.
    os._exit(0)


if __name__ == "__main__":
    main()
