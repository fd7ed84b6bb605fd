"""Channel Access with cachannel on a real IOC, step by step: run it with `make demo`."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import sys
import time
from pathlib import Path

import show
from servers import ioc, repeater, stay_on_loopback


def main() -> int:
    """Start the servers, go through the steps, stop the servers; return the exit status."""
    faulthandler.dump_traceback_later(120, exit=True)  # so the demo ends, whatever happens
    begun = time.monotonic()
    stay_on_loopback()
    logging.getLogger("cachannel").addHandler(show.LogHandler())
    try:
        with contextlib.ExitStack() as at_end:
            at_end.callback(repeater.stop)
            repeater.start()
            at_end.callback(ioc.stop)
            ioc.start()

            import cachannel  # not before: libca must find its environment set
            import steps

            at_end.callback(steps.close)
            port = os.environ["EPICS_CA_SERVER_PORT"]
            print(show.bold(f"cachannel {cachannel.__version__} and a real IOC, on port {port} of this machine"))
            print(show.dim(f"libca {cachannel.ca.version()}, {nearby(cachannel.libca_path())}\n"))
            for number, step in enumerate(steps.STEPS, 1):
                show.run(number, step)
    except KeyboardInterrupt:
        print(show.red("\nInterrupted."), "The IOC has ended.")
        return 130
    print(f"The IOC has ended. It all took {time.monotonic() - begun:.0f} s; the code above is in demo/steps.py.")
    return 0


def nearby(path: str) -> str:
    """Return the path from here where it lies below, otherwise the path as it is."""
    with contextlib.suppress(ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return path


if __name__ == "__main__":
    sys.exit(main())
