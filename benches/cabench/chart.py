"""The chart: how fast each client is in comparison with C."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from .roster import OURS, C
from .summary import Summary

INK, MUTED, GRID = "#24303c", "#7b8794", "#e6eaee"
OUR_COLOUR = "#c8322b"
MARKERS = {
    "pv": ("#e2736d", "s"),
    "aio": ("#e2736d", "^"),
    "cachannel3": ("#2a7ab9", "s"),
    "pyepics": ("#dd8500", "v"),
    "aioca": ("#2f9e5b", "^"),
    "cothread": ("#8e44ad", "D"),
    "caproto": ("#8a6d3b", "P"),
    "repics": ("#159a9c", "X"),
}
SLOWEST = 1e-3  # where the axis begins at the least


def draw(summary: Summary, path: Path, caption: str) -> None:
    """Draw the clients' speeds, C's being 1, a line for each row."""
    plt.rcParams.update(
        {"font.size": 10, "text.color": INK, "axes.labelcolor": INK, "svg.hashsalt": "bench", "svg.fonttype": "path"}
    )
    rows = [row for row in summary.rows if summary.to_c(row, OURS) is not None]
    height = 0.32 * len(rows) + 1.5
    figure, axes = plt.subplots(figsize=(10, height))
    axes.axvline(1, color=INK, linewidth=1.2, zorder=1)
    lowest, highest = 0.5, 1.5
    for client in summary.clients:
        if client is C:
            continue
        points = []
        for place, row in enumerate(rows):
            speed, reached = summary.to_c(row, client), summary.figure(row, client)
            if speed is not None and reached is not None and not reached.lost:
                points.append((max(speed, SLOWEST), place))
        if not points:
            continue
        lowest = min(lowest, *(speed for speed, _ in points))
        highest = max(highest, *(speed for speed, _ in points))
        xs, ys = zip(*points)
        if client is OURS:
            axes.scatter(xs, ys, s=85, color=OUR_COLOUR, linewidths=0, zorder=4, label=client.title)
        else:
            colour, marker = MARKERS[client.key]
            axes.scatter(
                xs, ys, s=30, color=colour, marker=marker, linewidths=0, alpha=0.9, zorder=3, label=client.title
            )
    axes.set_xscale("log")
    axes.set_xlim(lowest / 1.3, highest * 1.3)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_yticks(range(len(rows)), [row.title for row in rows])
    axes.invert_yaxis()
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, labelcolor=INK)
    axes.spines[:].set_visible(False)
    label = f"speed, C over libca = 1 (logarithmic; farther right is faster)\n{caption}"
    axes.set_xlabel(label, fontsize=9, color=MUTED)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=8, frameon=False, handletextpad=0, columnspacing=1.1)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15, metadata={"Date": None})
    plt.close(figure)
