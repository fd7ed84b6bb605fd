"""What the figures were measured on and with."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

import cachannel
import numpy as np

from .roster import Client, Installed


def cpu() -> str:
    """Return what the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """Return how many cores may be used."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def caption() -> str:
    """Return what matters most in a line."""
    return f"{cpu()}, {cores()} cores, Python {platform.python_version()}"


def versions(clients: list[Client], installed: dict[str, Installed]) -> dict[str, str]:
    """Return the versions of all that takes part."""
    found = {
        "Python": platform.python_version(),
        "numpy": np.__version__,
        "libca": str(cachannel.ca.version()),
        "cachannel": cachannel.__version__,
    }
    found.update((client.title, installed[client.key].version) for client in clients if client.is_peer)
    return found


def description(clients: list[Client], installed: dict[str, Installed]) -> dict[str, object]:
    """Return all of it, for the JSON."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": versions(clients, installed),
    }
