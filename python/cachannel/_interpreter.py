"""The Python interpreter that a process of its own can be started with."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def interpreter() -> str | None:
    """The Python interpreter, unless this is another program, with Python in it, that must not be started again."""
    name = Path(sys.executable or "").name.lower()
    if getattr(sys, "frozen", False) or not re.match(r"(python|pypy)(?!service)", name):
        return None
    return sys.executable
