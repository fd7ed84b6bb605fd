"""The CA repeater: started where none runs, for the whole host, by cachannel or as the command ``caRepeater``."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import HARD_LIMIT
from helpers import RunScript, assert_quiet
from server_process import free_port, udp_port_is_free, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for a process that is nobody's child")

REGISTER = bytes([0, 24, *[0] * 10, 127, 0, 0, 1])
BEACON = bytes([0, 13, 0, 0, 0, 13, 19, 136, 0, 0, 0, 7, 127, 0, 0, 1])

CONNECT = """
    channel = CaChannel(P + "calong")
    channel.setTimeout(10)
    channel.searchw()
    print(channel.getw())
"""


def repeaters(port: int) -> list[int]:
    """The processes that are, or try to become, the repeater of a port."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = process.joinpath("environ").read_bytes().split(b"\0")
            command = process.joinpath("cmdline").read_bytes().split(b"\0")
            if f"EPICS_CA_REPEATER_PORT={port}".encode() in variables and b"--serve" in command:
                found.append(int(process.name))
    return found


@pytest.fixture
def port() -> Iterator[int]:
    """A port without a repeater; whatever a test makes of it is ended."""
    port = free_port()
    assert udp_port_is_free(port)
    yield port
    for pid in repeaters(port):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not repeaters(port), 10, "the repeater is gone")


def one_repeater(port: int) -> int:
    """The only one, once others have seen that there is one."""
    wait_for(lambda: len(repeaters(port)) == 1, 10, "there is one repeater")
    return repeaters(port)[0]


