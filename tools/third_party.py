"""Writes THIRD-PARTY.txt: the licences of the Rust crates that are linked into the extension module.

It goes into the wheels and the sdist. ``--check`` fails where the file is not what would be written.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "THIRD-PARTY.txt"

HEAD = """\
The binary wheels of cachannel contain code of the Rust crates below, under the licences that follow, and of Rust's
standard library (https://github.com/rust-lang/rust, MIT OR Apache-2.0). Where a crate offers a choice that has the MIT
licence in it, that is the one taken. libca is not in the wheels; it comes from epicscorelibs or the system.
"""

# Some write the OR of SPDX as a slash.
OF_CHOICE = {"MIT": "LICENSE-MIT", "ISC": "LICENSE", "BSD-2-Clause": "LICENSE"}


def linked() -> list[dict[str, Any]]:
    """The packages that end up in the binary, for all platforms: no build scripts, no macros, no tests."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    seen: set[str] = set()
    to_do = [root]
    while to_do:
        identity = to_do.pop()
        if identity in seen or any("proc-macro" in target["kind"] for target in packages[identity]["targets"]):
            continue
        seen.add(identity)
        for dependency in nodes[identity]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                to_do.append(dependency["pkg"])
    return sorted((packages[one] for one in seen - {root}), key=lambda package: str(package["name"]))


def licence(package: dict[str, Any]) -> tuple[str, str]:
    """Which licence is taken, and its text."""
    folder = Path(package["manifest_path"]).parent
    offered = str(package["license"]).replace("/", " OR ").replace("  ", " ").split(" OR ")
    for choice, file in OF_CHOICE.items():
        if choice in [offer.strip() for offer in offered]:
            path = next(
                (path for path in (folder / file, folder / "license-mit", folder / "LICENSE") if path.exists()), None
            )
            if path is None:
                raise SystemExit(f"{package['name']}: no {file} in {folder}")
            return choice, "\n".join(line.rstrip() for line in path.read_text().strip().splitlines())
    raise SystemExit(f"{package['name']}: licence {package['license']!r} is new here; see to it")


def notices() -> str:
    """The whole file. Crates with one and the same text stand together."""
    by_text: dict[tuple[str, str], list[str]] = {}
    for package in linked():
        where = package["repository"] or package["homepage"] or ""
        by_text.setdefault(licence(package), []).append(f"{package['name']} {package['version']}  {where}".rstrip())
    parts = [HEAD]
    for (name, text), crates in by_text.items():
        parts.append("\n".join(["-" * 80, *crates, f"({name})", "", text, ""]))
    return "\n".join(parts)


def main() -> None:
    """Writes the file, or compares it."""
    text = notices()
    if sys.argv[1:] == ["--check"]:
        if not TARGET.exists() or TARGET.read_text() != text:
            raise SystemExit(f"{TARGET.name} is not what Cargo.lock asks for: make notices")
        return
    TARGET.write_text(text)
    print(f"{TARGET.name}: {len(text.splitlines())} lines")


if __name__ == "__main__":
    main()
