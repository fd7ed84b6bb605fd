"""For scripts of tests on Linux: a process that gets no more threads, and what libca knows in it."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from cachannel import ca
from server_process import wait_for

STACK = 256 << 20
"""Bytes of a thread's stack: so large that a limit on memory can be lower, without being in anybody else's way."""


def has_thread() -> bool:
    """Whether a circuit has a sender thread now."""
    names = Path("/proc/self/task").glob("*/comm")
    try:
        return any(b"circu" in name.read_bytes() for name in names)
    except OSError:  # the thread ends at this moment
        return True


@contextlib.contextmanager
def no_threads() -> Iterator[None]:
    """Has the system give this process no more threads."""
    wait_for(lambda: not has_thread())
    # Stacks of threads that have ended would be used again.
    threading.stack_size(STACK)
    for _ in range(4):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + STACK // 2, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def libca_has() -> list[int]:
    """How many channels, and how many requests and subscriptions, libca knows."""
    with tempfile.TemporaryFile() as file:
        sys.stdout.flush()
        standard = os.dup(1)
        os.dup2(file.fileno(), 1)
        ca.show_context(level=4)
        os.dup2(standard, 1)
        os.close(standard)
        file.seek(0)
        return [int(number) for number in re.findall(rb"(\d+) items of type \d+(?:nciu|baseNMIU) ", file.read())]
