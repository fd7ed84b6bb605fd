"""How the demo prints: the title of a step, the code that is about to run, and what it prints."""

from __future__ import annotations

import ast
import contextlib
import inspect
import logging
import os
import sys
import textwrap
import threading
from collections.abc import Callable
from typing import TextIO

_COLOURS = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
_UTF8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
_BAR, _ARROW = ("│", "→") if _UTF8 else ("|", ">")


def _style(code: int) -> Callable[[str], str]:
    return lambda text: f"\033[{code}m{text}\033[0m" if _COLOURS and text else text


bold, dim, green, red = _style(1), _style(2), _style(32), _style(31)


def source_of(function: Callable[[], object]) -> str:
    """Return the code in a function: its lines without the `def` and the docstring."""
    text = textwrap.dedent(inspect.getsource(function))
    definition = ast.parse(text).body[0]
    assert isinstance(definition, ast.FunctionDef)
    docstring = definition.body[0]
    return textwrap.dedent("\n".join(text.splitlines()[docstring.end_lineno :])).strip("\n")


class _Results:
    """Standard output while a step runs: each line gets an arrow."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()  # callbacks print, too
        self._begun: dict[int, str] = {}  # by thread: print() writes a line in several pieces
        self.lines = 0

    def write(self, text: str) -> int:
        me = threading.get_ident()
        with self._lock:
            *lines, self._begun[me] = (self._begun.get(me, "") + text).split("\n")
            for line in lines:
                folded = textwrap.wrap(line, 74) or [""]
                self._out.write(f"   {green(_ARROW)} " + "\n     ".join(folded) + "\n")
                self.lines += 1
            self._out.flush()
        return len(text)

    def flush(self) -> None:
        self._out.flush()


class LogHandler(logging.Handler):
    """Print log messages among the results."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"logged by {record.name}: {self.format(record)}")


def run(number: int, step: Callable[[], object]) -> None:
    """Print a step's title (its docstring) and code, run it, print what it prints."""
    title, _, remark = inspect.cleandoc(step.__doc__ or "").partition("\n\n")
    print(bold(f"{number}  {title}"))
    if remark:
        print(textwrap.indent(remark, "   "))
    print()
    for line in source_of(step).splitlines():
        code, mark, comment = line.partition("  # ")
        print(f"   {dim(_BAR)} {code}{dim(mark + comment)}".rstrip())
    print(flush=True)
    results = _Results(sys.stdout)
    with contextlib.redirect_stdout(results):  # type: ignore[type-var]
        step()
    if results.lines:
        print()
