"""Every import of the manual works, and gives the very objects of the package ``cachannel``."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cachannel
import pytest
from cachannel import ca

PYTHON = Path(__file__).resolve().parent.parent / "python"
SITE = Path(cachannel.__file__).parent.parent  # the same where the install is editable
ALIASES = {"CaChannel.py", "ca.py", "epicsMotor.py", "epicsPV.py"}

IMPORTS = [
    "import CaChannel",
    "import CaChannel as X",
    "from CaChannel import CaChannel, CaChannelException",
    "from CaChannel import ca, CaChannel, CaChannelException",
    "from CaChannel import *",
    "from CaChannel import ca",
    "from CaChannel import util",
    "from CaChannel.CaChannel import CaChannel",
    "from CaChannel.ca import *",
    "from CaChannel.util import caget",
    "from CaChannel.util import caget, caput, camonitor, cainfo",
    "from CaChannel.util import *",
    "from CaChannel._ca import AlarmSeverity, AlarmCondition, dbf_type_to_DBR_TIME",
    "from CaChannel._ca import *",
    "from CaChannel import _ca",
    "import CaChannel._ca as _ca",
    "from CaChannel.CaChannel import *",
    "from CaChannel.util import _channels_",
    "from CaChannel import epicsPV, epicsMotor",
    "from CaChannel.epicsPV import epicsPV",
    "from CaChannel.epicsMotor import epicsMotor, epicsMotorException",
    "import CaChannel.ca",
    "import CaChannel.CaChannel",
    "import CaChannel.util",
    "import CaChannel.util as util",
    "import CaChannel.epicsPV",
    "import CaChannel.epicsMotor",
    "import ca",
    "import ca as X",
    "from ca import ECA_NORMAL, create_channel",
    "import epicsPV",
    "from epicsPV import epicsPV",
    "import epicsMotor",
    "from epicsMotor import epicsMotor",
    "from epicsMotor import *",
    "from epicsPV import *",
    "from epicsPV import callBack, getCallback, putCallBack",
    "import cachannel",
    "from cachannel import CaChannel",
    "from cachannel.epicsPV import epicsPV",
    "from cachannel.epicsMotor import epicsMotor",
    "from cachannel.util import caget",
]

# After all of that: every module once, under whatever name, and every class and function at home in `cachannel`.
CHECK = """
import sys
import types
aliases = ["ca", "epicsPV", "epicsMotor", "CaChannel"]
for name, module in list(sys.modules.items()):
    if name in aliases or name.startswith("CaChannel."):
        new = "cachannel" if name == "CaChannel" else "cachannel." + name.split(".")[-1]
        assert module is sys.modules[new], name
        assert module.__name__ == module.__spec__.name == new, (name, module.__name__, module.__spec__)
        assert module.__file__.endswith((new.split(".")[-1] + ".py", "__init__.py", ".so", ".pyd")), module.__file__
files = [m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None) and "cachannel" in m.__file__]
modules = {id(m): m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None) in files}
assert len(set(modules.values())) == len(modules), modules
import cachannel
assert isinstance(cachannel.CaChannel, type) and cachannel.CaChannel.__module__ == "cachannel.CaChannel"
for found in list(globals().values()):
    if isinstance(found, type) and found.__name__ in ("CaChannel", "epicsPV", "epicsMotor"):
        assert found is getattr(sys.modules["cachannel." + found.__name__], found.__name__)
print("good")
"""


def run(code: str, *, path: Path | None = None, cwd: Path | None = None) -> str:
    environment = None if path is None else {"PYTHONPATH": str(path)}
    result = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=50,
        env=environment,
        cwd=cwd,
    )
    return result.stdout


@pytest.mark.parametrize("statement", IMPORTS)
def test_one_import_alone(statement: str) -> None:
    assert run(statement + "\n" + CHECK) == "good\n"


def test_all_imports_in_either_order() -> None:
    assert run("\n".join(IMPORTS) + "\n" + CHECK) == "good\n"
    assert run("\n".join(IMPORTS[::-1]) + "\n" + CHECK) == "good\n"


def test_the_class_stays_the_class() -> None:
    code = """
