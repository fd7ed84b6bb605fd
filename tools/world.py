"""What ``make memcheck`` and ``make soak`` run in: ports of their own on loopback, a repeater, a real IOC.

All of it ends with the process that made it, and by itself when ``limit`` is over.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ioc import Ioc
from server_process import free_port, udp_port_is_free, wait_for

ROOT = Path(__file__).resolve().parents[1]
_FOLDERS = ("tests", "tools", "benches")


@dataclass(frozen=True)
class World:
    """The IOC with all records of the tests, a free port for one that is to be killed, and the ports' environment."""

    ioc: Ioc
    spare_port: int
    variables: dict[str, str]
    limit: int  # seconds


def _variables(server: int, spare: int, repeater: int) -> dict[str, str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("EPICS_CA_", "EPICS_CAS_"))}
    folders = [str(ROOT / folder) for folder in _FOLDERS]
    variables.update(
        EPICS_CA_ADDR_LIST=f"127.0.0.1:{server} 127.0.0.1:{spare}",
        EPICS_CA_AUTO_ADDR_LIST="NO",
        EPICS_CA_SERVER_PORT=str(server),
        EPICS_CA_REPEATER_PORT=str(repeater),
        EPICS_CA_MAX_ARRAY_BYTES="100000000",
        EPICS_CAS_INTF_ADDR_LIST="127.0.0.1",
        EPICS_CAS_BEACON_ADDR_LIST="127.0.0.1",
        EPICS_CAS_AUTO_BEACON_ADDR_LIST="NO",
        PYTHONPATH=os.pathsep.join(filter(None, [*folders, os.environ.get("PYTHONPATH", "")])),
    )
    return variables


@contextmanager
def _repeater(port: int, limit: int) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "cabench.repeater", str(limit)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        wait_for(lambda: process.poll() is not None or not udp_port_is_free(port), 20, "the repeater listens")
        yield
    finally:
        process.terminate()
        process.wait(10)
        assert process.stdin is not None
        process.stdin.close()


@contextmanager
def world(limit: int) -> Iterator[World]:
    """Make one, for ``limit`` seconds; this process's environment becomes the world's, and is given back at the end."""
    server, spare, repeater = free_port(), free_port(), free_port()
    before = dict(os.environ)
    variables = _variables(server, spare, repeater)
    try:
        os.environ.clear()
        os.environ.update(variables)
        with _repeater(repeater, limit), Ioc(f"w{secrets.token_hex(4)}:", server, bare=False, limit=limit) as ioc:
            yield World(ioc, spare, variables, limit)
    finally:
        os.environ.clear()
        os.environ.update(before)
