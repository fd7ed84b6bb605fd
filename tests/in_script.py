"""What every script of `run_script` begins with: ``from in_script import *``.

A script that has not ended after a minute is ended by a signal.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import Any

signal.alarm(60)

import cachannel  # noqa: E402 (an import that hangs is ended, too)
from cachannel import CaChannel, CaChannelException, ca  # noqa: E402
from helpers import read  # noqa: E402
from server_process import wait_for  # noqa: E402

__all__ = [
    "IOC_PID",
    "CaChannel",
    "CaChannelException",
    "P",
    "ca",
    "cachannel",
    "connect",
    "logging",
    "os",
    "read",
    "signal",
    "stop_server",
    "sys",
    "threading",
    "time",
    "wait_for",
]

P = os.environ["TEST_PREFIX"]
"""What the names of the IOC's PVs begin with."""

IOC_PID = int(os.environ["IOC_PID"])


def connect(name: str) -> Any:
    """A new chid of one of the IOC's PVs, connected."""
    status, chid = ca.create_channel(P + name)
    assert status == ca.ECA_NORMAL, status
    assert ca.pend_io(10) == ca.ECA_NORMAL
    return chid


def stop_server(chid: Any) -> None:
    """Stop the IOC in its tracks, until the script ends; `chid` is one of its channels."""
    os.kill(IOC_PID, signal.SIGSTOP)
    # The process stops a moment after the signal was sent.
    wait_for(lambda: ca.get(chid)[0] == ca.ECA_NORMAL and ca.pend_io(0.05) == ca.ECA_TIMEOUT)
