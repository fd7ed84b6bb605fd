"""Every code example of the documentation, the README and the docstrings runs, and prints what it is shown to print."""

from __future__ import annotations

import http.client
import importlib
import json
import os
import pkgutil
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import cachannel
import examples
import pytest
from cachannel import CaChannel, ca
from conftest import HARD_LIMIT, RESTART_PORT
from helpers import Result, RunScript
from ioc import Ioc
from motor_server import MotorServer
from server_process import free_port, wait_for

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(ROOT.joinpath("docs").rglob("*.rst"))
PROGRAMS = [(page, number, test.name) for page in PAGES for number, test in enumerate(examples.programs(page))]
MODULES = ["cachannel", *(module.name for module in pkgutil.walk_packages(cachannel.__path__, "cachannel."))]
TEXTS = [(path, number) for path in sorted(ROOT.glob("*.md")) for number in range(len(examples.blocks(path)))]

MOTOR_PORT = free_port()
AT_FIRST = {"tank:temperature": 21.5, "tank:level": 1.2, "tank:fills": 7, "tank:valve": 0, "catest": 0, "cabo": 0}

pytestmark = pytest.mark.timeout(150)

RunCode = Callable[[str], Result]


class TankIoc(Ioc):
    """An IOC with the records that the documentation talks of."""

    def _command(self) -> list[str]:
        command = [*super()._command(), "--database", str(ROOT / "docs" / "tank.db"), ""]
        for number in range(1000):
            command += ["--database", str(ROOT / "docs" / "sensor.db"), f"N={number}"]
        return command


@pytest.fixture(scope="module")
def servers(repeater: None) -> Iterator[None]:
    tank = TankIoc("docs:", RESTART_PORT, full=False, bare=False, limit=HARD_LIMIT)
    motors = MotorServer("docs:", MOTOR_PORT, motors=0, names=("stage:x", "13BMD:m38"), limit=HARD_LIMIT)
    with tank, motors:
        yield


@pytest.fixture
def run_code(servers: None, run_script: RunScript) -> RunCode:
    """Gives a function that runs code in a process of its own, which finds all servers."""
    addresses = f"{os.environ['EPICS_CA_ADDR_LIST']} 127.0.0.1:{MOTOR_PORT}"

    def run(code: str) -> Result:
        for name, value in AT_FIRST.items():
            with CaChannel(name) as channel:
                channel.putw(value)
                channel.getw()
        return run_script(code, 100, {"EPICS_CA_ADDR_LIST": addresses}, preamble=False)

    return run


@pytest.mark.parametrize(("page", "number"), [pytest.param(p, n, id=name) for p, n, name in PROGRAMS])
def test_page(page: Path, number: int, run_code: RunCode) -> None:
    result = run_code(f"import examples\nexamples.run_program({str(page)!r}, {number})")
    assert (result.returncode, result.stderr) == (0, ""), result.stdout + result.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_code_that_is_not_run(page: Path) -> None:
    assert not examples.unprompted(page)


@pytest.mark.parametrize("name", [name for name in MODULES if examples.docstrings(importlib.import_module(name))])
def test_docstrings(name: str, run_code: RunCode) -> None:
    result = run_code(f"import examples\nexamples.run_docstrings({name!r})")
    assert (result.returncode, result.stderr) == (0, ""), result.stdout + result.stderr


@pytest.mark.parametrize(("path", "number"), TEXTS, ids=lambda value: getattr(value, "name", value))
def test_text(path: Path, number: int, run_code: RunCode) -> None:
    program, shown = examples.blocks(path)[number]
    result = run_code(program)
    difference = examples.differs(program, shown, result.stdout, result.stderr)
    assert not difference, difference


