"""The directive ``enumtable``: the members of an enum of ``cachannel.ca``, with their constants and texts."""

from __future__ import annotations

import re
from typing import Any

from cachannel import ca
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class EnumTable(SphinxDirective):
    """``.. enumtable:: ECA``, with ``:constants:`` a pattern for their names, ``:text:`` a function of ``ca``."""

    required_arguments = 1
    option_spec = {  # noqa: RUF012 (docutils wants it so)
        "constants": directives.unchanged_required,
        "text": directives.unchanged_required,
    }

    def constants(self, member: str, value: int) -> str:
        """The constants for a member: the one of its name, or all of its value."""
        pattern = re.compile(self.options["constants"])
        names = [name for name in dir(ca) if pattern.fullmatch(name) and getattr(ca, name) == value]
        same = [name for name in names if name.lower().replace("_", "").endswith(member.lower().replace("_", ""))]
        return ", ".join(f"``{name}``" for name in same or names)

    def run(self) -> list[nodes.Node]:
        """Return the table's nodes."""
        enum = getattr(ca, self.arguments[0])
        head = ["Value", "Member"]
        rows = [[str(int(member)), f"``{enum.__name__}.{name}``"] for name, member in enum.__members__.items()]
        members = list(zip(enum.__members__.items(), rows))
        if "constants" in self.options:
            head.append("Constant")
            for (name, member), row in members:
                row.append(self.constants(name, int(member)))
        if "text" in self.options:
            head.append("Text")
            for (_, member), row in members:
                row.append(getattr(ca, self.options["text"])(int(member)))
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: auto", ""]
        for row in [head, *rows]:
            lines += [f"   {'*' if not index else ' '} - {cell}" for index, cell in enumerate(row)]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("enumtable", EnumTable)
    return {"parallel_read_safe": True}
