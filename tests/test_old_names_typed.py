"""Type checkers know the types of what is imported by the old names."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = Path(__file__).resolve().parent.parent / "python"

# Each line with a comment: what mypy says of it.
PROGRAM = """
import ca as low
import CaChannel
import CaChannel.util
import epicsMotor as motors
import epicsPV as pvs
from CaChannel import ca, CaChannelException
from CaChannel.CaChannel import CaChannel as Channel
from CaChannel._ca import *
from CaChannel._ca import AlarmSeverity, dbf_type_to_DBR_TIME
from CaChannel.epicsMotor import epicsMotor
from CaChannel.epicsPV import epicsPV
from CaChannel.util import CaNothing, Monitor, caget, _channels_

channel = CaChannel.CaChannel("x")
reveal_type(channel)  # cachannel.CaChannel.CaChannel
reveal_type(Channel("x").name())  # str
reveal_type(AlarmSeverity.Major)  # Literal[cachannel._enums.AlarmSeverity.Major]?
reveal_type(dbf_type_to_DBR_TIME(3))  # cachannel._enums.DBR
reveal_type(ECA_NORMAL)  # Literal[1]?
reveal_type(low.pend_io(1))  # cachannel._enums.ECA
reveal_type(ca.DBR_TIME_DOUBLE)  # Literal[20]?
reveal_type(ca.element_count)  # def (chid: cachannel._ca.chid) -> int
reveal_type(pvs.epicsPV("x").checkMonitor())  # int
reveal_type(pvs.callBack().newMonitor)  # int
reveal_type(epicsPV("x").state())  # cachannel._enums.ChannelState
reveal_type(epicsMotor("x").done_moving)  # int
reveal_type(motors.epicsMotorException("x").position)  # float | None
reveal_type(CaChannel.USE_NUMPY)  # bool
reveal_type(CaChannel.util.caget("x", format=1))  # cachannel.values.Value
reveal_type(_channels_["x"])  # cachannel.CaChannel.CaChannel
channel.putw(1, "no type")  # has incompatible type "str"; expected "int | None"
channel.nothing()  # "CaChannel" has no attribute "nothing"
"""


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="needs mypy")
def test_mypy_knows_the_types(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", str(program)]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=55, cwd=tmp_path).stdout
    said: dict[int, str] = {}
    for line, text in re.findall(r"^program\.py:(\d+): (?:note|error): (.*)$", found, re.MULTILINE):
        said[int(line)] = said.get(int(line), "") + text
    wanted = {
        number: line.partition("  # ")[2] for number, line in enumerate(PROGRAM.splitlines(), 1) if "  # " in line
    }
    assert said.keys() == wanted.keys(), found
    for number, text in wanted.items():
        # Old versions of mypy write unions and names of builtins in another way.
        plain = said[number].replace("builtins.", "").replace("Union[float, None]", "float | None")
        assert text in plain, found


def test_the_wheel_gets_the_types() -> None:
    """Of each alias: a module of one file can have them in a package of stubs alone."""
    aliases = {path.stem for path in PYTHON.glob("*.py")}
    assert {path.name for path in PYTHON.glob("*-stubs")} == {f"{alias}-stubs" for alias in aliases}
    text = (PYTHON.parent / "pyproject.toml").read_text()
    for alias in aliases:
        assert f'"python/{alias}-stubs/*.pyi"' in text
        assert all(path.suffix == ".pyi" for path in PYTHON.joinpath(f"{alias}-stubs").iterdir())
