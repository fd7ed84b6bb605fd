"""The suite's surroundings: ports of its own on loopback, a CA repeater, real IOCs, and a few helpers.

The environment is set when this file is imported, before anything loads libca, which reads it once.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ioc import BUNCHES, IOC_PYTHON, Ioc
from server_process import free_port, udp_port_is_free, wait_for

SERVER_PORT = free_port()
RESTART_PORT = free_port()
REPEATER_PORT = free_port()

for _name in [name for name in os.environ if name.startswith(("EPICS_CA_", "EPICS_CAS_"))]:
    del os.environ[_name]
os.environ.update(
    EPICS_CA_ADDR_LIST=f"127.0.0.1:{SERVER_PORT} 127.0.0.1:{RESTART_PORT}",
    EPICS_CA_AUTO_ADDR_LIST="NO",
    EPICS_CA_SERVER_PORT=str(SERVER_PORT),
    EPICS_CA_REPEATER_PORT=str(REPEATER_PORT),
    EPICS_CA_MAX_ARRAY_BYTES="100000000",
    EPICS_CAS_INTF_ADDR_LIST="127.0.0.1",
    EPICS_CAS_BEACON_ADDR_LIST="127.0.0.1",
    EPICS_CAS_AUTO_BEACON_ADDR_LIST="NO",
)

# After the environment is set.
from cachannel import CaChannel, ChannelGroup, ca  # noqa: E402
from helpers import Connect, MakeChannel, Result, RunScript  # noqa: E402

# Seconds, longer than the suite takes on a slow machine; a process that is left behind then ends by itself.
HARD_LIMIT = 900

_REPEATER = f"""
import ctypes, os, signal, sys, threading, time
signal.alarm({HARD_LIMIT})
from epicscorelibs.path import get_lib
libca = ctypes.CDLL(get_lib("ca"))
def end_with_parent():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=end_with_parent, daemon=True).start()
while True:
    # It returns at once if somebody who looks for a repeater has the port at this moment; otherwise it never returns.
    libca.caRepeaterThread(None)
    time.sleep(0.01)
"""

_PREAMBLE = "from in_script import *\n"


@pytest.fixture(scope="session", autouse=True)
def repeater() -> Iterator[None]:
    """A CA repeater for the session. Without one, the first program would start a repeater that outlives the tests."""
    process = subprocess.Popen([IOC_PYTHON, "-c", _REPEATER], stdin=subprocess.PIPE)
    wait_for(lambda: process.poll() is not None or not udp_port_is_free(REPEATER_PORT), 20, "the repeater listens")
    assert process.poll() is None
    yield
    process.terminate()
    process.wait(10)
    assert process.stdin is not None
    process.stdin.close()


@pytest.fixture(scope="session")
def prefix() -> str:
    """What the names of the session's PVs begin with."""
    return f"t{secrets.token_hex(4)}:"


@pytest.fixture(scope="session", autouse=True)
def ioc(prefix: str, repeater: None) -> Iterator[Ioc]:
    """The IOC that all tests share."""
    with Ioc(prefix, SERVER_PORT, limit=HARD_LIMIT) as server:
        yield server


@pytest.fixture
def own_ioc(repeater: None) -> Iterator[Ioc]:
    """An IOC for one test alone, to be stopped and killed as it likes: the manual's records under a prefix."""
    with Ioc(f"r{secrets.token_hex(4)}:", RESTART_PORT, full=False, bare=False, limit=HARD_LIMIT) as server:
        yield server


@pytest.fixture(scope="session")
def connect(prefix: str, ioc: Ioc) -> Connect:
    """Gives a function from a name to a connected chid, the same for all tests: a search takes libca a while.

    A test that has another use for it (clears it, say) asks for a ``fresh`` one.
    """
    chids: dict[str, Any] = {}

    def connect_one(name: str, fresh: bool = False) -> Any:
        if name in chids and not fresh:
            return chids[name]
        status, chid = ca.create_channel(prefix + name)
        assert status == ca.ECA_NORMAL, status
        assert ca.pend_io(10) == ca.ECA_NORMAL, name
        if not fresh:
            chids[name] = chid
        return chid

    return connect_one


@pytest.fixture(scope="session")
def circuit(connect: Connect) -> None:
    """Keeps the circuit to the IOC open: where the last channel is cleared, and another made at once, libca may attach
    the new one to the circuit that it is about to close, and then takes seconds to connect again.
    """
    connect("calong")


@pytest.fixture(scope="session")
def bunch(prefix: str, ioc: Ioc) -> Iterator[ChannelGroup]:
    """The PVs of bunch.db, connected."""
    names = [f"{prefix}many{tens}_{ones}" for tens in range(BUNCHES) for ones in range(10)]
    with ChannelGroup(names, timeout=10) as group:
        yield group


@pytest.fixture
def many(bunch: ChannelGroup) -> list[str]:
    """Names of many PVs; each holds the last digit of its name, whatever other tests have left there."""
    bunch.put([int(name[-1]) for name in bunch.names], wait=True)
    return bunch.names


@pytest.fixture
def make_channel(prefix: str) -> Iterator[MakeChannel]:
    """Gives a function from a name to a connected CaChannel, which is cleared after the test."""
    channels = []

    def make_one(name: str, search: bool = True) -> CaChannel:
        channel = CaChannel(prefix + name)
        channels.append(channel)
        if search:
            channel.setTimeout(10)
            channel.searchw()
        return channel

    yield make_one
    for channel in channels:
        channel.clear_channel()


@pytest.fixture(scope="session")
def run_script(prefix: str, ioc: Ioc, tmp_path_factory: pytest.TempPathFactory) -> RunScript:
    """Gives a function that runs Python code in a process of its own, with a limit on its time.

    The code finds the names of `in_script`. A code that is not over in time fails the test; its output until then is in
    the message.
    """
    folder = tmp_path_factory.mktemp("scripts")
    numbers = iter(range(1_000_000))

    def run(
        code: str,
        timeout: float = 30.0,
        env: dict[str, str] | None = None,
        preamble: bool = True,
        options: tuple[str, ...] = (),
    ) -> Result:
        # Scripts find 5, whatever other tests have written.
        with CaChannel(prefix + "calong") as calong:
            calong.setTimeout(10)
            calong.putw(5)
            calong.getw()
        script = folder / f"script{next(numbers)}.py"
        script.write_text((_PREAMBLE if preamble else "") + textwrap.dedent(code))
        assert ioc.process is not None
        environment = dict(os.environ, TEST_PREFIX=prefix, IOC_PID=str(ioc.process.pid), PYTHONFAULTHANDLER="1")
        here = str(Path(__file__).resolve().parent)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))
        environment.update(env or {})
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, *options, str(script)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            pytest.fail(f"not over after {timeout} s; stdout:\n{stdout}\nstderr:\n{stderr}")
        finally:
            ioc.resume()
        return Result(process.returncode, stdout, stderr, time.monotonic() - began)

    return run