@pytest.fixture
def web_server(servers: None) -> Iterator[int]:
    """The port of docs/web_server.py, which runs."""
    command = [
        sys.executable,
        str(ROOT / "docs" / "web_server.py"),
        "--port",
        "0",
        "tank:level",
        "tank:valve",
        "tank:presure",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline()
            yield int(address.rstrip("/\n").rpartition(":")[2])
            process.send_signal(signal.SIGINT)
            ended = (process.communicate(timeout=10), process.returncode)
            assert ended == (("", ""), 0)
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="it is ended by SIGINT")
def test_web_server(web_server: int) -> None:
    def get(path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", web_server, timeout=20)
        connection.request("GET", path)
        return connection.getresponse()

    def subscriptions() -> dict[str, int]:
        return dict(json.load(get("/status")))

    def until(stream: http.client.HTTPResponse, wanted: dict[str, object]) -> None:
        while True:
            line = stream.readline()
            assert line, "the stream has ended"
            if line.startswith(b"data: "):
                update = json.loads(line[6:])
                if wanted.items() <= update.items():
                    return

    assert b"EventSource" in get("/").read()
    assert get("/passwd").status == 404
    with CaChannel("tank:level") as level, CaChannel("tank:valve") as valve:
        level.putw(1.5)
        with get("/stream") as stream, get("/stream") as other:
            assert stream.getheader("Content-Type") == "text/event-stream"
            until(stream, {"name": "tank:level", "value": 1.5, "units": "m", "severity": "No"})
            valve.putw("Stuck")
            until(stream, {"name": "tank:valve", "value": "Stuck", "severity": "Major"})
            until(other, {"name": "tank:valve", "value": "Stuck"})
            assert subscriptions() == {"tank:level": 2, "tank:valve": 2, "tank:presure": 2}
            other.close()
            wait_for(lambda: set(subscriptions().values()) == {1}, 20, "nothing is left of the browser that has gone")
            level.putw(1.2)
            # The IOC may keep the update back until there is other traffic: docs/troubleshooting.rst.
            with get("/stream"):
                until(stream, {"name": "tank:level", "value": 1.2})
        valve.putw(0)
    wait_for(lambda: set(subscriptions().values()) == {0}, 20, "nothing is left of the browsers")
    with get("/stream") as stream:
        until(stream, {"name": "tank:valve", "value": "Closed"})


def words(page: str) -> str:
    return ROOT.joinpath("docs", page).read_text()


def test_every_public_name_is_documented() -> None:
    def members(kind: type) -> list[str]:
        return [name for name in vars(kind) if not name.startswith("_")]

    def at_home(module: ModuleType) -> list[str]:
        return [name for name in module.__all__ if getattr(getattr(module, name), "__module__", "") == module.__name__]

    from cachannel import _ca, _constants, _enums, aio, epicsMotor, epicsPV, util, values

    ca_itself = ["chid", "evid", "ca_client_context", "DBRValue", "dropped"]
    in_constants = ["CA_EXTRACT_MSG_NO", "CA_EXTRACT_MSG_SEVERITY"]

    api = {page.stem: page.read_text() for page in ROOT.joinpath("docs", "api").glob("*.rst")}
    own = [(name, getattr(cachannel, name)) for name in dir(cachannel)]
    own = [(name, value) for name, value in own if getattr(value, "__module__", "") == "cachannel"]
    wanted = {
        "cachannel": [
            *(name for name, value in own if value not in (cachannel.PV, cachannel.Subscription)),
            *cachannel.__all__,
            *(f"CaChannel.{name}" for name in members(CaChannel)),
        ],
        "pv": [
            *("PV", "Subscription"),
            *(f"PV.{name}" for kind in cachannel.PV.mro() for name in members(kind)),
            *members(cachannel.Subscription),
        ],
        "values": [
            *values.__all__,
            *(name for kind in values.FloatValue.mro() for name in members(kind) if not hasattr(float, name)),
        ],
        "aio": [
            *aio.__all__,
            *(f"PV.{name}" for name in members(aio.PV)),
            *members(aio.Updates),
            *members(aio.CAInfo),
        ],
        "ca": {*_ca.__all__, *ca_itself} - {*_constants.__all__, *_enums.__all__, *in_constants, "IntEnum"},
        "constants": [*_enums.__all__, *in_constants],
        "epicsPV": [*at_home(epicsPV), *(f"epicsPV.{name}" for name in members(epicsPV.epicsPV))],
        "epicsMotor": [*at_home(epicsMotor), *members(epicsMotor.epicsMotor)],
        "util": [*at_home(util), "CaNothing", "Monitor", "MonitorCallback", "MonitorConnectionCallback", "_channels_"],
    }

    def is_documented(page: str, name: str) -> bool:
        # By a directive (or one of several signatures of one), or in a table.
        places = rf"(?:\.\. [\w:]+:: (?:epicsMotor\.)?|^ {{14}}|``){re.escape(name)}\b"
        return re.search(places, api[page], re.MULTILINE) is not None

    missing = [(page, name) for page, names in wanted.items() for name in names if not is_documented(page, name)]
    patterns = re.findall(r":constants: (.+)", api["constants"])
    listed = [name for name in dir(ca) if any(re.fullmatch(pattern, name) for pattern in patterns)]
    missing += [("constants", n) for n in _constants.__all__ if n not in listed and f"``{n}``" not in api["constants"]]
    assert missing == []


def test_limits_are_those_of_the_source() -> None:
    source = ROOT.joinpath("src", "client", "subscription.rs").read_text()
    assert "updates: 32_768,\n    bytes: 96 * 1024 * 1024,\n" in source
    for page in ("callbacks.rst", "internals.rst"):
        assert "32,768" in words(page)
        assert "96 MiB" in words(page).replace("\n", " ").replace("  ", " ")


def test_the_source_has_what_the_documentation_names() -> None:
    """Files, and the types and functions in them, in the pages on the source."""

    def code(path: Path) -> str:
        return re.sub(r"^\s*(//|#).*", "", path.read_text(), flags=re.MULTILINE)

    def defines(text: str, name: str) -> bool:
        return (
            re.search(rf"\b(struct|enum|trait|type|fn|def|class) {name}\b|^ +{name}[,({{]", text, re.MULTILINE)
            is not None
        )

    sources = "\n".join(map(code, ROOT.joinpath("src").rglob("*.rs")))
    missing = []
    for page in ("README.md", "CONTRIBUTING.md", "docs/internals.rst", "docs/decisions.rst"):
        text = ROOT.joinpath(page).read_text().replace("``", "`")
        for name in re.findall(r"`((?:src|python|tests|tools|docs|benches)/[\w./]+)`", text):
            if not ROOT.joinpath(name).exists():
                missing.append(f"{page}: {name}")
        for whole, name in re.findall(r"`([A-Z]\w+::(\w+))`", text):
            if not defines(sources, name):
                missing.append(f"{page}: {whole}")
        for name, file in re.findall(r"`(?:\w+::)?(\w+)`\s(?:in\s|\()`((?:src|python)/[\w./]+\.\w+)`", text):
            if ROOT.joinpath(file).exists() and not defines(code(ROOT / file), name):
                missing.append(f"{page}: {name} in {file}")
    glossary = ROOT.joinpath("CONTRIBUTING.md").read_text().partition("## Glossary")[2]
    rows = re.findall(r"^\| (`.+?) \| .+ \| (`.+`)", glossary, re.MULTILINE)
    assert len(rows) > 30
    for names, _ in rows:
        missing += [f"glossary: {name}" for name in re.findall(r"`([A-Z]\w+)`", names) if not defines(sources, name)]
    assert not missing


def test_an_example_that_differs_is_noticed(tmp_path: Path, run_code: RunCode) -> None:
    page = tmp_path / "page.rst"
    example = ">>> from cachannel import CaChannel\n>>> with CaChannel('tank:fills') as chan:\n...     chan.getw()\n"
    for shown, code in (("7", 0), ("8", 1)):
        page.write_text(f"Text\n\n{example}{shown}\n")
        result = run_code(f"import examples\nexamples.run_program({str(page)!r}, 0)")
        assert result.returncode == code, result
    assert "Expected:\n    8\nGot:\n    7\n" in result.stdout
    page.write_text("")
    assert examples.programs(page) == []


def test_code_in_tables_is_run(tmp_path: Path, run_code: RunCode) -> None:
    page = tmp_path / "page.rst"
    head = ">>> steps = []\n\n.. list-table::\n   :class: runs\n\n   * - theirs\n     - ours, ``not_this``\n"
    page.write_text(
        head + "   * - ``neither.this``\n     - ``steps.append(1)``, then\n       ``steps.append(\n       2)``\n"
    )
    (program,) = examples.programs(page)
    assert [example.source for example in program.examples] == [
        "steps = []\n",
        "steps.append(1)\n",
        "steps.append( 2)\n",
    ]
    page.write_text(head + "   * - x\n     - ``steps.no_such_thing``\n")
    result = run_code(f"import examples\nexamples.run_program({str(page)!r}, 0)")
    assert result.returncode == 1
    assert "no_such_thing" in result.stdout


def test_blocks_of_markdown(tmp_path: Path) -> None:
    text = tmp_path / "text.md"
    text.write_text(
        "# T\n\n```python\nprint(1)\n```\n\ngives\n\n    1\n\n```text\n2\n```\n\n## U\n\n    3\n\n```sh\nls\n```\n"
    )
    assert examples.blocks(text) == [("print(1)\n", "1\n2\n")]
    assert not examples.differs("print(1)\n", "1\n", "1\n", "")
    assert examples.differs("print(1)\n", "2\n", "1\n", "")
    assert examples.differs("print(1)\n", "1\n", "1\n", "Traceback (most recent call last):\n  x\nValueError: y\n")
