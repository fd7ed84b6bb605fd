"""The records of the benchmark's IOC."""

from __future__ import annotations

from collections.abc import Iterator

PREFIX = "bench:"
SCALARS = 10_000  # ao records
CALCULATED = 10_000  # calc records
WAVEFORMS = (1_000, 100_000, 1_000_000, 4_000_000)  # doubles
TICK = f"{PREFIX}tick"


def _record(kind: str, name: str, **fields: object) -> str:
    lines = "".join(f'  field({field}, "{value}")\n' for field, value in fields.items())
    return f'record({kind}, "{PREFIX}{name}") {{\n{lines}}}\n'


def records() -> Iterator[str]:
    """Yield the text of the database, record by record."""
    for number in range(SCALARS):
        yield _record("ao", f"ao{number}", VAL=number + 0.5, PINI="YES", PREC=4, EGU="mm")
    # A tick makes all of them count; while nothing ticks they cost the IOC nothing.
    for number in range(CALCULATED):
        yield _record("calc", f"calc{number}", SCAN="Event", EVNT="tick", CALC="VAL+1")
    yield _record("event", "tick", VAL="tick")
    for size in WAVEFORMS:
        yield _record("waveform", f"wave{size}", FTVL="DOUBLE", NELM=size)


def ticking(on: bool) -> str:
    """Return the command of the IOC's shell that starts or stops the ticks, ten a second."""
    return f'dbpf("{TICK}.SCAN", "{".1 second" if on else "Passive"}")'
