"""What ``threading`` is to know of the package's own threads, which it has not started itself."""

from __future__ import annotations

import sys
import threading


def enter(name: str) -> None:
    """Called by a new thread: it gets its name, and the tracer and profiler that ``threading`` has new threads get."""
    threading.current_thread().name = name  # which makes an object for it, of a daemon
    # Last, so that a tracer that fails does so when all else is done. Python 3.9 has no functions for them.
    profiler = getattr(threading, "_profile_hook", None)
    if profiler is not None:
        sys.setprofile(profiler)
    tracer = getattr(threading, "_trace_hook", None)
    if tracer is not None:
        sys.settrace(tracer)


def leave() -> None:
    """Called by a thread that ends: drops its object, which up to Python 3.12 nothing else does."""
    sys.settrace(None)
    sys.setprofile(None)
    delete = getattr(threading.current_thread(), "_delete", None)
    if delete is not None:
        delete()
