"""The EPICS_CA_ variables: what makes no sense is told, once, and what makes sense works."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import RESTART_PORT, SERVER_PORT
from helpers import RunScript, assert_quiet
from ioc import Ioc
from server_process import free_port

READ = """
    with CaChannel(P + "calong") as channel:
        channel.setTimeout(10)
        print(channel.getw())
    # Once a process.
    ca.destroy_context()
    with CaChannel(P + "calong") as channel:
        print(channel.getw())
"""


@pytest.mark.parametrize(
    ("variables", "warnings"),
    [
        (
            {"EPICS_CA_ADDR_LIST": f"not an address!! 127.0.0.1:{SERVER_PORT}"},
            [
                f"EPICS_CA_ADDR_LIST: {text}: no such host is known; it is left out"
                for text in ("not", "an", "address!!")
            ],
        ),
        (
            {"EPICS_CA_ADDR_LIST": f"127.0.0.1 127.0.0.1:{SERVER_PORT}"},
            [f"EPICS_CA_ADDR_LIST: 127.0.0.1:{SERVER_PORT}: it is there before; it is left out"],
        ),
        (
            {
                "EPICS_CA_SERVER_PORT": "abc",
                "EPICS_CA_MAX_ARRAY_BYTES": "-5",
                "EPICS_CA_CONN_TMO": "x",
                "EPICS_CA_MAX_SEARCH_PERIOD": "5",
                "EPICS_CA_MCAST_TTL": "many",
                "EPICS_CA_NAME_SERVERS": "127.0.0.1:70000",
                "EPICS_CA_BEACON_PERIOD": "for servers",
                "EPICS_CA_OF_THIS_SITE": "what it likes",
                "EPICS_CA_ADRLIST": "127.0.0.1",
            },
            [
                "EPICS_CA_NAME_SERVERS: 127.0.0.1:70000: '70000' is no port; it is left out",
                "EPICS_CA_SERVER_PORT: 'abc' is no port between 5001 and 65535; 5064 counts",
                "EPICS_CA_MAX_SEARCH_PERIOD: 5 is less than 60; 60 counts",
                "EPICS_CA_MCAST_TTL: 'many' is no number; 1 counts",
                "EPICS_CA_CONN_TMO: 'x' is no number; 30 counts",
                "EPICS_CA_MAX_ARRAY_BYTES: -5 is less than 16384; 16384 counts",
                "EPICS_CA_ADRLIST: libca knows no such variable; EPICS_CA_ADDR_LIST may have been meant",
            ],
        ),
        (
            {
                "EPICS_CA_SERVER_PORT": "99999",
                "EPICS_CA_MAX_ARRAY_BYTES": "lots",
                "EPICS_CA_AUTO_ARRAY_BYTES": "maybe",
                "EPICS_CA_CONN_TMO": "1e400",
                "EPICS_CA_MAX_SEARCH_PERIOD": "100000",
                "EPICS_CA_MCAST_TTL": "700",
                "EPICS_CA_NAME_SERVERS": f"127.0.0.1:{SERVER_PORT} ::1",
            },
            [
                "EPICS_CA_NAME_SERVERS: ::1: Channel Access knows no IPv6; it is left out",
                "EPICS_CA_SERVER_PORT: '99999' is no port between 5001 and 65535; 5064 counts",
                "EPICS_CA_MAX_SEARCH_PERIOD: 100000 is more than 4194; 4194 counts",
                "EPICS_CA_MCAST_TTL: 700 is more than 255; 255 counts",
                "EPICS_CA_CONN_TMO: '1e400' is no number; 30 counts",
                "EPICS_CA_AUTO_ARRAY_BYTES: 'maybe' is neither YES nor NO; NO counts",
                "EPICS_CA_MAX_ARRAY_BYTES: 'lots' is no number; 16384 counts",
            ],
        ),
    ],
)
def test_nonsense(run_script: RunScript, variables: dict[str, str], warnings: list[str]) -> None:
    """The package tells of each in one line, libca says nothing, and what is left of the variable works."""
    result = run_script(READ, env=variables)
    assert (result.returncode, result.stdout) == (0, "5\n5\n")
    assert result.stderr.splitlines() == warnings


def test_nonsense_is_logged_and_stays_in_the_environment(run_script: RunScript) -> None:
    result = run_script(
        """
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logging.getLogger("cachannel").addHandler(handler)
    """
        + READ
        + """
    print(*((record.name, record.levelname) for record in records), os.environ["EPICS_CA_CONN_TMO"])
    """,
        env={"EPICS_CA_CONN_TMO": "x"},
    )
    assert_quiet(result, "5\n5\n('cachannel', 'WARNING') x\n")


def test_a_host_that_is_known_again_counts_again(run_script: RunScript) -> None:
    """Its name could not be looked up when the first context was made."""
    result = run_script(
        """
    import ctypes, socket
    def fail(host):
        raise OSError("no answer")
    look_up, socket.gethostbyname = socket.gethostbyname, fail
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    with CaChannel(P + "calong"):
        print("localhost" in getenv(b"EPICS_CA_ADDR_LIST").decode())
    ca.destroy_context()
    socket.gethostbyname = look_up
    with CaChannel(P + "calong"):
        print(getenv(b"EPICS_CA_ADDR_LIST").decode() == os.environ["EPICS_CA_ADDR_LIST"])
    """,
        env={"EPICS_CA_ADDR_LIST": f"127.0.0.1:{SERVER_PORT} localhost:{RESTART_PORT}"},
    )
    assert (result.returncode, result.stdout) == (0, "False\nTrue\n"), result.stderr
    assert result.stderr == f"EPICS_CA_ADDR_LIST: localhost:{RESTART_PORT}: no such host is known; it is left out\n"


def test_a_port_of_the_repeater_that_is_none() -> None:
    """The default counts. (Not with a context, which would start a repeater there.)"""
    code = "from cachannel import _variables; print(_variables.repeater_port(), *_variables.mistakes())"
    environment = {**os.environ, "EPICS_CA_REPEATER_PORT": "99999"}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30)
    assert ran.stdout == "5065 EPICS_CA_REPEATER_PORT: '99999' is no port between 5001 and 65535; 5065 counts\n"


def test_interfaces_are_searched_where_the_variable_says_neither(run_script: RunScript) -> None:
    """The program is told what counts; nothing is sent, as no context is made."""
    result = run_script(
        "from cachannel import _variables; print(*_variables.mistakes())", env={"EPICS_CA_AUTO_ADDR_LIST": "maybe"}
    )
    assert_quiet(result, "EPICS_CA_AUTO_ADDR_LIST: 'maybe' is neither YES nor NO; YES counts\n")


def test_good_variables_are_left_alone(run_script: RunScript) -> None:
    result = run_script(
        READ + '    print(os.popen("echo $EPICS_CA_CONN_TMO $EPICS_CA_MAX_ARRAY_BYTES").read(), end="")\n',
        env={"EPICS_CA_CONN_TMO": " 5.5 ", "EPICS_CA_MAX_ARRAY_BYTES": "1000000"},
    )
    assert_quiet(result, "5\n5\n5.5 1000000\n")


def test_several_servers_and_ports(run_script: RunScript, own_ioc: Ioc) -> None:
    code = f"""
    with CaChannel(P + "calong") as here, CaChannel("{own_ioc.prefix}calong") as there:
        print(here.getw() == 5, type(there.getw()).__name__, here.host_name() != there.host_name())
    """
    addresses = f"127.0.0.1:{free_port()} 127.0.0.1:{SERVER_PORT} localhost:{RESTART_PORT}"
    assert_quiet(run_script(code, env={"EPICS_CA_ADDR_LIST": addresses}), "True int True\n")
    # One without a port takes the variable's.
    variables = {"EPICS_CA_ADDR_LIST": f"127.0.0.1 127.0.0.1:{SERVER_PORT}", "EPICS_CA_SERVER_PORT": str(RESTART_PORT)}
    assert_quiet(run_script(code, env=variables), "True int True\n")


def test_name_servers_alone(run_script: RunScript, own_ioc: Ioc) -> None:
    code = f"""
    channels = [CaChannel(P + "calong"), CaChannel("{own_ioc.prefix}calong")]
    for channel in channels:
        channel.search()
    channels[0].pend_io(10)
    print(*(type(channel.getw()).__name__ for channel in channels))
    """
    servers = f"127.0.0.1:{SERVER_PORT} localhost:{RESTART_PORT}"
    assert_quiet(run_script(code, env={"EPICS_CA_ADDR_LIST": "", "EPICS_CA_NAME_SERVERS": servers}), "int int\n")


def test_nowhere_to_look(run_script: RunScript) -> None:
    result = run_script(
        """
    channel = CaChannel(P + "calong")
    channel.setTimeout(0.5)
    try:
        channel.searchw()
    except CaChannelException as error:
        print(error.status)
    """,
        env={"EPICS_CA_ADDR_LIST": ""},
    )
    assert (result.returncode, result.stdout) == (0, "ECA.TIMEOUT\n")
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert "no PV can be found, as EPICS_CA_AUTO_ADDR_LIST is NO and there is no address to search" in result.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"EPICS_CA_AUTO_ARRAY_BYTES": "YES", "EPICS_CA_MAX_ARRAY_BYTES": "16384"},
        {"EPICS_CA_AUTO_ARRAY_BYTES": "NO", "EPICS_CA_MAX_ARRAY_BYTES": "40000000"},
    ],
)
def test_arrays_that_are_not_too_large(run_script: RunScript, variables: dict[str, str]) -> None:
    """What happens to one that is too large: test_messages."""
    result = run_script(
        """
    import numpy
    with CaChannel(P + "big") as channel:
        channel.setTimeout(20)
        whole = channel.getw(use_numpy=True)
        channel.putw(whole)
        again = channel.getw(use_numpy=True)
        print(len(whole) == channel.element_count(), whole.nbytes, numpy.array_equal(again, whole))
    """,
        env=variables,
        timeout=60,
    )
    assert_quiet(result, "True 32000000 True\n")
