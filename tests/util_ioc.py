"""An IOC with the manual's records and those of util.db."""

from __future__ import annotations

import os
import secrets
import signal
import sys

import pytest
from conftest import HARD_LIMIT, RESTART_PORT
from ioc import HERE, Ioc


class UtilIoc(Ioc):
    """An IOC for tests that need long strings or puts that never complete, or that stop and kill it."""

    def __init__(self) -> None:
        super().__init__(f"u{secrets.token_hex(4)}:", RESTART_PORT, full=False, bare=False, limit=HARD_LIMIT)
        self.shape = ("DOUBLE", 3)

    def _command(self) -> list[str]:
        element, number = self.shape
        macros = f"P={self.prefix},T={element},N={number}"
        return [*super()._command(), "--database", str(HERE / "util.db"), macros]

    def hold(self) -> None:
        """Stop the IOC's process, its connections left open, so that requests stay on their way."""
        assert self.process is not None
        if sys.platform == "win32":
            pytest.skip("stops a process")
        os.kill(self.process.pid, signal.SIGSTOP)
        # Returns when all of its threads have stopped.
        os.waitpid(self.process.pid, os.WUNTRACED)

    def release(self) -> None:
        """Let it go on."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)
