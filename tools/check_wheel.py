"""Asserts what dist/ must hold: one wheel and one sdist, each with all that belongs in it and nothing else."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path, PurePosixPath

ALIASES = {"CaChannel.py", "ca.py", "epicsMotor.py", "epicsPV.py"}
STUBS = {f"{alias[:-3]}-stubs" for alias in ALIASES}
TYPES = {"cachannel/py.typed", "cachannel/_ca.pyi", *(f"{folder}/__init__.pyi" for folder in STUBS)}
TYPES |= {
    f"CaChannel-stubs/{name}.pyi" for name in ("_ca", "_version", "ca", "CaChannel", "util", "epicsPV", "epicsMotor")
}
PROGRAM = "cachannel/__main__.py"
NOTICES = {"LICENSE", "THIRD-PARTY.txt"}
LARGEST = 4_000_000
"""Bytes of a wheel; one with debug information is larger."""


def check(condition: object, what: str) -> None:
    """Fail with what is wrong, unless the condition holds."""
    if not condition:
        raise SystemExit(f"dist is not as it must be: {what}")


def check_metadata(metadata: Message) -> None:
    """What the package index and pip go by."""
    check(metadata["Name"] == "cachannel", f"the name is {metadata['Name']}")
    check(metadata["License-Expression"] == "BSD-3-Clause", "the licence")
    check(set(metadata.get_all("License-File", [])) == NOTICES, f"licence files {metadata.get_all('License-File')}")
    check(metadata["Requires-Python"] == ">=3.9", f"Requires-Python {metadata['Requires-Python']}")
    check(len(metadata["Keywords"].split(",")) >= 4, "keywords")
    classifiers = metadata.get_all("Classifier", [])
    for begin in ("Development Status", "Operating System :: POSIX :: Linux", "Programming Language :: Python :: 3.9"):
        check(any(one.startswith(begin) for one in classifiers), f"no classifier {begin}")
    check("Typing :: Typed" in classifiers, "no classifier for types")
    addresses = {one.partition(",")[0] for one in metadata.get_all("Project-URL", [])}
    check({"Homepage", "Source", "Issues"} <= addresses, f"addresses {addresses}")
    check(metadata["Description-Content-Type"].startswith("text/markdown"), "the description's type")
    check("# cachannel" in str(metadata.get_payload()), "no description")
    required = metadata.get_all("Requires-Dist", [])
    check(any(one.startswith("numpy>=") for one in required), f"numpy is not required: {required}")
    libca = [one for one in required if one.startswith("epicscorelibs")]
    check(
        any("platform_machine" in one and "extra" not in one for one in libca),
        f"epicscorelibs is not required: {libca}",
    )
    check(any("extra ==" in one for one in libca), f"no extra for epicscorelibs: {libca}")
    check(metadata.get_all("Provides-Extra") == ["epicscorelibs"], f"extras {metadata.get_all('Provides-Extra')}")


def foreign_paths(binary: bytes) -> list[str]:
    """Paths of the machine that has built it: home directories and the folder of the sources."""
    here = {str(Path.home()).encode(), str(Path.cwd()).encode()} - {b"/"}
    return sorted(
        {found[0].decode() for path in here for found in re.finditer(re.escape(path) + rb"/[\w./-]*", binary)}
    )


def check_wheel(path: Path) -> None:
    """The wheel's tags, files and metadata."""
    name, version, python, abi, platform = path.stem.split("-")
    free_threaded = abi.endswith("t")
    check(name == "cachannel", f"a wheel of {name}")
    check(free_threaded or (python, abi) == ("cp39", "abi3"), f"tagged {python}-{abi}")
    check(not platform.startswith("linux_"), f"tagged {platform}, which no other machine takes")
    check(path.stat().st_size < LARGEST, f"{path.name} has {path.stat().st_size} bytes")
    with zipfile.ZipFile(path) as wheel:
        files = set(wheel.namelist())
        info = f"cachannel-{version}.dist-info"
        modules = [one for one in files if one.startswith("cachannel/_ca.") and one.endswith((".so", ".pyd"))]
        check(len(modules) == 1, f"extension modules {modules}")
        for one in ALIASES | TYPES | {PROGRAM, *(f"{info}/licenses/{notice}" for notice in NOTICES)}:
            check(one in files, f"no {one}")
        tops = {PurePosixPath(one).parts[0] for one in files}
        check(tops == ALIASES | STUBS | {"cachannel", info}, f"more in it than belongs there: {sorted(tops)}")
        strange = [one for one in files if one.startswith("cachannel/") and not one.endswith((".py", ".pyi", ".typed"))]
        check(strange == modules, f"more in it than belongs there: {strange}")
        check_metadata(message_from_bytes(wheel.read(f"{info}/METADATA")))
        unwinder = b"libgcc_s.so.1" in wheel.read(modules[0])
        check(unwinder or "manylinux" not in platform, "it has an unwinder of its own, and crashes as Python ends")
        paths = [found for one in files for found in foreign_paths(wheel.read(one))]
        check(not paths, f"it tells where it was built: {paths[:3]}")
    if "linux" in platform:
        audit(path, platform)
    print(f"{path.name}: {path.stat().st_size} bytes, {len(files)} files, as it must be")


def audit(path: Path, platform: str) -> None:
    """What auditwheel finds the wheel fit for must be what its tag promises."""
    command = [sys.executable, "-m", "auditwheel", "show", str(path)]
    shown = " ".join(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split())
    found = re.search(r'following platform tag: "([^"]+)"', shown)
    check(found and found[1] in platform.split("."), f"tagged {platform}; auditwheel says: {shown}")


def check_sdist(path: Path) -> None:
    """The sources that pip needs to build it."""
    with tarfile.open(path) as archive:
        names = [PurePosixPath(one) for one in archive.getnames()]
        files = {str(PurePosixPath(*one.parts[1:])) for one in names}
        for needed in (
            *NOTICES,
            *("Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md", "PKG-INFO", "src/lib.rs"),
            *(f"python/{one}" for one in ALIASES | TYPES | {PROGRAM}),
        ):
            check(needed in files, f"no {needed} in the sdist")
        others = {one.split("/")[0] for one in files} & {"tests", "demo", "docs", "target", "build", ".venv"}
        check(not others, f"{sorted(others)} in the sdist")
        check(not [one for one in files if one.endswith((".so", ".pyd"))], "a binary in the sdist")
        info = archive.extractfile(str(names[0].parts[0]) + "/PKG-INFO")
        assert info is not None
        check_metadata(message_from_bytes(info.read()))
    print(f"{path.name}: {path.stat().st_size} bytes, {len(files)} files, as it must be")


def main() -> None:
    """Checks a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="usually dist")
    folder = parser.parse_args().folder
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    check(len(wheels) == 1 and len(sdists) == 1, f"in it are {sorted(path.name for path in folder.iterdir())}")
    check_wheel(wheels[0])
    check_sdist(sdists[0])


if __name__ == "__main__":
    main()
