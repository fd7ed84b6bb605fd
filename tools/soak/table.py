"""What the soak did and what it found, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .load import Outcome


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items()) if number and name != "found")


def table(outcomes: Iterable[tuple[str, float, Outcome]]) -> str:
    """One line a load: how long it ran, memory at the beginning and the end, what was found, what it did."""
    lines = [f"{'load':18} {'seconds':>7} {'MB early':>8} {'at end':>7} {'found':>5}  what it did"]
    for name, seconds, outcome in outcomes:
        early, end = outcome.memory
        found = max(outcome.counts["found"], len(outcome.found))
        lines.append(f"{name:18} {seconds:7.0f} {early:8.1f} {end:7.1f} {found:5}  {_counts(outcome.counts)}")
    return "\n".join(lines)


def findings(outcomes: Iterable[tuple[str, float, Outcome]]) -> str:
    """Everything that was found, each kind once."""
    lines = []
    for name, _, outcome in outcomes:
        lines += [f"FOUND by {name}: {what}" for what in dict.fromkeys(outcome.found)]
    return "\n".join(lines)
