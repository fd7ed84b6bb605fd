"""The end of the package at exit; and the channels that a program has forgotten until then."""

from __future__ import annotations

import warnings

from . import _ca

_SHOWN = 100


def _warnings_are_wanted() -> bool:
    """Whether a ResourceWarning is shown, as with ``python -X dev``: to look for what it tells takes time."""
    for action, message, category, module, _ in warnings.filters:
        if message is None and module is None and issubclass(ResourceWarning, category):
            return action != "ignore"
    return True


def shutdown() -> None:
    """Ends all contexts, then tells of the channels that were kept by nothing but their callbacks."""
    found = _ca.shutdown(_warnings_are_wanted())
    if found:
        more = ["..."] if len(found) > _SHOWN else []
        text = f"channels that only their callbacks have kept until the end: {'; '.join(found[:_SHOWN] + more)}"
        # No line of the program is at fault: it has ended.
        warnings.warn_explicit(text, ResourceWarning, __package__, 1)
