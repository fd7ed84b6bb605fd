"""How Sphinx builds the documentation: make docs."""

from __future__ import annotations

import sys
from pathlib import Path

import cachannel

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "cachannel"
author = "the cachannel developers"
copyright = "the CaChannel and cachannel developers"
version = release = cachannel.__version__

extensions = ["sphinx.ext.autodoc", "myst_parser", "signatures", "enumtable"]
exclude_patterns = ["_ext"]

# Everything that is referred to must exist. What is Python's or numpy's own is not looked up: that takes a network.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(str|bytes|int|float|bool|list|tuple|dict|object|None|type|BaseException|Exception)"),
    ("py:.*", r"(\w*Error|ImportError|KeyboardInterrupt)"),
    ("py:.*", r"(typing|collections\.abc|types|numpy|np|enum)\..*"),
    ("py:.*", r"(Callable|Any|TracebackType|Sequence|Iterable|NDArray|Self|IntEnum)"),
]

default_role = "code"  # docstrings of the Rust core write `name`
add_module_names = False
python_maximum_signature_line_length = 100
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"

highlight_language = "python"
pygments_style = "friendly"
pygments_dark_style = "monokai"
trim_doctest_flags = True

html_theme = "furo"
html_title = f"cachannel {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
