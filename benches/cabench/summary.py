"""From samples to figures: medians, their spread, ratios."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .roster import OURS, C, Client
from .rows import Row
from .runner import Sample


@dataclass(frozen=True)
class Figure:
    """What a client reached in a row."""

    median: float  # in the row's unit
    low: float
    high: float
    cpu: float  # seconds for one operation
    memory: int  # bytes
    lost: int  # updates, at worst, and out of how many
    swapped: int
    sent: int
    times: dict[int, float]  # seconds for one operation, by round

    @property
    def spread(self) -> float:
        """Half of what lies between the lowest and the highest, as a part of the median."""
        return (self.high - self.low) / 2 / self.median


class Summary:
    """All figures of a run."""

    def __init__(self, rows: Sequence[Row], clients: Sequence[Client], samples: Iterable[Sample]) -> None:
        self.rows = rows
        self.clients = clients
        self._samples = list(samples)
        self._figures = {(row.key, client.key): self._make(row, client) for row in rows for client in clients}

    def _make(self, row: Row, client: Client) -> Figure | None:
        samples = [s for s in self._samples if (s.row, s.client) == (row.key, client.key) and not s.reason]
        if not samples:
            return None
        shown = [row.shown(sample.seconds) for sample in samples]
        return Figure(
            statistics.median(shown),
            min(shown),
            max(shown),
            statistics.median(sample.cpu for sample in samples),
            max(sample.memory for sample in samples),
            max(sample.lost or 0 for sample in samples),
            max(sample.swapped or 0 for sample in samples),
            max((sample.received or 0) + (sample.lost or 0) for sample in samples),
            {sample.round: sample.seconds for sample in samples},
        )

    def figure(self, row: Row, client: Client) -> Figure | None:
        """Return what the client reached, if it did."""
        return self._figures.get((row.key, client.key))

    def reason(self, row: Row, client: Client) -> str:
        """Return why a client has no figure, or only some of its samples; '' where it has all."""
        reasons = [s.reason for s in self._samples if (s.row, s.client) == (row.key, client.key)]
        return next(filter(None, reasons), "")

    def speed(self, row: Row, client: Client, other: Client) -> float | None:
        """Return how many times as fast as the other a client was: the median of the ratios within a round."""
        ours, theirs = self.figure(row, client), self.figure(row, other)
        if ours is None or theirs is None:
            return None
        ratios = [theirs.times[number] / ours.times[number] for number in ours.times if number in theirs.times]
        return statistics.median(ratios) if ratios else None

    def to_c(self, row: Row, client: Client) -> float | None:
        """Return how fast it was in comparison with C."""
        return self.speed(row, client, C)

    def best_peer(self, row: Row) -> Client | None:
        """Return the fastest peer, of those that lost nothing."""
        found = {client: self.figure(row, client) for client in self.clients if client.is_peer}
        whole = {client: figure for client, figure in found.items() if figure is not None and not figure.lost}
        if not whole:
            return None
        return min(whole, key=lambda client: statistics.median(whole[client].times.values()))

    def to_best_peer(self, row: Row) -> tuple[float, Client] | None:
        """Return how fast this package was in comparison with the fastest peer, and which that is."""
        best = self.best_peer(row)
        speed = self.speed(row, OURS, best) if best else None
        return None if best is None or speed is None else (speed, best)
