"""The names of the package itself: what programs need every day, and nothing else, at the top."""

from __future__ import annotations

import cachannel
from helpers import RunScript, assert_quiet

PUBLIC = {
    "CaChannel",
    "CaChannelException",
    "CaChannelTimeout",
    "CaChannelTypeError",
    "CaChannelValueError",
    "ChannelGroup",
    "PV",
    "Recorder",
    "Subscription",
    "USE_NUMPY",
    "__version__",
    "aio",
    "ca",
    "caget",
    "cainfo",
    "camonitor",
    "caput",
    "epicsMotor",
    "epicsPV",
    "libca_path",
    "util",
    "values",
    "version_info",
}


def test_dir_shows_the_public_names_alone() -> None:
    assert set(dir(cachannel)) == PUBLIC
    for name in PUBLIC:
        assert getattr(cachannel, name) is not None


def test_the_functions_are_those_of_util() -> None:
    from cachannel import caget, cainfo, camonitor, caput, util

    assert (caget, caput, camonitor, cainfo) == (util.caget, util.caput, util.camonitor, util.cainfo)


def test_a_star_gives_no_new_name() -> None:
    assert cachannel.__all__ == ["USE_NUMPY", "CaChannel", "CaChannelException", "ca", "version_info"]


def test_imports(run_script: RunScript) -> None:
    """Everything may be imported from the package and, by the old name, from CaChannel; it is the same."""
    result = run_script(
        f"""
        import sys
        from cachannel import PV, caget, caput, camonitor, cainfo, ChannelGroup, Recorder, CaChannel, ca
        import CaChannel as old
        for name in {sorted(PUBLIC)}:
            if getattr(old, name) is not getattr(sys.modules["cachannel"], name):
                print(name)
        space = {{}}
        exec("from CaChannel import *", space)
        print(sorted(set(space) - {{"__builtins__"}}))
        try:
            from cachannel import no_such_name
        except ImportError as error:
            print("no_such_name" in str(error))
        """,
        preamble=False,
    )
    assert_quiet(result, "['CaChannel', 'CaChannelException', 'USE_NUMPY', 'ca', 'version_info']\nTrue\n")


def test_what_is_not_used_is_not_imported(run_script: RunScript) -> None:
    """Old programs start as fast as before."""
    result = run_script(
        """
        import sys
        import cachannel
        from cachannel import CaChannel, ca
        names = ["asyncio", "cachannel._pv", "cachannel.aio", "cachannel.util", "cachannel.values"]
        print([name for name in names if name in sys.modules])
        cachannel.PV
        print([name for name in names if name in sys.modules])
        """,
        preamble=False,
    )
    assert_quiet(result, "[]\n['cachannel._pv', 'cachannel.values']\n")
