"""``sys.exit`` in a callback: it ends the program, as it does anywhere else.

Callbacks run on a dispatcher's thread, where SystemExit would end nothing but that thread. So SystemExit and
KeyboardInterrupt are handed on to the main thread, which raises them wherever it is: its ``finally`` clauses and what
``atexit`` has run as for a ``sys.exit`` of its own.

What has the main thread look is a signal, as for Ctrl-C; nothing else ends a ``time.sleep`` or the wait for a lock.
SIGURG is one that the system ignores unless a program wants it, and so does no harm wherever it may come from.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from functools import partial
from types import FrameType

from . import _ca

_SIGNAL = getattr(signal, "SIGURG", None)

_AGAIN = 0.05
"""Seconds between two signals."""

_SURVIVED = 1.0
"""Seconds after which a program that has caught the exception counts as one that goes on."""

_handed_on: list[BaseException] = []
"""What the main thread is to raise, or has raised. Only the first counts: later ones must not
interrupt the program while it cleans up."""
_raised = False
_raised_at = 0.0
_interrupted = False
_main_ident: int | None = None
"""The main thread's, for `signal.pthread_kill`; what `threading` knows may be a coroutine's."""
_told = _ca.News()
"""How often the main thread has raised."""
_has_ended = False


def _forget() -> None:
    global _raised
    _handed_on.clear()
    _raised = False


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget)


def _end() -> None:
    global _has_ended
    _has_ended = True


def _raise(signum: int, frame: FrameType | None) -> None:
    global _raised, _raised_at
    if _handed_on and not _raised:
        _raised, _raised_at = True, time.monotonic()
        _told.add()
        raise _handed_on[0]


def _is_over() -> bool:
    """Whether the main thread has caught what it raised, and goes on; as far as Python tells (from 3.10 on)."""
    if not _raised or _has_ended or time.monotonic() < _raised_at + _SURVIVED:
        return False
    if not hasattr(sys, "_current_exceptions"):
        return False
    current = sys._current_exceptions().get(_main_ident or 0)
    error = current[1] if isinstance(current, tuple) else current  # a tuple up to 3.11
    while error is not None and error is not _handed_on[0]:
        error = error.__context__
    return error is None


def install() -> None:
    """Called as the package is imported: only the main thread may, and only where the program has no use for it."""
    global _main_ident
    if _SIGNAL is None:
        return
    handler = signal.getsignal(_SIGNAL)
    if handler is None:  # not Python's
        return
    with contextlib.suppress(ValueError):  # not the main thread, or not the main interpreter
        signal.signal(_SIGNAL, _raise if handler is signal.SIG_DFL else handler)
        _main_ident = _ca.thread_ident()


def _insist(main: threading.Thread, ident: int, number: int) -> None:
    """Tell the main thread until it has raised: a signal that comes just before it begins to wait does not end that."""
    seen = _told.count
    while not _raised and main.is_alive():
        signal.pthread_kill(ident, number)
        _told.wait(seen, _AGAIN)


def hand_on(error: BaseException) -> bool:
    """Has the main thread raise what a callback has raised; False where it cannot."""
    global _interrupted
    main = threading.main_thread()
    if not main.is_alive():
        return False
    if _handed_on and _is_over():
        _forget()
    if _handed_on:
        logging.getLogger("cachannel").debug("%r in a callback, while the program ends", error)
        return True
    if _SIGNAL is not None and _main_ident is not None and signal.getsignal(_SIGNAL) is _raise:
        _handed_on.append(error)
        atexit.register(_end)  # late, so that it runs first
        signal.pthread_kill(_main_ident, _SIGNAL)
        _ca.start_thread(partial(_insist, main, _main_ident, _SIGNAL))
        return True
    # Without the signal the main thread can be interrupted as by Ctrl-C, but not with a status.
    if not _interrupted and callable(signal.getsignal(signal.SIGINT)):
        _interrupted = True
        if sys.platform == "win32" or _main_ident is None:
            _thread.interrupt_main()
        else:
            signal.pthread_kill(_main_ident, signal.SIGINT)
    return False
