"""A server in a process of its own, on loopback, and what it takes to know that it answers."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Callable, TypeVar

_SEARCH = 6
_DOREPLY = 10
_MINOR_VERSION = 13


SomeServer = TypeVar("SomeServer", bound="ServerProcess")


def wait_for(condition: Callable[[], object], timeout: float = 10.0, what: str = "") -> None:
    """Return once ``condition()`` is true; fail when it is not within ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what or condition}")
        time.sleep(0.005)


def free_port() -> int:
    """A port of 127.0.0.1 that is free for UDP and for TCP, and that the system gives to nobody by itself.

    Processes that run parts of the tests side by side choose from ports of their own.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    for _ in range(1000):
        port = random.SystemRandom().randrange(10000, 32000) // workers * workers + worker
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", port))
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
                tcp.bind(("127.0.0.1", port))
                return port
    raise RuntimeError("no free port")


def udp_port_is_free(port: int) -> bool:
    """Whether nobody listens on UDP port ``port`` of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        try:
            udp.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def search(name: str, port: int, timeout: float = 0.2) -> int | None:
    """Ask the server on 127.0.0.1:``port`` for a PV, as a client does over UDP: the server's TCP port, or None."""
    padded = name.encode() + b"\0"
    padded += b"\0" * (-len(padded) % 8)
    version = struct.pack(">HHHHII", 0, 0, 0, _MINOR_VERSION, 0, 0)
    request = struct.pack(">HHHHII", _SEARCH, len(padded), _DOREPLY, _MINOR_VERSION, 1, 1) + padded
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(timeout)
        udp.connect(("127.0.0.1", port))
        udp.send(version + request)
        answer = udp.recv(1024)
        while len(answer) >= 16:
            command, size, tcp_port = struct.unpack(">HHH", answer[:6])
            if command == _SEARCH:
                return int(tcp_port)
            answer = answer[16 + size :]
    return None


class ServerProcess(ABC):
    """A program that ends when its standard input closes; start it, stop, hold, kill and restart it."""

    what = "server"
    """What messages call it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory()
        self._log = Path(self._folder.name) / "log"

    @abstractmethod
    def _command(self) -> list[str]:
        """What starts it."""

    def _environment(self) -> dict[str, str]:
        """What it has beside the variables of this process."""
        return {}

    @abstractmethod
    def _pv(self) -> str:
        """A PV that it has, to be asked for."""

    @property
    def output(self) -> str:
        """What the server has printed so far."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start the server and return when it answers searches and takes connections."""
        assert self.process is None, "runs already"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self._environment()},
                start_new_session=True,  # Ctrl-C is for who uses it
            )
        try:
            wait_for(self._answers, 30, f"the {self.what} answers")
        except AssertionError:
            self.kill()
            raise AssertionError(f"the {self.what} does not answer; it printed:\n{self.output}") from None

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the {self.what} has ended"
        port = search(self._pv(), self.port)
        if port is None:
            return False
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    def stop(self) -> None:
        """End the server in good order, or by force where it takes too long."""
        process, self.process = self.process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.send_signal(signal.SIGCONT)  # where a test has left it paused
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def kill(self) -> None:
        """End the server at once, as a crash does."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait(10)
            assert process.stdin is not None
            process.stdin.close()

    def pause(self) -> None:
        """Stop the process in its tracks, as a server does that hangs; return when it has stopped."""
        assert self.process is not None
        if sys.platform == "win32":
            import pytest  # the program below does without it

            pytest.skip("stops a process")
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    def resume(self) -> None:
        """Let the process go on, where it was stopped."""
        if self.process is not None and sys.platform != "win32":
            os.kill(self.process.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stop and start again, on the same port."""
        self.stop()
        self.start()

    def __enter__(self: SomeServer) -> SomeServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()
