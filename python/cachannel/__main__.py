"""``python -m cachannel``: what is installed here, what it goes by, and where PVs live. Run it first in trouble."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence

from . import _ca, _report, _start, ca
from ._search import report


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the report, and says whether all PVs are connected: exit status 0, or 1 where one is not."""
    parser = argparse.ArgumentParser(
        prog="python -m cachannel",
        description="Prints versions, the libca in use and the EPICS variables in force. With names of PVs: where each "
        "lives, or why it does not answer. Exit status 0: all are connected; 1: one is not.",
    )
    parser.add_argument("name", nargs="*", help="a PV, connected together with the others")
    parser.add_argument(
        "-w",
        dest="seconds",
        metavar="SECONDS",
        type=_seconds,
        default=3.0,
        help="how long to wait for all of them (default: %(default)g)",
    )
    options = parser.parse_args(arguments)

    source, path = _ca.loaded_libca() or ("nowhere", "")
    print(_report.versions())
    print(f"libca {ca.version()} from {source}: {path}")
    print(*_report.environment(), sep="\n")
    if not options.name:
        return 0
    # What libca itself has to say is logged, on stderr; what is wrong with the variables was told above.
    sys.stdout.flush()
    _start.tells_of_mistakes = False
    lines, all_connected = report(options.name, options.seconds)
    print("", *lines, sep="\n")
    return 0 if all_connected else 1


if __name__ == "__main__":
    sys.exit(main())
