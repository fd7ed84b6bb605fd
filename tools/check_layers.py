"""Which module of src/ may use which, and whether they keep to it.

    python tools/check_layers.py

Reads the ``crate::``, ``super::`` and ``self::`` paths of every Rust file (but for their tests, which may use
everything), and fails where

* a module names one that its layer may not use (``MAY_USE``),
* files use each other in a circle, other than the one of the client's core (``CORE``),
* a file has more lines than ``MOST_LINES``,
* a folder's ``mod.rs`` does not say what is in the folder.

Python's modules are checked by import-linter, with the contracts in pyproject.toml.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"

PYTHON_SIDE = ["callback", "calls", "convert", "deferred_decref", "errors", "states", "thread_state", "values"]

MAY_USE: dict[str, list[str]] = {
    # Its layout assertions compare what programs see whatever the backend is.
    "ca_sys": ["protocol::constants"],
    "protocol": [],
    "sync": [],
    # The seam: backend/mod.rs names the client's types that a backend's upcalls go to.
    "client": ["protocol", "sync", "backend::mod"],
    "backend": ["protocol", "sync", "client"],
    # It stores each backend's side where the client's is.
    "backend::any": ["backend"],
    "backend::libca": ["protocol", "sync", "client", "backend::mod", "ca_sys"],
    # Values of many channels at once are made without a Python object for each.
    "convert": ["protocol", "calls", "errors", "client::channel", "client::group", "client::recorder::update_buffer"],
    "calls": [],
    "deferred_decref": ["client::fork", "calls"],
    "errors": ["protocol", "calls", "convert::names", "thread_state"],
    "thread_state": ["client"],
    "values": ["client", "protocol", "sync::mailbox", "calls", "convert"],
    "callback": ["client", "protocol", "calls", "convert", "errors", "deferred_decref", "values::monitor"],
    "states": ["client", "protocol", "sync::wait_queue", "convert", "calls", "errors", "thread_state"],
    "dispatch": ["client", "protocol", "sync::wait_queue", *PYTHON_SIDE],
    "py": ["client", "protocol", "sync::wait_queue", "backend::mod", "dispatch", *PYTHON_SIDE],
}
"""By module, the longest name that fits: what its files may use beside the module itself. ``backend::mod`` is the
module ``backend`` alone, without what is below it."""

CORE = {
    "backend",
    "client::channel",
    "client::context",
    "client::event",
    "client::group::channels",
    "client::group::request",
    "client::queue",
    "client::request",
    "client::subscription",
}
"""Files that may use each other in a circle; src/client/mod.rs says why."""

MOST_LINES = 400
GENERATED = {"ca_sys/bindings.rs"}

PATH = re.compile(r"(?<![\w:])(crate|super|self)((?:::\w+)+)")
BRACES = re.compile(r"(?<![\w:])((?:crate|super|self)(?:::\w+)*)::\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")


def files() -> Iterator[Path]:
    for path in sorted(SRC.rglob("*.rs")):
        if path.relative_to(SRC).as_posix() not in GENERATED:
            yield path


def module_of(path: Path) -> str:
    """``client/channel/mod.rs`` is ``client::channel``."""
    parts = list(path.relative_to(SRC).with_suffix("").parts)
    return "::".join(parts[:-1] if parts[-1] == "mod" else parts)


def without_tests(text: str) -> str:
    """Tests stand last in their file; what else is for tests alone takes the line after its ``#[cfg(test)]``."""
    code = re.split(r"#\[cfg\((?:all\()?test[^\n]*\n(?:\s*#\[[^\n]*\n)*\s*mod \w+ \{", text)[0]
    return re.sub(r"#\[cfg\(test\)\]\n[^\n]*\n", "", code)


def paths(text: str) -> Iterator[str]:
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("//"))
    for head, body in BRACES.findall(code):
        for item in re.findall(r"\w+(?:::\w+)*", body):
            yield f"{head}::{item}"
    for root, rest in PATH.findall(code):
        yield root + rest


def resolved(path: str, module: str) -> str:
    """The path from the crate's root."""
    parts = path.split("::")
    if parts[0] == "crate":
        return "::".join(parts[1:])
    here = module.split("::") if module else []
    while parts and parts[0] in ("super", "self"):
        if parts[0] == "super":
            here = here[:-1]
        parts = parts[1:]
    return "::".join([*here, *parts])


def longest(name: str, among: dict[str, object] | set[str]) -> str | None:
    parts = name.split("::")
    for length in range(len(parts), 0, -1):
        candidate = "::".join(parts[:length])
        if candidate in among:
            return candidate
    return None


def allows(may: str, target: str) -> bool:
    if may.endswith("::mod"):
        return target == may.removesuffix("::mod")
    return target == may or target.startswith(may + "::")


def circles(uses: dict[str, set[str]]) -> list[set[str]]:
    """The strongly connected components of more than one file (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in uses.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component: set[str] = set()
            while node not in component:
                component.add(stack.pop())
            if len(component) > 1:
                found.append(component)

    for node in uses:
        if node not in index:
            visit(node)
    return found


def faults() -> Iterator[str]:
    modules = {module_of(path): path for path in files()}
    uses: dict[str, set[str]] = defaultdict(set)
    for module, path in modules.items():
        name = path.relative_to(SRC).as_posix()
        text = path.read_text()
        lines = text.count("\n")
        if lines > MOST_LINES:
            yield f"src/{name}: {lines} lines; at most {MOST_LINES}"
        if path.name == "mod.rs" and not text.startswith("//! ") and "/" in name:
            yield f"src/{name} does not say what is in its folder"
        if module == "lib" or path.name == "tests.rs":
            continue
        layer = longest(module, MAY_USE)  # type: ignore[arg-type]
        if layer is None:
            yield f"src/{name}: MAY_USE does not know its layer"
            continue
        for used in {resolved(path, module) for path in paths(without_tests(text))}:
            target = longest(used, set(modules))
            if target is None or target in ("", "lib", module):
                continue
            uses[module].add(target)
            inside = target == layer or target.startswith(layer + "::")
            owner = longest(target, MAY_USE)  # type: ignore[arg-type]
            if inside and owner == layer:
                continue
            if not any(allows(may, target) for may in MAY_USE[layer]):
                yield f"src/{name} uses {target}, which {layer} may not"
    for circle in circles(uses):
        beyond = circle - CORE
        if beyond:
            yield f"a circle: {', '.join(sorted(circle))}"


def main() -> int:
    found = list(faults())
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
