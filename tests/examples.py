"""The code examples of the documentation: found, run, and compared with what they show.

In reStructuredText and in docstrings they are doctests (``>>>``). A file is one program: later examples know
the names of earlier ones, until a comment ``.. new program`` (or ``.. new program for Python 3.11``, which older
Pythons leave out). A comment can also hold doctests that readers need not see. In a table of the class ``runs``, every
``code`` of a row's last cell is run, in order; what it gives is not compared.

In Markdown they are fenced blocks of ``python``, with the output that the indented or ``text`` blocks after them show.
"""

from __future__ import annotations

import doctest
import importlib
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

UNSEEN = doctest.register_optionflag("UNSEEN")
FLAGS = doctest.ELLIPSIS

_NEW_PROGRAM = re.compile(r"^\.\. new program(?: for Python 3\.(\d+))?\n", re.MULTILINE)
_TABLE = re.compile(r"^\.\. list-table::.*\n((?:[ \t]+.*\n|\n)+)", re.MULTILINE)
_RUNS = re.compile(r"^ +:class: runs$", re.MULTILINE)
_ROW = re.compile(r"^ {3}\* - (?:.*\n(?! {3}\* - ))*.*\n?", re.MULTILINE)
_CELL = re.compile(r"^ {3}[* ] - ", re.MULTILINE)
_LITERAL = re.compile(r"``(.+?)``", re.DOTALL)
_PIECE = re.compile(
    r"^```(?P<language>\w*)\n(?P<fenced>(?:.*\n)*?)```$|^(?P<indented>(?: {4}.*\n)+)|^#+ ", re.MULTILINE
)


class Checker(doctest.OutputChecker):
    """Takes any output where the example does not show it."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return bool(optionflags & UNSEEN) or super().check_output(want, got, optionflags)


def _table_examples(text: str) -> Iterator[doctest.Example]:
    for table in _TABLE.finditer(text):
        if not _RUNS.search(table[1]):
            continue
        for row in list(_ROW.finditer(text, table.start(1), table.end(1)))[1:]:  # without the head
            cell = list(_CELL.finditer(text, row.start(), row.end()))[-1]
            for literal in _LITERAL.finditer(text, cell.end(), row.end()):
                source = " ".join(literal[1].split()) + "\n"
                line = text.count("\n", 0, literal.start())
                yield doctest.Example(source, "", lineno=line, options={UNSEEN: True})


def programs(path: Path) -> list[doctest.DocTest]:
    """The programs of a reStructuredText file that have examples."""
    found = []
    text = path.read_text()
    edges = [(0, 0), *((match.start(), int(match[1] or 0)) for match in _NEW_PROGRAM.finditer(text)), (len(text), 0)]
    for (start, python), (end, _) in zip(edges, edges[1:]):
        if sys.version_info < (3, python):
            continue
        part = "\n" * text.count("\n", 0, start) + text[start:end]
        examples = [*doctest.DocTestParser().get_examples(part, path.name), *_table_examples(part)]
        if examples:
            examples.sort(key=lambda example: example.lineno)
            name = f"{path.name}:{examples[0].lineno + 1}"
            found.append(
                doctest.DocTest(examples, {"__name__": "__main__", "__file__": str(path)}, name, str(path), 0, None)
            )
    return found


class Finder(doctest.DocTestFinder):
    """Looks also into the classes of a package that are written in private modules of it."""

    def _from_module(self, module: ModuleType | None, object: Any) -> bool:
        home = getattr(object, "__module__", None) or ""
        is_private = module is not None and home.startswith(f"{module.__name__}._")
        return is_private or bool(super()._from_module(module, object))  # type: ignore[misc]


def docstrings(module: ModuleType) -> list[doctest.DocTest]:
    """The examples of a module's docstrings, those of compiled functions and classes included."""
    for name in dir(module):
        getattr(module, name, None)  # what is imported when it is used first
    found = Finder(exclude_empty=True).find(module, module.__name__)
    parser = doctest.DocTestParser()
    for name, item in vars(module).items():
        if not isinstance(item, ModuleType) and getattr(item, "__module__", None) != module.__name__:
            continue
        doc = getattr(item, "__doc__", None)
        if callable(item) and isinstance(doc, str) and ">>>" in doc and not any(t.name.endswith(name) for t in found):
            found.append(parser.get_doctest(doc, vars(module).copy(), f"{module.__name__}.{name}", None, 0))
    return [test for test in found if test.examples]


def blocks(path: Path) -> list[tuple[str, str]]:
    """The programs of a Markdown file, each with the output that is shown for it."""
    found: list[tuple[str, str]] = []
    follows_program = False
    for piece in _PIECE.finditer(path.read_text()):
        if piece["language"] == "python":
            found.append((piece["fenced"], ""))
            follows_program = True
        elif follows_program and (piece["indented"] or piece["language"] == "text"):
            program, output = found[-1]
            found[-1] = (program, output + (piece["fenced"] or textwrap.dedent(piece["indented"])))
        else:
            follows_program = False
    return found


def differs(program: str, shown: str, stdout: str, stderr: str) -> str:
    """How what a program has printed differs from what is shown; the last line of a traceback counts as printed."""
    if stderr.startswith("Traceback"):
        stdout += stderr.splitlines(keepends=True)[-1]
    elif stderr:
        stdout += stderr
    # The IOC of the tests is on a port of its own.
    stdout = re.sub(r"\blocalhost:\d+", "localhost:5064", stdout)
    example = doctest.Example(program, shown)
    if doctest.OutputChecker().check_output(example.want, stdout, FLAGS):
        return ""
    return doctest.OutputChecker().output_difference(example, stdout, FLAGS)


def run(tests: list[doctest.DocTest]) -> None:
    """Run the examples; exit with 1 and a report on standard output where one differs from what it shows."""
    runner = doctest.DocTestRunner(Checker(), verbose=False, optionflags=FLAGS)
    report: list[str] = []
    for test in tests:
        runner.run(test, out=report.append)
    results = runner.summarize(verbose=False)
    if results.failed or not results.attempted:
        print("".join(report) or "no examples")
        sys.exit(1)


def run_program(path: str, number: int) -> None:
    """Run one program of a file."""
    run([programs(Path(path))[number]])


def run_docstrings(module: str) -> None:
    """Run the examples of a module's docstrings."""
    run(docstrings(importlib.import_module(module)))


def unprompted(path: Path) -> list[str]:
    """Python code of a reStructuredText file that would not be run: it has no prompts."""
    text = path.read_text()
    code = re.findall(r"^( *)\.\. code-block:: (?:python|pycon)\n((?:\1 +.*\n|\n)*)", text, re.MULTILINE)
    return [body for _, body in code if ">>>" not in body]
