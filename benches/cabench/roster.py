"""The clients that are compared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Client:
    """One client."""

    key: str  # what CLIENTS= names
    title: str
    module: str = ""  # of the package ``clients``
    requirement: str = ""  # what pip installs, for a peer

    @property
    def is_peer(self) -> bool:
        """Whether it is another client for Python."""
        return bool(self.requirement)


C = Client("c", "C")
OURS = Client("cachannel", "cachannel", "cachannel4")
OLD = Client("cachannel3", "CaChannel 3.2.0", "cachannel", "CaChannel==3.2.0")
CLIENTS: tuple[Client, ...] = (
    C,
    OURS,
    Client("pv", "cachannel PV", "pv"),
    Client("aio", "cachannel.aio", "aio"),
    OLD,
    Client("pyepics", "pyepics", "pyepics", "pyepics"),
    Client("aioca", "aioca", "aioca", "aioca"),
    Client("cothread", "cothread", "cothread", "cothread"),
    Client("caproto", "caproto", "caproto", "caproto"),
    Client("repics", "repics", "repics", "repics"),
)
INSTALLED = "installed.json"  # in the peers' environment, see ``peers``


@dataclass(frozen=True)
class Installed:
    """What became of a peer: its version, or the reason why it is not there."""

    version: str
    reason: str


def installed(environment: Path) -> dict[str, Installed]:
    """Return what is installed in the peers' environment, by the clients' keys."""
    return {key: Installed(**entry) for key, entry in json.loads((environment / INSTALLED).read_text()).items()}


def chosen(only: str) -> list[Client]:
    """Return the clients with these keys, separated by commas; all where there are none."""
    wanted = [name for name in only.split(",") if name]
    unknown = set(wanted) - {client.key for client in CLIENTS}
    if unknown:
        raise ValueError(f"no client is called {', '.join(unknown)}; there are {', '.join(c.key for c in CLIENTS)}")
    return [client for client in CLIENTS if not wanted or client.key in wanted]
