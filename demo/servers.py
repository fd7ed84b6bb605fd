"""The demo's two servers: a real EPICS IOC and a CA repeater.

Each is a process of its own, which runs this file. It ends when its standard input closes: it cannot outlive the demo.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

RECORDS = Path(__file__).with_name("records.db")
LIMIT = 90  # seconds after which a server ends in any case


def free_port() -> int:
    """Return a port of this machine that neither TCP nor UDP uses, and that no client gets by chance."""
    for _ in range(1000):
        port = random.randrange(10000, 32000)
        with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", port))
            tcp.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port between 10000 and 32000")


def stay_on_loopback() -> None:
    """Keep Channel Access of this process and its servers on 127.0.0.1; libca reads this when it makes its context."""
    os.environ.update(
        EPICS_CA_ADDR_LIST="127.0.0.1",
        EPICS_CA_AUTO_ADDR_LIST="NO",
        EPICS_CA_SERVER_PORT=str(free_port()),
        EPICS_CA_REPEATER_PORT=str(free_port()),
        EPICS_CAS_INTF_ADDR_LIST="127.0.0.1",
        EPICS_CAS_BEACON_ADDR_LIST="127.0.0.1",
        EPICS_CAS_AUTO_BEACON_ADDR_LIST="NO",
    )
    for name in ("CA_NAME_SERVERS", "CAS_SERVER_PORT", "CAS_BEACON_PORT", "CAS_IGNORE_ADDR_LIST"):
        os.environ.pop(f"EPICS_{name}", None)


class Server:
    """One server, which can be started, stopped, killed and started again."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it serves."""
        with tempfile.TemporaryFile() as log:
            self._process = subprocess.Popen(
                [sys.executable, __file__, self.kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops its servers
            )
            assert self._process.stdout is not None
            if not self._process.stdout.readline():
                self.kill()
                log.seek(0)
                raise RuntimeError(f"the {self.kind} did not start:\n{log.read().decode(errors='replace')}")

    def stop(self) -> None:
        """Let it end, and return when it is gone; nothing to do where it does not run."""
        if self._process is not None:
            self._close_pipes()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._close_pipes()
            self._process = None

    def _close_pipes(self) -> None:
        assert self._process is not None
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


ioc = Server("ioc")
repeater = Server("repeater")


def wait_for_repeater(port: int) -> None:
    """Return when it answers a client; before that, cachannel would start one that outlives the demo."""
    register = bytes([0, 24, *[0] * 10, 127, 0, 0, 1])
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        client.settimeout(0.01)
        while True:
            with contextlib.suppress(OSError):
                client.sendto(register, ("127.0.0.1", port))
                client.recv(64)
                return


def serve(kind: str) -> None:
    """Be the server: tell the parent that it runs, then wait until the parent closes standard input."""
    limit = threading.Timer(LIMIT, os._exit, [1])
    limit.daemon = True
    limit.start()
    ready = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the libraries print goes to the log

    if kind == "ioc":
        from epicscorelibs.ioc import start_ioc

        start_ioc(str(RECORDS), "P=demo:")
    else:
        from epicscorelibs.path import get_lib

        # What the program caRepeater does. With it, clients hear at once that an IOC is back.
        libca = ctypes.CDLL(get_lib("ca"))
        threading.Thread(target=libca.caRepeaterThread, args=[None], daemon=True).start()
        wait_for_repeater(int(os.environ["EPICS_CA_REPEATER_PORT"]))

    print("running", file=ready, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
