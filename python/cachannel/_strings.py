"""Values as text: numbers with the record's precision and units, states by name, CHAR arrays as what they spell."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ._enums import DBF, DBR

Properties = dict[str, Any]
"""What a GR request brings beside the value: units, precision, states."""

# Beyond it a fixed number of decimals means nothing to a double, and its digits fill the screen.
_LARGEST_FIXED = 1e16


class Form(NamedTuple):
    """How to ask for a PV's value, and how to make text of it."""

    base: DBF
    """The type to ask for."""
    convert: Callable[[Any, Properties], Any] | None
    """Makes text of the value; None where it is taken as it comes."""
    with_properties: bool
    """Whether `convert` needs what a GR request brings."""

    def plain(self) -> DBR:
        """The type to ask for in a read: GR where its properties are needed."""
        return self.base.toGR() if self.with_properties else DBR(self.base)


def form(name: str, native: DBF, elements: int, as_string: bool) -> Form:
    """The form in which the PV's value is wanted. A name that ends in ``$`` asks an IOC for a text in a CHAR array."""
    if native == DBF.CHAR and (as_string or name.endswith("$")):
        return Form(native, _spelled, False)
    if not as_string:
        return Form(native, None, False)
    if native == DBF.STRING or (native == DBF.ENUM and elements == 1):
        return Form(DBF.STRING, _strings, False)
    # An array of an enum has no text of its own on an IOC.
    return Form(native, _states if native == DBF.ENUM else _numbers, True)


def _decoded(text: Any) -> str:
    """Text that is not UTF-8 comes as bytes, and is Latin-1 as a rule."""
    return text.decode("latin-1") if isinstance(text, bytes) else str(text)


def _each(value: Any, function: Callable[[Any], str]) -> Any:
    """The function of each element, in the container that the value came in."""
    if hasattr(value, "tolist"):
        import numpy

        return numpy.array([function(element) for element in value.tolist()], dtype=str)
    return [function(element) for element in value] if isinstance(value, list) else function(value)


def _spelled(value: Any, properties: Properties) -> str:
    raw = bytes([value]) if isinstance(value, int) else bytes(value)
    raw = raw.partition(b"\0")[0]
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _strings(value: Any, properties: Properties) -> Any:
    return _each(value, _decoded)


def _states(value: Any, properties: Properties) -> Any:
    states = properties["pv_statestrings"]
    return _each(value, lambda state: _decoded(states[state]) if state < len(states) else str(state))


def _numbers(value: Any, properties: Properties) -> Any:
    precision = properties.get("pv_precision")
    units = _decoded(properties["pv_units"])

    def text(number: float) -> str:
        shown = str(number) if precision is None else fixed(number, precision)
        return f"{shown} {units}" if units else shown

    return _each(value, text)


def fixed(number: float, precision: int) -> str:
    """The number with so many decimals."""
    decimals = max(precision, 0)
    large = math.isfinite(number) and abs(number) >= _LARGEST_FIXED
    return f"{number:.{decimals}{'e' if large else 'f'}}"
