"""Installs dist/'s wheel by pip into fresh Debian systems without a compiler, and runs the tests there against an IOC.

Each system is a tree under build/trees, made by debootstrap once and entered by chroot, in name spaces of its own: what
is mounted or started there is gone when the command is. Needs Linux, root, debootstrap, and Debian's packages and the
package index within reach. The sdist is built on this machine, with its Rust, into an environment of its own.

Prints a table of what ran where, and why the rest did not. Exit status 1 where a test has failed.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TREES = ROOT / "build" / "trees"
LOGS = ROOT / "build" / "wheel-test"
SMOKE = tuple(f"tests/test_{name}.py" for name in ("imports", "main", "class", "restart", "promise_exit"))
BARE = ["pytest>=8", "pytest-timeout"]
PLAIN = [*BARE, "epicscorelibs"]
"""What SMOKE needs; BARE, where another Python of the tree has epicscorelibs for the IOC."""
LATER_PYTHONS = {"sid": ["python3.15"]}
"""What a tree may have beside its python3."""

INSTALL_LIMIT = 900
TESTS_LIMIT = 1500
# Where packages come from, and how they are checked, is the same in the tree as here.
FROM_HERE = ("PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "http_proxy", "https_proxy", "no_proxy")
BUNDLE = "etc/ssl/certs/ca-certificates.crt"


class Row(NamedTuple):
    """One line of the table."""

    where: str
    python: str
    numpy: str
    libca: str
    ran: str
    result: str


class Failed(Exception):
    """A command that did not do what it should; its text says why in one line."""


def run(command: Sequence[str], log: Path, limit: float, shown: str = "") -> str:
    """Run a command, and return what it has printed, which is added to the log as well."""
    with log.open("ab") as stream:
        stream.write(f"$ {shown or ' '.join(command)}\n".encode())
    try:
        ran = subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit,
        )
    except subprocess.TimeoutExpired as error:
        with log.open("ab") as stream:
            stream.write(error.stdout or b"")
        raise Failed(f"not over after {limit:g} s") from None
    output = ran.stdout.decode(errors="replace")
    with log.open("a") as stream:
        stream.write(output)
    if ran.returncode != 0:
        lines = [line for line in output.splitlines() if line.strip()] or [f"exit status {ran.returncode}"]
        told = [line for line in lines if line.startswith(("ERROR:", "E:"))]
        raise Failed(re.sub(r"^(ERROR|E): ", "", (told or lines)[-1].strip()))
    return output


class System:
    """A place to install into: a Debian tree."""

    def __init__(self, name: str, mirror: str) -> None:
        self.name = name
        self.mirror = mirror
        self.path = TREES / name
        self.log = LOGS / f"{name}.log"

    def run(self, *command: str, limit: float = INSTALL_LIMIT, **variables: str) -> str:
        """Run a command in the tree. Its processes and mounts end with it."""
        inside = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8", **variables}
        inside |= {name: os.environ[name] for name in FROM_HERE if name in os.environ}
        inside |= {"PIP_CERT": f"/{BUNDLE}", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "DEBIAN_FRONTEND": "noninteractive"}
        script = (
            'mount -t proc proc "$1/proc"; mkdir -p "$1/dev/shm"; mount -t tmpfs tmpfs "$1/dev/shm"; '
            'root=$1; shift; exec chroot "$root" env -i "$@"'
        )
        spaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script, "sh", str(self.path)]
        assignments = [f"{name}={value}" for name, value in inside.items()]
        return run([*spaces, *assignments, *command], self.log, limit, " ".join(command))

    def make(self) -> None:
        """Make the tree, unless it was made before."""
        ready = self.path / ".ready"
        if not ready.exists():
            print(f"== making {self.path.relative_to(ROOT)}", flush=True)
            shutil.rmtree(self.path, ignore_errors=True)
            TREES.mkdir(parents=True, exist_ok=True)
            packages = "--include=python3,python3-venv,ca-certificates"
            command = ["debootstrap", "--variant=minbase", packages, self.name, str(self.path)]
            if self.mirror:
                command.append(self.mirror)
            run(command, self.log, INSTALL_LIMIT)
            ready.touch()
        for file in ("etc/resolv.conf", "etc/hosts", BUNDLE):
            if Path("/", file).exists():
                shutil.copyfile(Path("/", file), self.path / file)
        found = [tool for tool in ("cc", "gcc", "clang", "rustc", "cargo") if (self.path / "usr/bin" / tool).exists()]
        if found:
            raise Failed(f"the tree is not fresh: it has {', '.join(found)}")

    def debian_libca(self) -> str:
        """The path of Debian's libca, which is installed unless it is there."""
        if not self._libcas():
            self.update()
            packages = re.findall(r"^(libca4\S*) ", self.run("apt-cache", "search", "--names-only", "^libca4"), re.M)
            if not packages:
                raise Failed("this Debian has no package of libca")
            self.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", packages[0])
        return "/" + str(self._libcas()[-1].relative_to(self.path))

    def _libcas(self) -> list[Path]:
        return sorted(self.path.glob("usr/lib/*-linux-gnu/libca.so.*"))

    def have_python(self, python: str) -> None:
        """Install a Python that the tree may have beside its own."""
        if not (self.path / "usr/bin" / python).exists():
            self.update()
            self.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", python, f"{python}-venv")

    def update(self) -> None:
        """Have the tree know the packages of its release; of a mirror that stands still, too."""
        self.run("apt-get", "update", "-qq", "-o", "Acquire::Check-Valid-Until=false")


