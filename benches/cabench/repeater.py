"""The CA repeater's process: ``python -m cabench.repeater LIMIT``; it ends as the IOC's does.

Where none listens, a client may start one that outlives the benchmark.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Be the repeater."""
    signal.alarm(int(sys.argv[1]))

    from epicscorelibs.path import get_lib

    libca = ctypes.CDLL(get_lib("ca"))
    threading.Thread(target=_end_with_input, daemon=True).start()
    while True:
        libca.caRepeaterThread(None)  # runs on, unless somebody looks whether the port is free at the very moment
        time.sleep(0.01)


if __name__ == "__main__":
    main()
