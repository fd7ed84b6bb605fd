"""The CA repeater, libca's own: the command ``caRepeater``, which is also ``python -m cachannel.repeater``.

One process on a host takes the beacons of servers, which come to one port, and hands them to all clients of the host.
It serves until it is ended, at the port that ``EPICS_CA_REPEATER_PORT`` names (5065 where that is not set), and ends at
once where the port has a repeater already. cachannel starts one by itself where none runs.

That one runs this file by its path, apart from the package, with nothing imported that it can do without: it starts
quickly and is small.
"""

from __future__ import annotations

import os
import sys

_SERVE = "--serve"
_DETACH = "--detach"
_USAGE = """\
usage: caRepeater

Hands the beacons of EPICS servers to the clients of this host, until it is ended. It listens at UDP port
EPICS_CA_REPEATER_PORT (5065 where that is not set), and ends at once where there is a repeater already.
"""


def command(python: str, libca: str, detach: bool = False) -> list[str]:
    """The command that runs libca's repeater alone; with ``detach`` the repeater leaves the process that starts it."""
    # Without the packages and variables of the caller's Python, but for PYTHONHOME, which such a Python needs.
    options = ["-s", "-S"] if os.environ.get("PYTHONHOME") else ["-I", "-S"]
    return [python, *options, __file__, _SERVE, libca, *([_DETACH] if detach else [])]


def _is_taken(port: int) -> bool:
    # The module socket takes longer to import than all the rest.
    import _socket

    probe = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        probe.bind(("", port))
    except OSError:
        return True
    finally:
        probe.close()
    return False


def _stays_taken(port: int) -> bool:
    """Whether somebody has the port for good: to see whether there is a repeater, clients take it for a moment."""
    import time

    for _ in range(4):
        if not _is_taken(port):
            return False
        time.sleep(0.01)
    return True


def _serve(libca: str, detach: bool) -> int:
    """Be the repeater: 0 where there is one already, 1 where there can be none."""
    if detach and sys.platform != "win32":
        # Nobody has to wait for a grandchild: a program that waits for all its children does not find it among them.
        if os.fork():
            os._exit(0)
        # The program that started the repeater waits for the end of its output, which comes now.
    import ctypes
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python would not look before the repeater returns
    # 8 has Windows look for libCom beside libca; elsewhere it means nothing.
    repeat = ctypes.CDLL(libca, winmode=8).caRepeaterThread
    repeat.argtypes = [ctypes.c_void_p]
    repeat.restype = None
    if detach:
        null = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(null, standard)
        if null > 2:
            os.close(null)
    port = int(os.environ["EPICS_CA_REPEATER_PORT"])
    for _ in range(5):
        repeat(None)  # it returns only where it could not have the port
        if _stays_taken(port):
            return 0
    return 1


def main() -> int:
    """The command."""
    arguments = sys.argv[1:]
    if arguments[:1] == [_SERVE]:
        return _serve(arguments[1], _DETACH in arguments)
    if arguments:
        asked = arguments[0] in ("-h", "--help")
        print(_USAGE, end="", file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    # Not at the top: run by its path, this file has no package.
    from cachannel import _ca, _variables
    from cachannel._interpreter import interpreter
    from cachannel._libca import libca_path

    port = _variables.repeater_port()
    for text in _variables.problems("EPICS_CA_REPEATER_PORT"):
        print(f"caRepeater: {text}", file=sys.stderr)
    if _ca.udp_port_is_taken(port) and _stays_taken(port):
        return 0
    os.environ["EPICS_CA_REPEATER_PORT"] = str(port)
    python = interpreter()
    if python is not None and sys.platform != "win32":
        # The same process goes on, without the modules that it does not need.
        os.execv(python, command(python, libca_path()))
    return _serve(libca_path(), False)


if __name__ == "__main__":
    sys.exit(main())
