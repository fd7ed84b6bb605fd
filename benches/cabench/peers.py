"""Installs the peers, each for itself, so that one that does not install here stops no other.

``python -m cabench.peers ENVIRONMENT``: a folder that ``venv`` has made.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from .roster import CLIENTS, INSTALLED, OLD, Client, Installed

LAST_OF_OLD = (3, 11)


def install(python: Path, peer: Client) -> Installed:
    """Install one peer with the newest of what it needs; return its version, or why it does not install."""
    options = []
    if peer is OLD:
        if sys.version_info > (*LAST_OF_OLD, 99):
            return Installed(
                "", f"has wheels up to Python 3.11, and this is {sys.version_info[0]}.{sys.version_info[1]}"
            )
        options = ["--only-binary", "CaChannel"]  # to build it one needs EPICS
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    result = subprocess.run([*pip, "install", "--quiet", *options, peer.requirement], capture_output=True, text=True)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if line.strip().lower().startswith("error")]
        return Installed("", f"does not install: {(errors or ['pip failed'])[0].strip()[:120]}")
    name = peer.requirement.partition("==")[0]
    show = subprocess.run([*pip, "show", name], capture_output=True, text=True, check=True)
    return Installed(show.stdout.partition("Version: ")[2].split()[0], "")


def main() -> None:
    """Install all."""
    environment = Path(sys.argv[1])
    python = environment / "bin" / "python"
    found = {}
    for peer in CLIENTS:
        if peer.is_peer:
            found[peer.key] = install(python, peer)
            print(f"   {peer.title}: {found[peer.key].version or found[peer.key].reason}", flush=True)
    text = json.dumps({key: asdict(entry) for key, entry in found.items()}, indent=2)
    (environment / INSTALLED).write_text(text + "\n")


if __name__ == "__main__":
    main()
