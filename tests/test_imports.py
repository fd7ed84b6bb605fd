"""Every way to import it gives the same objects, and where there is no libca it says what to do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

import cachannel
import pytest
from helpers import RunScript, assert_quiet


def test_the_new_name() -> None:
    from cachannel import CaChannel, CaChannelException, CaChannelTypeError, CaChannelValueError, ca

    assert cachannel.CaChannel is CaChannel
    assert cachannel.CaChannelException is CaChannelException
    assert cachannel.ca is ca
    assert issubclass(CaChannelTypeError, CaChannelException)
    assert issubclass(CaChannelValueError, CaChannelException)
    assert cachannel.USE_NUMPY is False
    assert Path(cachannel.libca_path()).exists()
    assert importlib.metadata.version("cachannel") == cachannel.__version__ == "4.0.0a1"


def test_typed() -> None:
    folder = Path(cachannel.__file__).parent
    assert (folder / "py.typed").exists()
    assert (folder / "_ca.pyi").exists()


FORMS = {
    "import CaChannel": """
        import CaChannel
        import cachannel
        assert CaChannel is cachannel
        assert CaChannel.CaChannel is cachannel.CaChannel
        assert CaChannel.CaChannelException is cachannel.CaChannelException
        assert CaChannel.ca is cachannel.ca
        assert CaChannel.USE_NUMPY is False
        CaChannel.USE_NUMPY = True
        assert cachannel.USE_NUMPY is True
        """,
    "the old name after the new one": """
        import cachannel
        from cachannel import ca as new_ca
        import CaChannel
        from CaChannel import ca
        assert CaChannel is cachannel
        assert ca is new_ca
        """,
    "from CaChannel import": """
        from CaChannel import ca, CaChannel, CaChannelException
        import cachannel
        assert ca is cachannel.ca
        assert CaChannel is cachannel.CaChannel
        assert CaChannelException is cachannel.CaChannelException
        """,
    "import CaChannel.ca": """
        import CaChannel.ca
        import cachannel.ca
        assert CaChannel.ca is cachannel.ca
        assert CaChannel.ca.ECA is cachannel.ca.ECA
        """,
    "import CaChannel.ca as ca": """
        import CaChannel.ca as ca
        import cachannel
        assert ca is cachannel.ca
        """,
    "from CaChannel.ca import": """
        from CaChannel.ca import DBR_DOUBLE, ECA, message
        import cachannel
        assert ECA is cachannel.ca.ECA
        assert message is cachannel.ca.message
        """,
    "from CaChannel.CaChannel import": """
        from CaChannel.CaChannel import CaChannel, CaChannelException
        import cachannel
        assert CaChannel is cachannel.CaChannel
        assert CaChannelException is cachannel.CaChannelException
        """,
    "import ca": """
        import ca
        import cachannel
        assert ca is cachannel.ca
        """,
    "star imports": """
        from CaChannel import *
        from CaChannel.ca import *
        import cachannel
        assert CaChannel is cachannel.CaChannel
        assert CaChannelException is cachannel.CaChannelException
        assert DBR_DOUBLE == 6
        assert ECA_NORMAL == 1
        assert create_channel is cachannel.ca.create_channel
        assert dbr_text is cachannel.ca.dbr_text
        """,
    "importlib": """
        import importlib, sys
        old = importlib.import_module("CaChannel")
        assert importlib.import_module("CaChannel.ca") is importlib.import_module("cachannel.ca") is old.ca
        assert sys.modules["CaChannel"] is sys.modules["cachannel"]
        """,
    "import of the old name alone": """
        import CaChannel
        assert CaChannel.CaChannel("x").state() == CaChannel.ca.cs_never_search
        """,
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(run_script: RunScript, form: str) -> None:
    assert_quiet(run_script(FORMS[form] + '\n        print("the same")\n', preamble=False), "the same\n")


def test_import_is_quiet_and_starts_nothing(run_script: RunScript) -> None:
    result = run_script(
        """
        import threading
        import cachannel
        print(threading.active_count(), cachannel.ca.current_context())
        """,
        preamble=False,
    )
    assert_quiet(result, "1 None\n")


def test_import_opens_no_socket_and_starts_no_thread_of_the_system(run_script: RunScript) -> None:
    if not Path("/proc/self/task").exists():
        pytest.skip("needs /proc")
    # numpy starts threads of its own.
    result = run_script(
        """
        import os
        import numpy

        def now():
            links = []
            for number in os.listdir("/proc/self/fd"):
                try:
                    links.append(os.readlink("/proc/self/fd/" + number))
                except FileNotFoundError:  # that of the list itself
                    pass
            return len(os.listdir("/proc/self/task")), sorted(link for link in links if link.startswith("socket:"))

        before = now()
        import cachannel
        from CaChannel.util import caget
        from epicsMotor import epicsMotor
        assert now() == before, (before, now())
        cachannel.ca.create_channel("x")
        assert now() != before
        print("the same")
        """,
        preamble=False,
    )
    assert_quiet(result, "the same\n")


def test_import_is_lean(run_script: RunScript) -> None:
    # What would make it slow; times are not asserted.
    result = run_script(
        """
        import sys
        import numpy
        before = set(sys.modules)
        import cachannel
        slow = {"argparse", "asyncio", "ctypes", "importlib.metadata", "inspect", "socket", "subprocess"}
        print(sorted((set(sys.modules) - before) & slow))
        """,
        preamble=False,
    )
    assert_quiet(result, "[]\n")


def test_libca_of_the_environment(run_script: RunScript) -> None:
    path = cachannel.libca_path()
    result = run_script("print(cachannel.libca_path())", env={"CACHANNEL_LIBCA": path})
    assert_quiet(result, path + "\n")


NO_IMPORT = """
try:
    import cachannel
