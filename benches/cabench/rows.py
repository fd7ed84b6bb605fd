"""What is measured: one row of the table each.

A new row is one line here and, for each client that can do it, one function of that name in ``clients`` (for C: in
``benches/c_speed``).  ``elsewhere`` names what clients without that function do in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SUBSCRIPTIONS = 100  # of the firehose

PER_SECOND: Mapping[str, float] = {"PV/s": 1, "put/s": 1, "update/s": 1}
TIMES: Mapping[str, float] = {"µs": 1e6, "ms": 1e3}


@dataclass(frozen=True)
class Row:
    """One thing that clients do."""

    key: str
    group: str  # what ONLY= names, beside keys
    title: str
    unit: str
    work: str
    size: int = 1
    elsewhere: str = ""
    seconds: float = 1.0
    sizes: Mapping[str, int] = field(default_factory=dict)  # for clients that need another size
    updating: bool = False  # whether the IOC's calc records run meanwhile
    flooded: bool = False  # whether a firehose sends it `size` updates, in place of the IOC

    def works(self) -> tuple[str, ...]:
        """Return the functions that do it, the best first."""
        return (self.work, self.elsewhere) if self.elsewhere else (self.work,)

    def shown(self, seconds: float) -> float:
        """Return the row's figure for what one operation takes."""
        if self.unit == "MB/s":
            return 8 * self.size / seconds / 1e6
        return seconds * TIMES[self.unit] if self.unit in TIMES else PER_SECOND[self.unit] / seconds


def _waveforms() -> list[Row]:
    rows = []
    for size, name, unit in (
        (1_000, "1k", "µs"),
        (100_000, "100k", "ms"),
        (1_000_000, "1M", "ms"),
        (4_000_000, "4M", "ms"),
    ):
        rows.append(Row(f"wave_get_{name}", "waveform", f"get {name} doubles", "MB/s", "wave_get", size))
        title = f"put {name} doubles and get them back"
        rows.append(Row(f"wave_put_get_{name}", "waveform", title, unit, "wave_put_get", size))
    return rows


ROWS: tuple[Row, ...] = (
    Row("connect", "connect", "connect 10,000 PVs", "PV/s", "connect", 10_000),
    Row("get_one", "get", "get one scalar", "µs", "get_one"),
    Row("get_1000", "get", "get 1,000 scalars at once", "PV/s", "get_many", 1_000),
    Row("get_10000", "get", "get 10,000 scalars at once", "PV/s", "get_many", 10_000),
    Row("put", "put", "put scalars in a loop", "put/s", "put", 10_000),
    Row("put_10000", "put", "put 10,000 scalars at once", "PV/s", "put_many", 10_000),
    Row("group_get", "group", "ChannelGroup.get, 10,000 PVs", "PV/s", "group_get", 10_000, elsewhere="get_many"),
    Row("group_put", "group", "ChannelGroup.put, 10,000 PVs", "put/s", "group_put", 10_000, elsewhere="put_many"),
    Row("put_wait", "put", "put one scalar and wait", "µs", "put_wait"),
    Row("put_wait_pv", "put", "the same with epicsPV.putWait", "µs", "put_wait_pv", elsewhere="put_wait"),
    Row("put_callback", "put", "put, callback sets an Event", "µs", "put_callback"),
    *_waveforms(),
    Row("monitor", "monitor", "10,000 monitors at 10 Hz", "update/s", "monitor", 10_000, seconds=2, updating=True),
    Row(
        "monitor_computing",
        "monitor",
        "the same while Python computes",
        "update/s",
        "monitor_computing",
        10_000,
        seconds=2,
        updating=True,
    ),
    Row(
        "firehose",
        "firehose",
        "firehose, 100 subscriptions",
        "update/s",
        "firehose",
        100_000,
        sizes={"c": 10_000_000, "cachannel": 2_000_000},
        flooded=True,
    ),
    Row(
        "recorder",
        "firehose",
        "firehose into a Recorder",
        "update/s",
        "recorder",
        100_000,
        elsewhere="firehose",
        sizes={"c": 20_000_000, "cachannel": 20_000_000},
        flooded=True,
    ),
)


def chosen(only: str) -> list[Row]:
    """Return the rows with these keys or of these groups, separated by commas; all where there are none."""
    wanted = [name for name in only.split(",") if name]
    unknown = [name for name in wanted if not any(name in (row.key, row.group) for row in ROWS)]
    if unknown:
        groups = ", ".join(dict.fromkeys(row.group for row in ROWS))
        keys = ", ".join(row.key for row in ROWS)
        raise ValueError(f"no row is called {', '.join(unknown)}; there are {groups}, and {keys}")
    return [row for row in ROWS if not wanted or row.key in wanted or row.group in wanted]
