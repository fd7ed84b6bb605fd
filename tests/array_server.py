"""A caproto server with arrays that are not full, in a process of its own.

Asked for a number of elements, caproto says in updates that it sends so many, and sends those that it has. Run as a
program this file *is* the server, which ends when its standard input closes or when its time is over, whichever comes
first.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from server_process import ServerProcess

HELD = 50_000
"""The element count of each PV."""

FIRST: dict[str, Any] = {
    "double": [1.5, 2.5],
    "single": [4.5],
    "empty": [],
    "changing": [],
    "long": [7, 8, 9],
    "char": list(b"text"),
    "string": ["one", "two"],
}
"""The PVs, and what they hold at first. What is written to them is what they hold then."""


class ArrayServer(ServerProcess):
    """A server process with the PVs of ``FIRST`` behind a prefix."""

    what = "server of arrays"

    def __init__(self, prefix: str, port: int, *, limit: int) -> None:
        super().__init__(port)
        self.prefix = prefix
        self.limit = limit

    def _environment(self) -> dict[str, str]:
        # caproto takes this for its own port.
        return {
            "EPICS_CA_SERVER_PORT": str(self.port),
            "EPICS_CAS_BEACON_PORT": os.environ["EPICS_CA_REPEATER_PORT"],
        }

    def _pv(self) -> str:
        return f"{self.prefix}double"

    def _command(self) -> list[str]:
        return [sys.executable, str(Path(__file__).resolve()), self.prefix, "--limit", str(self.limit)]


async def serve(prefix: str) -> None:
    """Be the server."""
    import caproto
    from caproto.asyncio.server import Context

    kinds = {
        "long": caproto.ChannelInteger,
        "char": caproto.ChannelByte,
        "string": caproto.ChannelString,
    }
    pvs = {
        prefix + name: kinds.get(name, caproto.ChannelDouble)(value=value, max_length=HELD)
        for name, value in FIRST.items()
    }
    await Context(pvs, ["127.0.0.1"]).run()


def main() -> None:
    parser = argparse.ArgumentParser(description="A server of arrays that ends with its standard input.")
    parser.add_argument("prefix", help="what the names of its PVs begin with")
    parser.add_argument("--limit", type=int, required=True, help="seconds after which the process ends in any case")
    arguments = parser.parse_args()
    signal.alarm(arguments.limit)

    def end_with_stdin() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end_with_stdin, daemon=True).start()
    asyncio.run(serve(arguments.prefix))


if __name__ == "__main__":
    main()