except ImportError as error:
    print(error)
else:
    raise SystemExit("imported")
"""


def test_a_libca_that_is_not_there(run_script: RunScript, tmp_path: Path) -> None:
    nothing = str(tmp_path / "libca-of-nowhere.so")
    result = run_script(NO_IMPORT, preamble=False, env={"CACHANNEL_LIBCA": nothing})
    assert result.returncode == 0, result
    assert nothing in result.stdout
    assert "CACHANNEL_LIBCA" in result.stdout
    for advice in ("pip install epicscorelibs", "EPICS_BASE"):
        assert advice in result.stdout


@pytest.mark.parametrize("content", [b"", b"no library", b"\x7fELF"])
def test_a_libca_that_is_no_library(run_script: RunScript, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "libca.so"
    path.write_bytes(content)
    result = run_script(NO_IMPORT, preamble=False, env={"CACHANNEL_LIBCA": str(path)})
    assert result.returncode == 0, result
    assert str(path) in result.stdout


def test_a_library_that_is_not_libca(run_script: RunScript) -> None:
    libcom = sorted(Path(cachannel.libca_path()).parent.glob("libCom*"))
    if not libcom:
        pytest.skip("libCom is not beside this libca")
    result = run_script(NO_IMPORT, preamble=False, env={"CACHANNEL_LIBCA": str(libcom[-1])})
    assert result.returncode == 0, result
    assert str(libcom[-1]) in result.stdout


def test_nothing_anywhere(run_script: RunScript) -> None:
    # No epicscorelibs, no EPICS_BASE, and no libca of the system (unless this system has one).
    result = run_script(
        """
        import sys
        sys.modules["epicscorelibs"] = None
        try:
            import cachannel
        except ImportError as error:
            print("ImportError", error)
        else:
            print("system", cachannel.libca_path())
        """,
        preamble=False,
        env={"EPICS_BASE": "/nowhere", "EPICS_HOST_ARCH": "linux-none"},
    )
    assert result.returncode == 0, result
    assert result.stdout.startswith(("ImportError", "system"))
    if result.stdout.startswith("ImportError"):
        assert "pip install epicscorelibs" in result.stdout
        assert str(Path("/nowhere", "lib", "linux-none")) in result.stdout


def test_libca_of_the_system(run_script: RunScript) -> None:
    found = sorted(path for folder in ("/usr/lib", "/usr/lib64") for path in Path(folder).glob("**/libca.so.4*"))
    if not found:
        pytest.skip("this system has no libca of its own (Debian: libca4.13.5)")
    result = run_script(
        """
        channel = CaChannel(P + "wfDOUBLE")
        channel.searchw()
        channel.putw([1, 2, 3])
        print(channel.getw(count=0), cachannel.libca_path())
        """,
        env={"CACHANNEL_LIBCA": str(found[0])},
    )
    assert_quiet(result, f"[1.0, 2.0, 3.0] {found[0]}\n")


@pytest.mark.skipif(importlib.util.find_spec("epicscorelibs") is None, reason="another libca is tested, alone")
def test_one_libca_with_epicscorelibs(run_script: RunScript) -> None:
    # The process maps one libca, so that softioc, p4p and aioca share it.
    result = run_script(
        """
        import ctypes
        from epicscorelibs.path import get_lib
        ctypes.CDLL(get_lib("ca"))
        maps = {line.split()[-1] for line in open("/proc/self/maps") if "libca" in line}
        print(len(maps))
        """,
        env={"CACHANNEL_LIBCA": ""},
    )
    if not Path("/proc/self/maps").exists():
        pytest.skip("needs /proc")
    assert_quiet(result, "1\n")
