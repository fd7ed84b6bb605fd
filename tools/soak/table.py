"""What the soak did and what it found, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .load import Outcome


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items()) if number and name != "found")


def _together(outcomes: list[Outcome]) -> Outcome:
    """All turns of a load as one: the sum of what they did, and the memory of that which grew most."""
    most = max(outcomes, key=lambda outcome: outcome.memory[1] - outcome.memory[0])
    counts = sum((Counter(outcome.counts) for outcome in outcomes), Counter[str]())
    return Outcome(counts, [what for outcome in outcomes for what in outcome.found], most.memory)


def table(outcomes: Iterable[tuple[str, float, Outcome]]) -> str:
    """One line a load: its turns, how long it ran, memory at the beginning and the end, what was found, what it did."""
    turns: dict[str, list[tuple[float, Outcome]]] = {}
    for name, seconds, outcome in outcomes:
        turns.setdefault(name, []).append((seconds, outcome))
    lines = [f"{'load':18} {'turns':>5} {'seconds':>7} {'MB early':>8} {'at end':>7} {'found':>5}  what it did"]
    for name, all_of_it in turns.items():
        seconds = sum(seconds for seconds, _ in all_of_it)
        outcome = _together([outcome for _, outcome in all_of_it])
        early, end = outcome.memory
        found = max(outcome.counts["found"], len(outcome.found))
        what = f"{found:5}  {_counts(outcome.counts)}"
        lines.append(f"{name:18} {len(all_of_it):5} {seconds:7.0f} {early:8.1f} {end:7.1f} {what}")
    return "\n".join(lines)


def findings(outcomes: Iterable[tuple[str, float, Outcome]]) -> str:
    """Everything that was found, each kind once."""
    lines = []
    for name, _, outcome in outcomes:
        lines += [f"FOUND by {name}: {what}" for what in dict.fromkeys(outcome.found)]
    return "\n".join(lines)