import CaChannel
import CaChannel.CaChannel
import CaChannel.util
assert isinstance(CaChannel.CaChannel, type)
CaChannel.USE_NUMPY = True
import cachannel
assert cachannel.USE_NUMPY
from epicsPV import epicsPV
from epicsMotor import epicsMotor, epicsMotorException
assert issubclass(epicsPV, CaChannel.CaChannel)
assert issubclass(epicsMotorException, Exception)
print("good")
"""
    assert run(code) == "good\n"


def test_what_is_not_there() -> None:
    code = """
for name in ("CaChannel.nothing", "CaChannel.ca.nothing"):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        assert error.name == name, error.name
        print(error)
"""
    assert run(code).splitlines() == [
        "No module named 'CaChannel.nothing'",
        "No module named 'CaChannel.ca.nothing'; 'CaChannel.ca' is not a package",
    ]


def test_import_is_lazy() -> None:
    code = "import sys, CaChannel; print(*[name for name in sys.modules if name.startswith('cachannel.')])"
    assert not {"cachannel.util", "cachannel.epicsPV", "cachannel.epicsMotor"} & set(run(code).split())


def test_exceptions_are_caught_by_either_name() -> None:
    code = """
from CaChannel import CaChannel, CaChannelException
from CaChannel.util import caget
import cachannel
try:
    cachannel.CaChannel("x").getw()
except CaChannelException as error:
    print(type(error) is cachannel.CaChannelException)
try:
    caget("no-such-pv:in-any-ioc", timeout=0.1)
except CaChannelException as error:
    print(error.pvname)
"""
    assert run(code) == "True\nno-such-pv:in-any-ioc\n"


def test_from_plain_files(tmp_path: Path) -> None:
    """As a wheel lays them out: the package and the aliases beside it, and no editable install in the way."""
    shutil.copytree(SITE / "cachannel", tmp_path / "site" / "cachannel", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ALIASES:
        shutil.copy(SITE / name, tmp_path / "site")
    code = "\n".join(IMPORTS) + "\n" + CHECK + "print(cachannel.__file__)"
    assert (
        run(code, path=tmp_path / "site", cwd=tmp_path) == f"good\n{tmp_path / 'site' / 'cachannel' / '__init__.py'}\n"
    )


def test_the_wheel_gets_the_aliases() -> None:
    assert {path.name for path in PYTHON.glob("*.py")} == ALIASES
    text = (PYTHON.parent / "pyproject.toml").read_text()
    assert all(f'"python/{name}"' in text for name in ALIASES)
    assert all((SITE / name).exists() for name in ALIASES)


NAMES = json.loads(Path(__file__).with_name("names_of_3_2_0.json").read_text())
"""Each module of 3.2.0 with its names, and those that a star import gives; and what caffi's modules have."""


@pytest.mark.parametrize("module", NAMES)
def test_every_name_is_there(module: str) -> None:
    found = ca if module == "caffi.ca" else importlib.import_module(module)
    assert [name for name in NAMES[module]["names"] if not hasattr(found, name)] == []


@pytest.mark.parametrize("module", [module for module in NAMES if "star" in NAMES[module]])
def test_star_import(module: str) -> None:
    """It gives what it gave, and nothing that could hide a name of the program."""
    given: dict[str, object] = {}
    exec(f"from {module} import *", given)
    del given["__builtins__"]
    wanted = set(NAMES[module]["star"])
    assert wanted - given.keys() == set()
    # `ca` had another backend, with names of its own.
    caffi = {*NAMES["caffi.ca"]["names"]} if module in ("CaChannel.ca", "CaChannel._ca") else set()
    assert given.keys() - wanted - caffi == set()


def test_names_of_the_module_in_c() -> None:
    import CaChannel._ca as old

    assert old is cachannel._ca
    for name in NAMES["CaChannel._ca"]["names"]:
        assert getattr(old, name) is getattr(ca, name), name
