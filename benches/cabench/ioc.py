"""The IOC's process: ``python -m cabench.ioc DATABASE LIMIT``.

It says ``ready``, runs what it reads as commands of the IOC's shell, and ends with its standard input, or after LIMIT
seconds.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Be the IOC."""
    database, limit = sys.argv[1:]
    signal.alarm(int(limit))

    from epicscorelibs import ioc  # no other process needs the libraries of an IOC

    ioc.iocshRegisterCommon()
    ioc.start_ioc(dbs=[(database, "")])
    print("ready", flush=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the shell's commands talk, and nobody listens
    for line in sys.stdin:
        ioc.ioc(line.strip())
    os._exit(0)


if __name__ == "__main__":
    main()
