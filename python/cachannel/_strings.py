"""Which values :mod:`cachannel.util` gives as text: enums by their states' names, CHAR arrays as what they spell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ._enums import DBF, DBR

Properties = dict[str, Any]
"""What a GR request brings beside the value: the states of an enum, for one."""


class Form(NamedTuple):
    """How to ask for a PV's value, and how to make text of it."""

    base: DBF
    """The type to ask for."""
    convert: Callable[[Any, Properties], Any] | None
    """Makes text of the value; None where it is taken as it comes."""

    def plain(self) -> DBR:
        """The type to ask for in a read: GR where `convert` needs what that brings."""
        return DBR(self.base) if self.convert is None else self.base.toGR()


def form(name: str, native: DBF, elements: int, as_string: bool) -> Form:
    """The form in which the PV's value is wanted."""
    if native == DBF.CHAR and elements > 1 and (as_string or is_long_string(name)):
        return Form(DBF.STRING, None)
    if native == DBF.ENUM and as_string:
        # An IOC has no text for an array of an enum.
        return Form(DBF.STRING, None) if elements == 1 else Form(native, _states)
    return Form(native, None)


def is_long_string(name: str) -> bool:
    """Whether the name asks an IOC for a text in a CHAR array: ``record.DESC$``, also with filters behind the ``$``."""
    _, dollar, filters = name.partition("$")
    return bool(dollar) and filters[:1] in ("", "{", "[")


def _states(value: Any, properties: Properties) -> Any:
    states = properties["pv_statestrings"]

    def name(state: int) -> str:
        return (states[state] if state < len(states) else "") or str(state)

    if hasattr(value, "tolist"):
        import numpy

        return numpy.array([name(state) for state in value.tolist()], dtype=str)
    return [name(state) for state in value] if isinstance(value, list) else name(value)
