"""What is prepared before libca makes a context: libca then reads the environment, and soon looks for a repeater."""

from __future__ import annotations

import os
import threading

from . import _ca, _repeater, _variables

_lock = threading.RLock()
_environment_is_seen_to = False

tells_of_mistakes = True
"""Whether mistakes in the variables are logged; for a program that has told of them, they are only mended."""


def _renew_lock() -> None:
    """In a forked child: another thread of the parent may have held it."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_lock)


def prepare_environment() -> None:
    """Called before each context is made."""
    global _environment_is_seen_to
    with _lock:
        if not _environment_is_seen_to:
            _environment_is_seen_to = True
            mistakes = list(_variables.mistakes())
            if mistakes:
                import logging  # seldom needed

                for text in mistakes if tells_of_mistakes else ():
                    logging.getLogger("cachannel").warning("%s", text)
                _variables.mend()
            _ca.divert_errlog()
        elif _variables.is_mended():
            _variables.mend()
        _repeater.look()
