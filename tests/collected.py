"""For scripts of tests on objects that go: what refers to them, and which channels libca has."""

from __future__ import annotations

import gc
import os
import re
import sys
import tempfile
import weakref
from typing import Any

from cachannel import ca
from in_script import P, connect

__all__ = ["channels", "gc", "kept", "weakref"]

kept = connect("calong")
"""libca closes a circuit that has no channel."""


def channels(context: Any = None) -> list[str]:
    """The channels of the IOC that libca has: it prints them."""
    with tempfile.TemporaryFile("w+") as text:
        sys.stdout.flush()
        saved = os.dup(1)
        os.dup2(text.fileno(), 1)
        try:
            ca.show_context(context, 10)
        finally:
            os.dup2(saved, 1)
            os.close(saved)
        text.seek(0)
        return sorted(set(re.findall(P + r"(\w+)", text.read())))
