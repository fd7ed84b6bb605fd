"""What is to be said of an installation without talking to anybody; it needs no libca."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator

from . import _variables
from ._version import __version__


def versions() -> str:
    """One line: cachannel, Python, numpy, the machine."""
    try:
        numpy = importlib.metadata.version("numpy")
    except importlib.metadata.PackageNotFoundError:
        numpy = "of unknown version"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"cachannel {__version__}, {python}, numpy {numpy}, {platform.platform()}"


def environment() -> Iterator[str]:
    """A line for each variable that libca reads, and one for each that makes no sense."""
    yield from _variables.described()
    yield from (f"warning: {text}" for text in _variables.warnings())
