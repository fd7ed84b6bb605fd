"""Type checkers, as strict as they can be, pass a program that uses the everyday names, and know what it gets."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

# What somebody writes who works with PVs; nothing in it needs a cast or an ignore.
SCRIPT = """
from __future__ import annotations

import math
from collections.abc import Callable

from cachannel import PV, CaChannel, CaChannelException, ca, caget, cainfo, camonitor, caput, util
from cachannel.util import CaNothing
from cachannel.values import FORMAT_CTRL, FORMAT_TIME, FloatValue, Value


def read_all(names: list[str]) -> dict[str, float]:
    values = caget(names)
    return dict(zip(names, values))


def changed(value: Value) -> None:
    print(value, value.units, value.severity.name, value.timestamp, f"{value:.3f}")


def main() -> float:
    temperature = PV("tank:temperature", timeout=5)
    value = temperature.get()
    number: float = value
    warmer = value + 1
    text: str = temperature.get(as_string=True)
    first: float = PV("tank:profile").get()[0]
    units: str = value.units
    when: float | None = value.timestamp
    temperature.put(65, wait=True)
    temperature.value = 3.5
    reached: float = temperature.wait_for(lambda t: t > 60, timeout=30)
    PV("tank:valve").wait_for("Open")
    with temperature.subscribe(changed, latest_only=True) as subscription:
        print(subscription.dropped)
    got: list[Value] = []
    temperature.subscribe(got.append, first=False).close()
    for other in caget(names := ["tank:level", "tank:valve"], format=FORMAT_TIME):
        print(other.name, other, other.severity.name)
    for name, maybe in zip(names, caget(names, format=FORMAT_CTRL, throw=False)):
        if isinstance(maybe, CaNothing):
            print(name, maybe.status)
        else:
            print(name, maybe.units, maybe + 1)
    caput("tank:level", 5, wait=True)
    caput(names, [1, 2])
    if not caput("tank:level", 5, throw=False):
        print("refused")
    monitor = camonitor("tank:level", lambda epics_args, _: print(epics_args["pv_value"]), add=True)
    monitor.stop()
    camonitor("tank:level")
    cainfo("tank:level")
    try:
        with CaChannel("tank:fills") as fills:
            count: int = fills.getw()
            fills.putw(count + 1)
            profile = fills.getw(ca.DBR_TIME_DOUBLE, 5, use_numpy=True)
            print(profile["pv_value"].mean())
    except TimeoutError as error:
        print(error)
    except CaChannelException as error:
        print(error.pvname, error.status)
    if isinstance(value, FloatValue):
        print(math.sqrt(value))
    print(util.caget("tank:level") * 2, number, warmer, text, first, units, when, temperature.precision)
    print(read_all(names))
    on_change: Callable[[Value], None] = changed
    on_change(value)
    return reached


if __name__ == "__main__":
    main()
"""

# Each line with a comment: what mypy says of it.
TYPES = """
from cachannel import PV, caget, camonitor, caput
from cachannel.values import FORMAT_TIME, FloatValue, Value

pv = PV("x")
reveal_type(pv.get())  # cachannel.values.Value
reveal_type(pv.value.units)  # str
reveal_type(pv.get().timestamp)  # float | None
reveal_type(pv.get().severity)  # cachannel._enums.AlarmSeverity
reveal_type(pv.get() + 1)  # Any
reveal_type(pv.enum_strings)  # list[str]
reveal_type(pv.wait_for(5))  # cachannel.values.Value
reveal_type(pv.subscribe(print).dropped)  # int
reveal_type(caget("x"))  # Any
reveal_type(caget(["x", "y"]))  # list[Any]
reveal_type(caget("x", throw=False))  # Any
reveal_type(caget("x", format=FORMAT_TIME))  # cachannel.values.Value
reveal_type(caget(["x"], format=FORMAT_TIME))  # list[cachannel.values.Value]
reveal_type(caget("x", format=1, throw=False))  # cachannel.values.Value | cachannel._results.CaNothing
reveal_type(caget(("x",), format=1, throw=False))  # list[cachannel.values.Value | cachannel._results.CaNothing]
reveal_type(caput("x", 1))  # None
reveal_type(caput("x", 1, throw=False))  # Literal[True] | cachannel._results.CaNothing | None
reveal_type(camonitor("x"))  # None
reveal_type(camonitor("x", callback=print, add=True))  # cachannel._monitors.Monitor
reveal_type(camonitor(["x"], callback=print, add=True))  # list[cachannel._monitors.Monitor]
pv.get(timout=3)  # Unexpected keyword argument "timout" for "get" of "PV"
pv.units = "mm"  # Property "units" defined in "PVAttributes" is read-only
caget(5)  # No overload variant of "caget" matches argument type "int"
"""


def mypy(tmp_path: Path, text: str) -> str:
    program = tmp_path / "program.py"
    program.write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", str(program)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=55, cwd=tmp_path).stdout


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="needs mypy")
def test_mypy_passes_a_typical_script(tmp_path: Path) -> None:
    found = mypy(tmp_path, SCRIPT)
    assert found.startswith("Success"), found


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="needs mypy")
def test_mypy_knows_the_types(tmp_path: Path) -> None:
    found = mypy(tmp_path, TYPES)
    said: dict[int, str] = {}
    for line, text in re.findall(r"^program\.py:(\d+): (?:note|error): (.*)$", found, re.MULTILINE):
        said[int(line)] = said.get(int(line), "") + text
    wanted = {number: line.partition("  # ")[2] for number, line in enumerate(TYPES.splitlines(), 1) if "  # " in line}
    assert said.keys() == wanted.keys(), found
    for number, text in wanted.items():
        # Old versions of mypy write unions and names of builtins in another way.
        plain = re.sub(r"Union\[([^\[\]]+(?:\[[^\]]*\])?[^\[\]]*)\]", lambda m: m[1].replace(", ", " | "), said[number])
        assert text in plain.replace("builtins.", ""), found


@pytest.mark.skipif(importlib.util.find_spec("basedpyright") is None, reason="it has no wheel here")
def test_pyright_passes_a_typical_script(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(SCRIPT)
    config = {"include": ["program.py"], "typeCheckingMode": "strict"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--project", str(tmp_path)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=55, cwd=tmp_path)
    assert result.returncode == 0, result.stdout
