"""Sees to it that there is a CA repeater before libca looks for one.

libca would start a program ``caRepeater`` from PATH. Where there is none, libca prints a warning, or becomes the
repeater itself, which then ends with this process. It also leaves a child behind that nobody waits for.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from . import _ca, _libca, _variables
from ._interpreter import interpreter

_PATIENCE = 5.0
"""Seconds that a repeater may take to start; as a rule it takes some hundredths."""

_GLANCE = 0.05
"""Seconds in which a running repeater answers; clients that only try the port release it far sooner."""

_AGAIN = 0.001
"""Seconds between two questions."""

_mute: set[int] = set()
"""Ports whose owners do not answer."""

_REGISTER = bytes([0, 24, *[0] * 10, 127, 0, 0, 1])
"""What a client says to the repeater (REPEATER_REGISTER), which confirms it."""

_warned = False


def look() -> None:
    """Start a repeater where the host has none; warn, once, where that fails."""
    global _warned
    port = _variables.repeater_port()
    if _has_owner(port):
        return
    python = interpreter()
    if python is None:
        import shutil

        if shutil.which("caRepeater"):
            return  # libca starts it
        problem = f"there is no Python interpreter to run it, as {sys.executable!r} is none"
    else:
        # Not at the top: what python -m runs must not be imported with the package.
        from . import repeater

        command = repeater.command(python, _libca.libca_path(), detach=True)
        problem = _start(command, port)
        if not problem and not _serves(port, _PATIENCE):
            problem = f"nothing answers at UDP port {port}"
    if problem and not _warned:
        import logging  # seldom needed, as what else is not imported at the top

        _warned = True
        logging.getLogger("cachannel").warning(
            "no CA repeater runs on this host, and none could be started: %s. Channels that lose their IOC may "
            "reconnect late. Run caRepeater, or python -m cachannel.repeater",
            problem,
        )


def _start(command: list[str], port: int) -> str:
    """Start it as a process that is on its own. Returns what went wrong."""
    import subprocess

    environment = {**os.environ, "EPICS_CA_REPEATER_PORT": str(port)}
    detached: dict[str, Any] = {"start_new_session": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        detached = {"creationflags": flags, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # The repeater must not keep a folder in use.
    root = Path(sys.executable).anchor or None
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=root, env=environment, **detached)
    except OSError as error:
        return str(error)
    if sys.platform == "win32":
        process.returncode = 0  # nobody waits for it, and Python must not warn of that
        return ""
    with process:
        try:
            # The repeater leaves its first process, and closes its output when only the port can still stop it.
            said, _ = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, 9)
            return f"it has not started within {_PATIENCE:g} s"
    return str(said.decode(errors="replace")).strip().rpartition("\n")[2]


def _has_owner(port: int) -> bool:
    """Whether a program has the port for good, be it a repeater or not: libca will find it taken, too.

    Others try the port as libca does, and have it for a moment: one that is taken now may be free when libca looks.
    """
    if not _ca.udp_port_is_taken(port):
        return False
    if port in _mute or _serves(port, _GLANCE):
        return True
    if not _ca.udp_port_is_taken(port):
        return False
    _mute.add(port)  # later contexts do not wait for its answer again
    return True


def _serves(port: int, patience: float) -> bool:
    """Ask the repeater, as clients do, until it answers: trying the port could keep the repeater from taking it."""
    import socket

    end = time.monotonic() + patience
    try:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    except OSError:  # no more files may be open: libca will say so
        return False
    with client:
        with contextlib.suppress(OSError):
            client.bind(("127.0.0.1", 0))
        client.settimeout(_AGAIN)
        while time.monotonic() < end:
            try:
                client.sendto(_REGISTER, ("127.0.0.1", port))
                client.recv(64)  # the answer has a port of its own
            except OSError as error:
                if not isinstance(error, TimeoutError):
                    time.sleep(_AGAIN)  # Windows lets a receiver know that nobody has listened, yet
                continue
            return True
    return False
