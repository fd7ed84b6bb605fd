"""``make memcheck``: tests/everything.py under valgrind, against a real IOC.

Fails on every invalid access, wherever it happens, and on every use of memory that was never written and every
allocation that is definitely lost, where this package's library is among the callers with no Python code in between.
tools/memcheck.supp has what is let pass, and why.  The report is in build/memcheck.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from world import ROOT, World, world

LIMIT = 900  # seconds for all; it takes about a minute
OURS = "_ca.abi3.so"
PYTHON = "_PyEval_EvalFrameDefault"  # runs Python code
INVALID = {
    "InvalidRead",
    "InvalidWrite",
    "InvalidFree",
    "InvalidJump",
    "MismatchedFree",
    "Overlap",
    "InvalidMemPool",
    "FishyValue",
}
SCENARIO = ROOT / "tests" / "everything.py"
REPORT = ROOT / "build" / "memcheck"


def _command(prefix: str, port: int) -> list[str]:
    return [
        "valgrind",
        "--leak-check=full",
        "--show-leak-kinds=definite",
        "--num-callers=40",
        "--fair-sched=yes",  # without this, a thread that computes keeps all others from running
        "--child-silent-after-fork=yes",
        f"--suppressions={ROOT / 'tools' / 'memcheck.supp'}",
        "--gen-suppressions=all",
        "--xml=yes",
        f"--xml-file={REPORT / 'valgrind.xml'}",
        sys.executable,
        str(SCENARIO),
        prefix,
        str(port),
    ]


def _run(place: World) -> tuple[int | None, str]:
    """How the scenario ended, None where it had to be ended, and what it and valgrind printed."""
    variables = {**place.variables, "PYTHONMALLOC": "malloc", "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        _command(place.ioc.prefix, place.spare_port),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=variables,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=LIMIT - 60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        return None, said
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said


def _frames(stack: ElementTree.Element) -> Iterator[str]:
    for frame in stack.iter("frame"):
        place = frame.findtext("file")
        where = f"{place}:{frame.findtext('line')}" if place else Path(frame.findtext("obj") or "?").name
        yield f"{frame.findtext('fn') or '?'} ({where})"


def _is_ours(error: ElementTree.Element) -> bool:
    """Python code that the package calls is not: CPython reads digits of a 0 that it never wrote, to no effect."""
    for stack in error.iter("stack"):
        for frame in stack.iter("frame"):
            if (frame.findtext("obj") or "").endswith(OURS):
                return True
            if frame.findtext("fn") == PYTHON:
                break
    return False


def _what(error: ElementTree.Element) -> str:
    return error.findtext("what") or error.findtext("xwhat/text") or "?"


def _counts(error: ElementTree.Element) -> bool:
    kind = error.findtext("kind") or ""
    return kind in INVALID or (_is_ours(error) and kind != "Leak_PossiblyLost")


def _tell(error: ElementTree.Element) -> None:
    print(f"\n{error.findtext('kind')}: {_what(error)}")
    for number, stack in enumerate(error.iter("stack")):
        if number:
            print("   of, or from:")
        for line in _frames(stack):
            print(f"   {line}")


def _judge(returncode: int | None, said: str) -> int:
    """Tell what was found; the exit status."""
    try:
        root = ElementTree.parse(REPORT / "valgrind.xml").getroot()
    except (OSError, ElementTree.ParseError) as error:
        print(f"{said}\nvalgrind's report cannot be read: {error}", file=sys.stderr)
        return 1
    errors = root.findall("error")
    found = [error for error in errors if _counts(error)]
    for one in found:
        _tell(one)
    let_pass = sum(int(pair.findtext("count") or 0) for pair in root.iterfind("suppcounts/pair"))
    print(f"the scenario went through: {' '.join(said.split())}" if returncode == 0 else said)
    print(
        f"{len(found)} errors, {len(errors) - len(found)} of others that count for nothing, {let_pass} let pass by "
        f"tools/memcheck.supp; all in {REPORT / 'valgrind.xml'}"
    )
    if returncode != 0:
        print(f"the scenario {'was not over in time' if returncode is None else f'ended with status {returncode}'}")
    return int(bool(found) or returncode != 0)


def main() -> int:
    if shutil.which("valgrind") is None:
        print("there is no valgrind (on Debian and Ubuntu: apt install valgrind libc6-dbg)", file=sys.stderr)
        return 1
    REPORT.mkdir(parents=True, exist_ok=True)
    (REPORT / "valgrind.xml").unlink(missing_ok=True)
    with world(LIMIT) as place:
        returncode, said = _run(place)
    return _judge(returncode, said)


if __name__ == "__main__":
    sys.exit(main())
