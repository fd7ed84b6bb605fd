"""An IOC with the manual's records and those of util.db."""

from __future__ import annotations

import secrets

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
