"""A real EPICS IOC in a process of its own.

``Ioc`` starts, stops, kills and restarts it and knows when it answers.  Run as a program this file *is* the IOC: the
record processing and the Channel Access server of epicscorelibs, which ends when its standard input closes or when its
time is over, whichever comes first, so that nothing is left behind.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from server_process import ServerProcess

HERE = Path(__file__).resolve().parent
RECORDS = HERE / "records.db"
MANUAL = HERE / "manual.db"
BUNCH = HERE / "bunch.db"
ACCESS = HERE / "access.acf"
# A Python that has epicscorelibs, where the one that is tested has none.
IOC_PYTHON = os.environ.get("IOC_PYTHON", sys.executable)
BUNCHES = 15  # bunch.db holds 10 records and is loaded so many times


class Ioc(ServerProcess):
    """An IOC with the records of manual.db (bare names too, where ``bare``) and, where ``full``, all of records.db."""

    what = "IOC"

    def __init__(self, prefix: str, port: int, *, full: bool = True, bare: bool = True, limit: int = 600) -> None:
        super().__init__(port)
        self.prefix = prefix
        self.limit = limit
        self.full = full
        self.bare = bare

    def _environment(self) -> dict[str, str]:
        return {"EPICS_CAS_SERVER_PORT": str(self.port)}

    def _pv(self) -> str:
        return f"{self.prefix}catest"

    def _command(self) -> list[str]:
        databases = [(MANUAL, f"P={self.prefix}")]
        if self.bare:
            databases.append((MANUAL, "P="))
        if self.full:
            databases.append((RECORDS, f"P={self.prefix}"))
            databases += [(BUNCH, f"P={self.prefix},D={tens}") for tens in range(BUNCHES)]
        arguments = [IOC_PYTHON, str(Path(__file__).resolve()), "--limit", str(self.limit)]
        arguments += ["--access", str(ACCESS), "--prefix", self.prefix]
        for path, macros in databases:
            arguments += ["--database", str(path), macros]
        return arguments

    def shell(self, line: str) -> None:
        """Have the IOC run one command of its shell (it runs some time later)."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()


def serve() -> None:
    """Be the IOC."""
    parser = argparse.ArgumentParser(description="An IOC that ends with its standard input.")
    parser.add_argument("--database", nargs=2, action="append", default=[], metavar=("FILE", "MACROS"))
    parser.add_argument("--access", required=True, help="access security file")
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--limit", type=int, required=True, help="seconds after which the process ends in any case")
    arguments = parser.parse_args()

    signal.alarm(arguments.limit)

    from epicscorelibs import ioc  # only the server process loads the IOC's libraries

    ioc.iocshRegisterCommon()
    ioc.ioc(f'asSetFilename("{arguments.access}")')
    ioc.ioc(f'asSetSubstitutions("P={arguments.prefix}")')
    # The answer to a put with notification goes through a queue of 2000 places, and is lost where the queue is full:
    # the put then never ends, nor does any later put to that record. Tests write more at once.
    ioc.ioc("callbackSetQueueSize(50000)")
    ioc.start_ioc(dbs=[(path, macros) for path, macros in arguments.database])
    for line in sys.stdin:
        ioc.ioc(line.strip())
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    serve()
