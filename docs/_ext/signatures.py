"""Signatures as they are written, and links from the names in them.

Functions of the Rust core have their types in python/cachannel/_ca.pyi. Those of Python functions are taken from the
source, where aliases such as ``ConnectionCallback`` still have their names.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import pkgutil
import textwrap
from pathlib import Path
from typing import Any

import cachannel
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import PycodeError
from sphinx.pycode import ModuleAnalyzer

STUB = ast.parse(Path(cachannel.__file__).with_name("_ca.pyi").read_text())
IN_CORE = {node.name: node for node in STUB.body if isinstance(node, ast.FunctionDef)}


def definition(what: str, name: str, obj: Any) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The definition of a function, a method, or a class's constructor."""
    if what == "function" and inspect.isbuiltin(obj):
        return IN_CORE.get(name.rpartition(".")[2])
    function = inspect.unwrap(vars(obj).get("__init__", obj)) if what == "class" else inspect.unwrap(obj)
    if not inspect.isroutine(function) or inspect.isbuiltin(function) or not hasattr(function, "__code__"):
        return None
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    return node if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else None


def as_written(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, str] | None:
    """The signature for autodoc; None leaves the choice to it."""
    node = definition(what, name, obj) if what in ("function", "method", "class") else None
    if node is None or signature is None or (what == "class" and signature == "()"):
        return None
    arguments = node.args
    if what != "function" and not any(ast.unparse(mark) == "staticmethod" for mark in node.decorator_list):
        del arguments.args[0]  # self, cls
    result = ast.unparse(node.returns) if node.returns and what != "class" else ""
    return f"({ast.unparse(arguments)})", result


def find(app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: nodes.Element) -> nodes.Element | None:
    """Docstrings and annotations name things as their module sees them: look where they are documented."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    if target.startswith("cachannel._"):
        target = target.rpartition(".")[2]
    domain = env.get_domain("py")
    own = node.get("py:module") or "cachannel"
    for module in (own, "cachannel", "cachannel.values", "cachannel.ca", "cachannel.util", "cachannel.CaChannel"):
        place = f"{module}.{target}"
        found = domain.resolve_xref(env, node["refdoc"], app.builder, "obj", place, node, shown)
        if found is not None:
            return found
    return None


def without_overloads(app: Sphinx) -> None:
    """Overloads are for type checkers: readers get the definition, once."""
    for module in pkgutil.walk_packages(cachannel.__path__, "cachannel."):
        # A module that has no source has no overloads either.
        with contextlib.suppress(PycodeError):
            analyzer = ModuleAnalyzer.for_module(module.name)
            analyzer.analyze()
            analyzer.overloads.clear()


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", without_overloads)
    app.connect("autodoc-process-signature", as_written)
    app.connect("missing-reference", find)
    return {"parallel_read_safe": True}
