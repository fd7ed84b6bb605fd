"""The tables that a run prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .roster import OLD, OURS, Client
from .rows import Row
from .summary import Figure, Summary

Cells = Sequence[str]


def short(value: float) -> str:
    """Return a number with three significant digits, thousands as k and millions as M."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * limit:
            return _digits(value / limit) + unit
    return _digits(value)


def _digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


class Notes:
    """Footnotes: the same text gets the same mark."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def mark(self, text: str) -> str:
        """Return the mark of a text."""
        if text not in self._texts:
            self._texts.append(text)
        return f"[{self._texts.index(text) + 1}]"

    def lines(self) -> list[str]:
        """Return all of them."""
        return [f"[{number}] {text}" for number, text in enumerate(self._texts, 1)]


def _table(head: Cells, rows: Sequence[Cells], left: int) -> list[str]:
    """Return the lines of a table; the first ``left`` columns stand at their left, the others at their right."""
    widths = [max(map(len, column)) for column in zip(head, *rows)]

    def line(cells: Cells) -> str:
        padded = [c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths))]
        return "  ".join(padded).rstrip()

    return [line(head), "  ".join("-" * width for width in widths), *map(line, rows)]


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def ratios(summary: Summary) -> list[str]:
    """Return this package against C, the best peer and its predecessor."""
    rows = []
    for row in summary.rows:
        figure, best = summary.figure(row, OURS), summary.to_best_peer(row)
        shown = "-" if figure is None else short(figure.median)
        to_old = _ratio(summary.speed(row, OURS, OLD))
        peer = ("-", "") if best is None else (_ratio(best[0]), best[1].title)
        rows.append([row.title, row.unit, shown, _ratio(summary.to_c(row, OURS)), to_old, *peer])
    return _table(["", "", "cachannel", "× C", "× CaChannel 3.2.0", "× best peer", ""], rows, 2)


def _matrix(summary: Summary, cell: Callable[[Row, Client, Figure], str], notes: Notes, units: bool) -> list[str]:
    rows = []
    for row in summary.rows:
        cells = [row.title, row.unit] if units else [row.title]
        for client in summary.clients:
            figure = summary.figure(row, client)
            if figure is None:
                cells.append("-" + notes.mark(f"{client.title}: {summary.reason(row, client) or 'not measured'}"))
            else:
                cells.append(cell(row, client, figure))
        rows.append(cells)
    head = ["", ""] if units else [""]
    return _table([*head, *(client.title for client in summary.clients)], rows, len(head))


def _median(notes: Notes, summary: Summary) -> Callable[[Row, Client, Figure], str]:
    def cell(row: Row, client: Client, figure: Figure) -> str:
        marks = []
        if figure.lost:
            note = f"{client.title} lost {figure.lost:,} of {figure.sent:,} updates: it does not count as best peer"
            marks.append(notes.mark(note))
        if figure.swapped:
            marks.append(notes.mark(f"{client.title} delivered {figure.swapped:,} updates after later ones"))
        reason = summary.reason(row, client)
        if reason:
            marks.append(notes.mark(f"{client.title}: not in every round, {reason}"))
        return f"{short(figure.median)} ±{100 * figure.spread:.0f}%{''.join(marks)}"

    return cell


def tables(summary: Summary) -> str:
    """Return all tables, with their headings and notes."""
    notes = Notes()
    lines = ["cachannel's speed (2.00 is twice as fast; a time is shorter, a rate higher)", "", *ratios(summary), ""]
    lines += ["Medians over the rounds, and how far they spread", ""]
    lines += [*_matrix(summary, _median(notes, summary), notes, units=True), ""]
    lines += ["CPU time of the client's process, µs for one PV, put, waveform or update", ""]
    lines += [*_matrix(summary, lambda row, client, figure: short(1e6 * figure.cpu), notes, units=False), ""]
    lines += ["Peak memory of the client's process, MB", ""]
    lines += [*_matrix(summary, lambda row, client, figure: short(figure.memory / 1e6), notes, units=False), ""]
    lines += notes.lines()
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"
