"""Signatures with types for the functions of the Rust core, from python/cachannel/_ca.pyi; links to enums."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import cachannel
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def read_stub() -> dict[str, tuple[str, str]]:
    """Arguments and result of each function in the stub, as text."""
    stub = Path(cachannel.__file__).with_name("_ca.pyi")
    functions = [node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.FunctionDef)]
    return {f.name: (f"({ast.unparse(f.args)})", ast.unparse(f.returns) if f.returns else "") for f in functions}


def typed(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, str] | None:
    """The stub's signature for what the core defines; autodoc's own for everything else."""
    module, _, function = name.rpartition(".")
    if what == "function" and module in ("cachannel.ca", "cachannel"):
        return app.config.stub_signatures.get(function)
    return None


def public(app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: nodes.Element) -> nodes.Element | None:
    """Annotations name the private modules that things are defined in: look where they are documented."""
    module, _, name = node.get("reftarget", "").rpartition(".")
    if node.get("refdomain") != "py" or not module.startswith("cachannel._"):
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, "class", f"cachannel.ca.{name}", node, shown)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_config_value("stub_signatures", read_stub(), "env")
    app.connect("autodoc-process-signature", typed)
    app.connect("missing-reference", public)
    return {"parallel_read_safe": True}
