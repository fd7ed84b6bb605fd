"""The picture of what the demo's monitor saw."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

INK, MUTED, GAP = "#24303c", "#7b8794", "#eceff2"
COLOURS = {0: "#2a7ab9", 1: "#dd8500", 2: "#c8322b", 3: "#8e44ad"}  # by alarm severity
NAMES = {0: "no alarm", 1: "minor alarm", 2: "major alarm", 3: "invalid"}
LIMITS = ((23.6, 2, "HIHI"), (22.8, 1, "HIGH"), (19.2, 1, "LOW"), (18.4, 2, "LOLO"))  # as in records.db


def draw(seen: Sequence[tuple[float, float, int]], links: Sequence[tuple[float, bool]], path: str) -> None:
    """Draw updates (time, degC, severity) and connection changes (time, up) into a PNG."""
    start = seen[0][0]
    updates = [(stamp - start, value, int(severity)) for stamp, value, severity in seen]
    changes = zip(links, links[1:])
    gaps = [(down - start, up - start) for (down, was_up), (up, is_up) in changes if is_up and not was_up]

    plt.rcParams.update({"font.size": 10, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED})
    figure, axes = plt.subplots(figsize=(10, 4.8), dpi=150)

    for down, up in gaps:
        axes.axvspan(down, up, color=GAP, zorder=0)
        label = f"IOC restarted:\nno connection\nfor {up - down:.1f} s"
        axes.text((down + up) / 2, 21, label, ha="center", va="center", color=MUTED, linespacing=1.5)

    end = updates[-1][0]
    for limit, severity, name in LIMITS:
        axes.axhline(limit, color=COLOURS[severity], linewidth=0.9, linestyle=(0, (6, 4)), alpha=0.8, zorder=1)
        axes.annotate(
            f"{name} {limit}",
            (1, limit),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=COLOURS[severity],
        )

    # A line through the updates of each connection, never across a gap.
    edges = [float("-inf"), *((down + up) / 2 for down, up in gaps), float("inf")]
    for begin, finish in zip(edges, edges[1:]):
        part = [(when, value) for when, value, _ in updates if begin <= when < finish]
        axes.plot(*zip(*part), color="#b8c4cf", linewidth=1.2, zorder=2)
    for severity, colour in COLOURS.items():
        points = [(when, value) for when, value, had in updates if had == severity]
        if points:
            axes.scatter(*zip(*points), s=20, color=colour, linewidths=0, zorder=3, label=NAMES[severity])

    axes.set_title("demo:temperature", loc="left", fontsize=14, fontweight="bold", pad=30)
    axes.text(
        0,
        1.035,
        f"{len(updates)} updates through one subscription; it resumed by itself when the IOC came back",
        transform=axes.transAxes,
        color=MUTED,
    )
    axes.set_xlabel("IOC time since the first update (s)")
    axes.set_ylabel("cooling water (°C)")
    axes.set_xlim(-0.15, end + 0.15)
    axes.set_ylim(17.2, 24.8)
    axes.tick_params(color=MUTED, labelcolor=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.01, 1.07),
        ncols=4,
        frameon=False,
        handletextpad=0,
        columnspacing=1.2,
        markerscale=1.3,
    )
    figure.savefig(path, bbox_inches="tight", pad_inches=0.2)
    plt.close(figure)
