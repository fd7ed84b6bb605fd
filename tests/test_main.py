"""python -m cachannel: versions, variables, where PVs live, and why they are not found."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Callable

import cachannel
import numpy
import pytest
from conftest import SERVER_PORT
from helpers import Result
from server_process import free_port

Main = Callable[..., Result]


@pytest.fixture
def main() -> Main:
    """Gives a function that runs ``python -m cachannel``."""

    def run(*arguments: str, **variables: str) -> Result:
        environment = {**os.environ, **variables}
        command = [sys.executable, "-m", "cachannel", *arguments]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
        assert "Traceback" not in ran.stderr, ran.stderr
        return Result(ran.returncode, ran.stdout, ran.stderr, 0)

    return run


def test_what_is_here(main: Main) -> None:
    result = main(EPICS_CA_CONN_TMO="")
    assert result.returncode == 0
    assert result.stderr == ""
    for text in (
        f"cachannel {cachannel.__version__}",
        f" {sys.version_info[0]}.{sys.version_info[1]}.",
        f"numpy {numpy.__version__}",
        cachannel.ca.version(),
        cachannel.libca_path(),
        f"EPICS_CA_SERVER_PORT = {SERVER_PORT}  #",
        "EPICS_CA_CONN_TMO = 30 (not set)  #",
    ):
        assert text in result.stdout
    assert "warning" not in result.stdout


@pytest.mark.parametrize(
    ("variable", "value", "warning"),
    [
        ("EPICS_CA_MAX_ARRAY_BYTES", "lots", "'lots' is no number; 16384 counts"),
        ("EPICS_CA_MAX_ARRAY_BYTES", "1e6", "of '1e6' only the 1 counts"),
        ("EPICS_CA_MAX_ARRAY_BYTES", "100", "100 is less than 16384; 16384 counts"),
        ("EPICS_CA_AUTO_ARRAY_BYTES", "1", "'1' is neither YES nor NO; NO counts"),
        ("EPICS_CA_AUTO_ADDR_LIST", "No", "'No' is neither YES nor NO; YES counts"),
        ("EPICS_CA_ADDR_LIST", "127.0.0.1 1.2.3.4.5", "1.2.3.4.5: no such host is known"),
        ("EPICS_CA_ADDR_LIST", "127.0.0.1:", "'' is no port"),
        ("EPICS_CA_ADDR_LIST", "127.0.0.1 ::1", "::1: Channel Access knows no IPv6"),
        ("EPICS_CA_ADDR_LIST", "127.0.0.1,127.0.0.2", "separated by spaces"),
        ("EPICS_CA_NAME_SERVERS", "127.0.0.1:70000", "'70000' is no port"),
        ("EPICS_CA_SERVER_PORT", "80", "'80' is no port between 5001 and 65535; 5064 counts"),
        ("EPICS_CA_CONN_TMO", "soon", "'soon' is no number; 30 counts"),
        ("EPICS_CA_MAX_SEARCH_PERIOD", "5.5", "5.5 is less than 60; 60 counts"),
        ("EPICS_CA_ADRLIST", "127.0.0.1", "libca knows no such variable; EPICS_CA_ADDR_LIST may have been meant"),
        ("EPICS_CA_OF_OUR_SITE", "1", "libca knows no such variable"),
    ],
)
def test_a_variable_that_makes_no_sense(main: Main, variable: str, value: str, warning: str) -> None:
    result = main(**{variable: value})
    assert result.returncode == 0
    warnings = [line for line in result.stdout.splitlines() if line.startswith("warning: ")]
    assert any(variable in line and warning in line for line in warnings), result.stdout


def test_what_makes_no_sense_is_told_once_and_mended(main: Main, prefix: str) -> None:
    result = main(prefix + "catest", "-w", "10", EPICS_CA_MAX_SEARCH_PERIOD="5.5")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("5.5 is less than 60") == 1


def test_nowhere_to_look(main: Main) -> None:
    assert "warning: no PV can be found: " in main(EPICS_CA_ADDR_LIST="").stdout


@pytest.mark.parametrize("value", ["127.0.0.1 localhost:5066", " 127.0.0.1 "])
def test_addresses_that_make_sense(main: Main, value: str) -> None:
    assert "warning" not in main(EPICS_CA_ADDR_LIST=value).stdout


def test_where_they_live(main: Main, prefix: str) -> None:
    result = main(prefix + "catest", prefix + "cawave", "-w", "10")
    assert (result.returncode, result.stderr) == (0, "")
    assert f"{prefix}catest: on localhost:{SERVER_PORT}, DOUBLE, 1 element, access: read and write\n" in result.stdout
    assert f"{prefix}cawave: on localhost:{SERVER_PORT}, DOUBLE, " in result.stdout
    assert "Looked for" not in result.stdout


def test_one_is_not_found(main: Main, prefix: str) -> None:
    nobody = free_port()
    result = main(
        *(prefix + "catest", "nowhere", "-w", "1"),
        EPICS_CA_ADDR_LIST=f"127.0.0.1:{SERVER_PORT} 127.0.0.1:{nobody}",
        EPICS_CA_NAME_SERVERS=f"127.0.0.1:{nobody}",
    )
    assert result.returncode == 1
    assert f"{prefix}catest: on localhost:" in result.stdout
    assert "nowhere: not found within 1 s\n" in result.stdout
    assert f"  127.0.0.1, UDP port {SERVER_PORT}\n" in result.stdout
    assert f"  127.0.0.1, UDP port {nobody}; no server there: the port is closed\n" in result.stdout
    assert f"  127.0.0.1, TCP port {nobody}; no connection: " in result.stdout
    assert "caget" in result.stdout


def test_what_may_have_been_meant(main: Main, prefix: str) -> None:
    field, spaced, capitals = prefix + "catest.NONE", f" {prefix}calong", f"{prefix}CABO"
    result = main(field, spaced, capitals, "-w", "1")
    assert result.returncode == 1
    assert f"{field}: not found within 1 s\n  but {prefix}catest is there: on localhost:" in result.stdout
    assert f"{spaced}: not found within 1 s\n  but {prefix}calong is there: on" in result.stdout
    assert f"{capitals}: not found within 1 s\n  but {prefix}cabo is there: on" in result.stdout


def test_a_name_that_is_none(main: Main) -> None:
    result = main("", "-w", "1")
    assert result.returncode == 1
    assert "'': Invalid string\n" in result.stdout


@pytest.mark.parametrize("arguments", [("-w", "0"), ("-w", "x"), ("-w", "nan"), ("--bogus",)])
def test_usage(main: Main, arguments: tuple[str, ...]) -> None:
    result = main(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("usage: python -m cachannel ")


def test_no_libca(main: Main) -> None:
    result = main("catest", CACHANNEL_LIBCA="/no/such/libca.so")
    assert (result.returncode, result.stderr) == (1, "")
    assert f"cachannel {cachannel.__version__}" in result.stdout
    assert "cachannel needs EPICS's libca, and found none.\nTried:\n  CACHANNEL_LIBCA: /no/such/" in result.stdout
