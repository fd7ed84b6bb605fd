"""Where libca is: the places that are looked at, in order, and what is said where none has it."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from . import _ca

_ADVICE = """\
To have one, either
  - pip install epicscorelibs            (Linux, macOS and Windows on common processors), or
  - apt install 'libca4.*'              (Debian and its kin), or
  - set EPICS_BASE and EPICS_HOST_ARCH   to an installation of EPICS base with shared libraries, or
  - set CACHANNEL_LIBCA                  to the path of the library."""


def _library_name() -> str:
    return {"darwin": "libca.dylib", "win32": "ca.dll"}.get(sys.platform, "libca.so")


def _host_arch() -> str:
    """EPICS's name for this machine, where EPICS_HOST_ARCH does not tell."""
    machine = platform.machine().lower()
    if sys.platform == "darwin":
        return "darwin-aarch64" if machine == "arm64" else "darwin-x86"
    if sys.platform == "win32":
        return "windows-x64"
    return f"linux-{machine}"


def _epicscorelibs() -> Iterator[tuple[str, str]]:
    """libca of the package epicscorelibs, without importing it."""
    spec = importlib.util.find_spec("epicscorelibs")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        lib = Path(folder, "lib")
        # The file with a version is the one that softioc, p4p and aioca load too: one process has one libca.
        versioned = [*lib.glob("libca.so.*"), *lib.glob("libca.*.dylib")]
        yield from (("epicscorelibs", str(path)) for path in (*sorted(versioned), lib / _library_name()))


def _epics_base() -> Iterator[tuple[str, str]]:
    base = os.environ.get("EPICS_BASE")
    if base:
        arch = os.environ.get("EPICS_HOST_ARCH") or _host_arch()
        folder = "bin" if sys.platform == "win32" else "lib"
        yield "EPICS_BASE", str(Path(base, folder, arch, _library_name()))


def _system() -> Iterator[tuple[str, str]]:
    yield "system", _library_name()
    if sys.platform == "linux":
        # Debian names the library by EPICS's version alone.
        folders = (Path("/usr/lib", f"{platform.machine()}-linux-gnu"), Path("/usr/lib64"), Path("/usr/lib"))
        for folder in folders:
            yield from (("system", str(path)) for path in sorted(folder.glob("libca.so.[0-9]*"), reverse=True))


def candidates() -> Iterator[tuple[str, str]]:
    """The places where libca may be, as (who says so, path), the first choice first."""
    chosen = os.environ.get("CACHANNEL_LIBCA")
    if chosen:
        # A choice is a choice: nothing else is tried.
        yield "CACHANNEL_LIBCA", chosen
        return
    yield from _epicscorelibs()
    yield from _epics_base()
    yield from _system()


def _asked_for_the_report() -> bool:
    """Whether this import is that of ``python -m cachannel``, which tells of a missing libca better than a traceback.

    Python has "-m" in place of the program's name as long as it looks for the module.
    """
    return sys.argv[:1] == ["-m"] and "cachannel" in getattr(sys, "orig_argv", ["cachannel"])


def load() -> None:
    """Opens libca, or raises an ImportError that says what was tried and what to do."""
    places = list(candidates())
    try:
        _ca.load_libca(places)
    except ImportError as error:
        tried = str(error).rstrip() or "  nothing"
        message = f"cachannel needs EPICS's libca, and found none.\nTried:\n{tried}\n{_ADVICE}"
        if _asked_for_the_report():
            from . import _report

            print(_report.versions(), *_report.environment(), message, sep="\n")
            raise SystemExit(1) from None
        raise ImportError(message) from None


def libca_path() -> str:
    """The path of the libca in use."""
    loaded = _ca.loaded_libca()
    return "" if loaded is None else os.fspath(loaded[1])