def assert_it_repeats(port: int) -> None:
    """What comes to the port goes to all that have asked for it."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)]
        server = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        for client in clients:
            client.bind(("127.0.0.1", 0))
            client.settimeout(10)
            client.sendto(REGISTER, ("127.0.0.1", port))
            assert client.recv(64)[:2] == bytes([0, 17])  # it is confirmed
        server.sendto(BEACON, ("127.0.0.1", port))
        for client in clients:
            # Others that register are told of, too.
            wait_for(lambda client=client: client.recv(64) == BEACON)


def test_a_program_starts_one_that_stays(run_script: RunScript, port: int, tmp_path: Path) -> None:
    code = (
        """
    kept = open("kept", "w")
    os.set_inheritable(kept.fileno(), True)
    """
        + CONNECT
        + """
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("no child")
    print("threads of libca's:", [name for name in os.listdir("/proc/self/task")
        if "repeater" in open(f"/proc/self/task/{name}/comm").read().lower()])
    """
    )
    environment = {"EPICS_CA_REPEATER_PORT": str(port)}
    with contextlib.chdir(tmp_path) if sys.version_info >= (3, 11) else contextlib.nullcontext():
        assert_quiet(run_script(code, env=environment), "5\nno child\nthreads of libca's: []\n")
    pid = one_repeater(port)
    assert_it_repeats(port)
    process = Path("/proc", str(pid))
    assert os.getsid(pid) != os.getsid(0)
    assert process.joinpath("cwd").readlink() == Path("/")
    files = {int(file.name): str(file.readlink()) for file in process.joinpath("fd").iterdir()}
    assert {files[standard] for standard in range(3)} == {"/dev/null"}
    # Nothing of who started it. (libffi may have its own library open.)
    others = [what for file, what in files.items() if file > 2 and "libffi" not in what]
    assert all(what.startswith("socket:") for what in others), files
    assert "numpy" not in process.joinpath("maps").read_text()

    # The next program finds it.
    assert_quiet(run_script(CONNECT, env=environment), "5\n")
    assert repeaters(port) == [pid]


def test_programs_that_start_together_end_up_with_one(
    run_script: RunScript, port: int, prefix: str, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"import signal; signal.alarm(60)\nfrom cachannel import CaChannel\n"
        f"channel = CaChannel({prefix + 'calong'!r})\nchannel.setTimeout(20)\nchannel.searchw()\n"
    )
    environment = {**os.environ, "EPICS_CA_REPEATER_PORT": str(port)}
    programs = [
        subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(5)
    ]
    assert [program.communicate(timeout=50)[0] for program in programs] == [b""] * 5
    assert {program.returncode for program in programs} == {0}
    one_repeater(port)
    assert_it_repeats(port)


def test_the_import_starts_nothing(run_script: RunScript, port: int) -> None:
    assert_quiet(run_script("print(1)", env={"EPICS_CA_REPEATER_PORT": str(port)}), "1\n")
    assert repeaters(port) == []


@pytest.mark.parametrize("how", ["command", "module"])
def test_the_command(port: int, how: str) -> None:
    script = Path(sysconfig.get_path("scripts"), "caRepeater")
    command = [str(script)] if how == "command" else [sys.executable, "-m", "cachannel.repeater"]
    environment = {**os.environ, "EPICS_CA_REPEATER_PORT": str(port)}
    limited = [
        sys.executable,
        "-c",
        f"import os, signal; signal.alarm({HARD_LIMIT}); os.execvp({command[0]!r}, {command!r})",
    ]
    pipe = subprocess.PIPE
    process = subprocess.Popen(limited, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    try:
        wait_for(lambda: repeaters(port) == [process.pid], 20, "it has left the package behind")
        wait_for(lambda: process.poll() is not None or not udp_port_is_free(port), 20, "it listens")
        assert_it_repeats(port)
        # A second one ends at once.
        second = subprocess.run(command, env=environment, capture_output=True, timeout=20)
        assert (second.returncode, second.stdout, second.stderr) == (0, b"", b"")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == (b"", b"")
        assert process.returncode == -signal.SIGINT
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("argument", "status"), [("--help", 0), ("--bogus", 2)])
def test_usage(argument: str, status: int) -> None:
    command = [sys.executable, "-m", "cachannel.repeater", argument]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert ran.returncode == status
    assert (ran.stdout or ran.stderr).startswith("usage: caRepeater\n")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("sys.executable = '/no/such/python'", "No such file"),
        ("sys.executable = ''", "no Python interpreter"),
        ("sys.frozen = True", "no Python interpreter"),
        ("import cachannel._libca as l; l.libca_path = lambda: '/no/such/libca.so'", "/no/such/libca.so"),
        (
            "import cachannel._repeater as r; r._REGISTER = b''; r._PATIENCE = 0.2; r._start = lambda *_: ''",
            "nothing answers",
        ),
    ],
)
def test_where_none_can_be_started(run_script: RunScript, port: int, spoil: str, reason: str) -> None:
    """One warning, and the program goes on. (libca then does what it can; an old one complains in its own words.)"""
    result = run_script(
        f"""
    {spoil}
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logging.getLogger("cachannel").addHandler(handler)
    """
        + CONNECT
        + """
    ca.destroy_context()
    """
        + CONNECT
        + """
    print(*(f"{record.levelname} {record.getMessage()}" for record in records), sep="\\n")
    """,
        env={"EPICS_CA_REPEATER_PORT": str(port)},
    )
    lines = result.stdout.splitlines()
    assert (result.returncode, lines[:2]) == (0, ["5", "5"]), result
    assert len(lines) == 3, lines
    assert lines[2].startswith("WARNING no CA repeater runs on this host, and none could be started: ")
    assert reason in lines[2]
    assert "caRepeater" in lines[2]


def test_who_only_tries_the_port_is_no_repeater(run_script: RunScript, port: int) -> None:
    """Another program, which looks for a repeater, has the port for a moment: it may be free as libca looks."""
    result = run_script(
        f"""
    import socket
    from cachannel import _repeater
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other.bind(("", {port}))
    look = _repeater._ca.udp_port_is_taken
    def only_once(port):
        taken = look(port)
        other.close()
        return taken
    _repeater._ca.udp_port_is_taken = only_once
    """
        + CONNECT,
        env={"EPICS_CA_REPEATER_PORT": str(port)},
    )
    assert_quiet(result, "5\n")
    command = Path("/proc", str(one_repeater(port)), "cmdline").read_bytes()
    assert b"--detach" in command, "libca has started one"
    assert_it_repeats(port)


def test_who_has_the_port_for_good_keeps_it(run_script: RunScript, port: int) -> None:
    """Whatever it is that does not answer: nothing is started, and nothing said, and it is asked in vain only once."""
    code = (
        CONNECT
        + """
    from cachannel import _repeater
    serves, _repeater._serves = _repeater._serves, None
    ca.destroy_context()
    """
        + CONNECT
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", port))
        assert_quiet(run_script(code, env={"EPICS_CA_REPEATER_PORT": str(port)}), "5\n5\n")
        assert repeaters(port) == []


def test_after_fork(run_script: RunScript, port: int) -> None:
    """Parent and child look for it both, at once, and have one."""
    result = run_script(
        """
    logging.getLogger("cachannel.libca").setLevel(logging.ERROR)
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)  # it has none of its parent's
        print = lambda value: os._exit(value != 5)
    """
        + CONNECT
        + """
    assert os.waitpid(pid, 0)[1] == 0
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("no child")
    """,
        env={"EPICS_CA_REPEATER_PORT": str(port)},
    )
    assert_quiet(result, "5\nno child\n")
    one_repeater(port)