def put_sources(tree: Path, wheel: Path) -> None:
    """What the tests need beside the installed package, and the wheel."""
    target = tree / "check"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in ("tests", "docs", "src", "python"):
        ignored = shutil.ignore_patterns("__pycache__", "*.so", "cachannel" if name == "python" else "")
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for path in [*ROOT.glob("*.md"), ROOT / "pyproject.toml", wheel]:
        shutil.copy(path, target)


def test_requirements() -> list[str]:
    """The dependency group "test"."""
    found = re.search(r"^test = (\[.*\])$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert found is not None
    return [str(one) for one in ast.literal_eval(found[1])]


def counts(output: str) -> str:
    """pytest's last line, without the time."""
    found = re.findall(r"^=*\s*((?:\d+ \w+,? ?)+) in [\d.]+", output, re.MULTILINE)
    return str(found[-1]) if found else "ended without a summary"


def test_here(system: System, python: str, numpy: str, libca: str, wheel: Path, whole: bool) -> Row:
    """Install and run the tests in one environment of a tree."""
    version = system.run(python, "-c", "import platform; print(platform.python_version())").split()[-1]
    row = Row(system.name, version, numpy or "newest", libca or "epicscorelibs", "", "")
    environment = f"/env-{python}-{numpy or 'newest'}"
    inside = f"{environment}/bin/python"
    wanted = ["numpy" + (f"=={numpy}.*" if numpy else ""), f"/check/{wheel.name}"]
    install = (inside, "-m", "pip", "install", "-q", "--only-binary", ":all:")
    smoke = f"smoke tests of {len(SMOKE)} files"
    ran, files = ("whole suite", ("-n", "2", "--dist", "loadfile", "tests")) if whole else (smoke, SMOKE)
    variables = {}
    try:
        shutil.rmtree(system.path / environment[1:], ignore_errors=True)
        system.run(python, "-m", "venv", environment)
        try:
            system.run(*install, *wanted, *(test_requirements() if whole else PLAIN))
        except Failed as error:
            if not (whole or libca):
                raise
            ran, files = (f"{smoke}: {error}" if whole else smoke), SMOKE
            if libca and "epicscorelibs" in str(error):
                # The wheel asks for it, as there are wheels for this machine, though not for this Python.
                system.run(*install, wanted[0], *BARE)
                system.run(*install, "--no-deps", wanted[1])
                ran = f"{smoke}; the IOC has python3"
                variables["IOC_PYTHON"] = "/env-python3-newest/bin/python"
            else:
                system.run(*install, *wanted, *PLAIN)
        numpy_here = "import importlib.metadata as m; print(m.version('numpy'))"
        row = row._replace(numpy=system.run(inside, "-c", numpy_here).split()[-1])
    except Failed as error:
        return row._replace(ran="nothing", result=f"cannot be installed: {error}")
    try:
        if libca:
            variables["CACHANNEL_LIBCA"] = system.debian_libca()
            row = row._replace(libca=f"Debian's {Path(variables['CACHANNEL_LIBCA']).name}")
    except Failed as error:
        return row._replace(ran="nothing", result=f"no libca of Debian: {error}")
    pytest = ("env", "-C", "/check", inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", *files)
    return run_tests(row._replace(ran=ran), system.log, lambda: system.run(*pytest, limit=TESTS_LIMIT, **variables))


def run_tests(row: Row, log: Path, run_pytest: Callable[[], str]) -> Row:
    """The row with what came of the tests."""
    size = log.stat().st_size
    began = time.monotonic()
    try:
        result = counts(run_pytest())
    except Failed as error:
        with log.open("rb") as stream:
            stream.seek(size)
            output = stream.read().decode(errors="replace")
        failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
        result = f"FAILED: {counts(output)} ({', '.join(failed[:3]) or error})"
    return row._replace(result=f"{result}, {time.monotonic() - began:.0f} s")


def system_libca(system: System, python: str, wheel: Path) -> Row:
    """Without epicscorelibs at all: numpy, the wheel, and Debian's libca, which is found without being told."""
    row = Row(system.name, python, "newest", "Debian's, found", "python -m cachannel", "")
    environment = f"/env-{python}-alone"
    inside = f"{environment}/bin/python"
    try:
        system.debian_libca()
        shutil.rmtree(system.path / environment[1:], ignore_errors=True)
        system.run(python, "-m", "venv", environment)
        system.run(inside, "-m", "pip", "install", "-q", "--only-binary", ":all:", "numpy")
        system.run(inside, "-m", "pip", "install", "-q", "--no-deps", f"/check/{wheel.name}")
        said = system.run(inside, "-m", "cachannel")
    except Failed as error:
        return row._replace(result=f"not run: {error}")
    found = re.search(r"^libca \S+ from system: (\S+)$", said, re.MULTILINE)
    versions = re.match(r"cachannel \S+, \S+ (\S+), numpy (\S+),", said)
    if not found or not versions:
        return row._replace(result="FAILED: it does not find it")
    return row._replace(python=versions[1], numpy=versions[2], result=f"uses {found[1]}")


def from_sdist(sdist: Path, python: str) -> Row:
    """Built by pip on this machine, which has Rust, and the smoke tests with that."""
    log = LOGS / "sdist.log"
    row = Row("this machine", "", "newest", "epicscorelibs", "sdist, with this machine's Rust; smoke tests", "")
    environment = LOGS / "sdist"
    inside = str(environment / "bin" / "python")
    try:
        shutil.rmtree(environment, ignore_errors=True)
        run([python, "-m", "venv", str(environment)], log, INSTALL_LIMIT)
        run([inside, "-m", "pip", "install", "-q", str(sdist), *PLAIN], log, INSTALL_LIMIT)
        about = "import importlib.metadata as m, platform as p; print(p.python_version(), m.version('numpy'))"
        version, numpy = run([inside, "-c", about], log, 60).split()[-2:]
    except Failed as error:
        return row._replace(result=f"FAILED: cannot be installed: {error}")
    pytest = [inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", *SMOKE]
    return run_tests(row._replace(python=version, numpy=numpy), log, lambda: run(pytest, log, TESTS_LIMIT))


def rows_of(system: System, wheel: Path, whole: bool) -> Iterator[Row]:
    """All that is tried in one tree."""
    try:
        system.make()
        put_sources(system.path, wheel)
    except Failed as error:
        yield Row(system.name, "", "", "", "nothing", f"no tree: {error}")
        return
    for python in ["python3", *LATER_PYTHONS.get(system.name, [])]:
        try:
            system.have_python(python)
        except Failed as error:
            yield Row(system.name, python, "", "", "nothing", f"not run: {error}")
            continue
        yield test_here(system, python, "", "", wheel, whole)
        yield test_here(system, python, "1.26", "", wheel, whole=False)
        yield test_here(system, python, "", "Debian's", wheel, whole=False)
        yield system_libca(system, python, wheel)


def show(rows: Sequence[Row]) -> None:
    """The table."""
    head = Row("where", "Python", "numpy", "libca", "what", "result")
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())


def main() -> int:
    """Runs all, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("trees", nargs="*", help="releases of Debian")
    parser.add_argument("--smoke", action="store_true", help="the smoke tests alone")
    parser.add_argument("--mirror", default="", help="where debootstrap finds packages, if not where it does by itself")
    parser.add_argument("--python", default=sys.executable, help="what to build the sdist with")
    options = parser.parse_args()
    # Ended from outside: as an exception it ends what runs in a tree, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    (wheel,) = (ROOT / "dist").glob("*.whl")
    (sdist,) = (ROOT / "dist").glob("*.tar.gz")
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    rows: list[Row] = []

    def add(row: Row) -> None:
        rows.append(row)
        print("  ".join(filter(None, row)), flush=True)

    missing = [tool for tool in ("debootstrap", "unshare", "chroot") if shutil.which(tool) is None]
    for name in options.trees:
        print(f"== {name}", flush=True)
        if os.geteuid() != 0 or missing:
            why = f"no {', '.join(missing)} (apt install debootstrap)" if missing else "needs root"
            add(Row(name, "", "", "", "nothing", f"not run: {why}"))
            continue
        for row in rows_of(System(name, options.mirror), wheel, not options.smoke):
            add(row)
    print("== sdist", flush=True)
    add(from_sdist(sdist, options.python))
    print("\nLogs are in build/wheel-test.\n")
    show(rows)
    return int(any(row.result.startswith("FAILED") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
