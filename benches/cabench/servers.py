"""The processes that clients talk to: an IOC for the whole run, a CA repeater, a firehose for each time one is needed.

All end when their standard input closes, so that nothing outlives the benchmark, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from . import database

BENCHES = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free for UDP and TCP, and that no client gets by chance."""
    for _ in range(1000):
        port = random.randrange(10_000, 32_000)
        if not (is_taken(port, socket.SOCK_DGRAM) or is_taken(port, socket.SOCK_STREAM)):
            return port
    raise RuntimeError("no free port between 10000 and 32000")


def is_taken(port: int, kind: socket.SocketKind) -> bool:
    """Return whether somebody listens there."""
    with socket.socket(type=kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def environment() -> dict[str, str]:
    """Return this process's environment, with Channel Access on loopback and on ports of its own."""
    port = free_port()
    variables = {name: value for name, value in os.environ.items() if not name.startswith("EPICS_")}
    return {
        **variables,
        "EPICS_CA_ADDR_LIST": f"127.0.0.1:{port}",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": str(port),
        "EPICS_CA_REPEATER_PORT": str(free_port()),
        "EPICS_CA_MAX_ARRAY_BYTES": "100000000",
        "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "PYTHONPATH": str(BENCHES),
    }


class Server:
    """A process with an open standard input."""

    def __init__(self, command: list[str], variables: Mapping[str, str], log: IO[str] | None = None) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=variables,
            start_new_session=True,  # Ctrl-C is for the benchmark, which then stops its servers
        )

    def line(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a server has ended: {self.process.args!r}")
        return line.strip()

    def say(self, line: str) -> None:
        """Give it a line to read."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def stop(self) -> None:
        """End it, in good order where it can."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.process.stdout.close()


class Ioc(Server):
    """The IOC of ``database``."""

    def __init__(self, database_file: Path, limit: int, variables: Mapping[str, str], log: IO[str]) -> None:
        super().__init__([sys.executable, "-m", "cabench.ioc", str(database_file), str(limit)], variables, log)
        while self.line() != "ready":
            pass

    @contextlib.contextmanager
    def updating(self) -> Iterator[None]:
        """Let the calc records count within a with-block."""
        self.say(database.ticking(True))
        try:
            yield
        finally:
            self.say(database.ticking(False))
            time.sleep(0.2)  # the last tick


@contextlib.contextmanager
def running(limit: int, variables: Mapping[str, str], log: Path) -> Iterator[Ioc]:
    """Run a repeater and the IOC, neither longer than ``limit`` seconds; ``log`` gets what the IOC complains of."""
    with contextlib.ExitStack() as at_end:
        repeater = Server([sys.executable, "-m", "cabench.repeater", str(limit)], variables)
        at_end.callback(repeater.stop)
        folder = Path(at_end.enter_context(tempfile.TemporaryDirectory()))
        path = folder / "bench.db"
        with path.open("w") as file:
            file.writelines(database.records())
        ioc = Ioc(path, limit, variables, at_end.enter_context(log.open("w")))
        at_end.callback(ioc.stop)
        port = int(variables["EPICS_CA_REPEATER_PORT"])
        end = time.monotonic() + 10
        while not is_taken(port, socket.SOCK_DGRAM):
            if time.monotonic() > end:
                raise RuntimeError("the CA repeater does not start")
            time.sleep(0.01)
        yield ioc


@contextlib.contextmanager
def firehose(
    program: Path, subscriptions: int, updates: int, limit: float, variables: Mapping[str, str]
) -> Iterator[dict[str, str]]:
    """Run a firehose; gives the environment of its client."""
    server = Server([str(program), str(subscriptions), str(updates), str(int(limit))], variables)
    try:
        yield {**variables, "EPICS_CA_ADDR_LIST": f"127.0.0.1:{server.line()}"}
    finally:
        server.stop()
