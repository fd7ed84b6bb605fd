"""``python -m cabench``: run the benchmark, print the tables, write them, and draw the chart."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import cachannel

from . import machine, report, roster, rows, servers
from .chart import draw
from .runner import Programs, Runner, Sample, as_json
from .summary import Figure, Summary

ROOT = servers.BENCHES.parent
RESULTS = ROOT / "build" / "bench"
PUBLISHED = ROOT / "docs" / "_static"
HARD_LIMIT = 7200  # seconds after which the servers end, whatever happens


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Compare Channel Access clients.")
    parser.add_argument("--only", default="", help="groups or rows, separated by commas; all")
    parser.add_argument("--clients", default="", help="clients, separated by commas; all")
    parser.add_argument("--rounds", type=int, default=3, help="how many times all is measured; 3")
    parser.add_argument("--environment", type=Path, required=True, help="where the peers are installed")
    parser.add_argument("--examples", type=Path, required=True, help="where c_speed and firehose are")
    return parser.parse_args()


def _progress(number: int, row: rows.Row, samples: list[Sample]) -> None:
    """Print what came out of a row, the clients in their usual order."""
    places = [client.key for client in roster.CLIENTS]
    shown = [
        f"{sample.client} {'-' if sample.reason else report.short(row.shown(sample.seconds))}"
        for sample in sorted(samples, key=lambda sample: places.index(sample.client))
    ]
    print(f"round {number + 1}  {row.title}, {row.unit}:  {'  '.join(shown)}", flush=True)


def _as_json(summary: Summary, samples: list[Sample], description: dict[str, object]) -> str:
    def figure(row: rows.Row, client: roster.Client, figure: Figure | None) -> dict[str, object]:
        if figure is None:
            return {"reason": summary.reason(row, client)}
        shown = {"median": figure.median, "min": figure.low, "max": figure.high}
        more = {"cpu": figure.cpu, "memory": figure.memory, "speed_to_c": summary.to_c(row, client)}
        return {**shown, **more, "lost": figure.lost, "swapped": figure.swapped}

    table = [
        {
            "row": row.key,
            "title": row.title,
            "unit": row.unit,
            "clients": {client.key: figure(row, client, summary.figure(row, client)) for client in summary.clients},
        }
        for row in summary.rows
    ]
    content = {**description, "rows": table, "samples": [as_json(sample) for sample in samples]}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Run it."""
    arguments = _arguments()
    try:
        selected, wanted = rows.chosen(arguments.only), roster.chosen(arguments.clients)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    installed = roster.installed(arguments.environment)
    missing = [client for client in wanted if client.is_peer and installed[client.key].reason]
    clients = [client for client in wanted if client not in missing]
    for client in missing:
        print(f"without {client.title}: {installed[client.key].reason}")
    programs = Programs(
        arguments.environment / "bin" / "python",
        arguments.examples / "c_speed",
        arguments.examples / "firehose",
        cachannel.libca_path(),
    )
    RESULTS.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    variables = servers.environment()
    with servers.running(HARD_LIMIT, variables, RESULTS / "ioc.log") as ioc:
        runner = Runner(programs, ioc, variables)
        try:
            runner.run(selected, clients, arguments.rounds, _progress)
        except KeyboardInterrupt:
            print("\nInterrupted: what follows is of what was measured until then.")
    if not runner.samples:
        return 130

    rounds = 1 + max(sample.round for sample in runner.samples)
    summary = Summary(selected, clients, runner.samples)
    description = {**machine.description(clients, installed), "rounds": rounds}
    text = report.tables(summary)
    caption = f"{machine.caption()}; medians of {rounds} rounds"
    print(f"\n{caption}\n\n{text}\nIt took {(time.monotonic() - begun) / 60:.1f} minutes.")

    RESULTS.joinpath("results.txt").write_text(f"{caption}\n\n{text}")
    RESULTS.joinpath("results.json").write_text(_as_json(summary, runner.samples, description))
    print(f"The same is in {RESULTS.relative_to(ROOT)}/results.txt and, with all samples, results.json.")
    whole = selected == list(rows.ROWS) and set(roster.CLIENTS) == set(clients)
    if roster.C in clients and roster.OURS in clients:
        draw(summary, RESULTS / "bench.svg", caption)
        if whole:
            PUBLISHED.joinpath("bench.svg").write_bytes(RESULTS.joinpath("bench.svg").read_bytes())
            PUBLISHED.joinpath("bench.txt").write_text(f"{caption}\n\n{text}")
            print("docs/_static/bench.svg and bench.txt are new: the README and the documentation show them.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
