"""Other libraries on the same libca in one process: both work, whichever comes first, and the process ends well."""

from __future__ import annotations

import importlib.util
import textwrap

import pytest
from helpers import RunScript, assert_quiet

PYEPICS = """
    from epicscorelibs.path import get_lib
    os.environ["PYEPICS_LIBCA"] = get_lib("ca")
    import epics
    def other_read(name):
        return epics.caget(P + name, timeout=10, use_monitor=False)
    def other_write(name, value):
        assert epics.caput(P + name, value, wait=True, timeout=10) == 1
    def other_ends():
        epics.ca.finalize_libca()
"""

COTHREAD = """
    import cothread
    from cothread import catools
    def other_read(name):
        return catools.caget(P + name, timeout=10)
    def other_write(name, value):
        catools.caput(P + name, value, wait=True, timeout=10)
    def other_ends():
        catools._catools_atexit()
"""

OURS = """
    seen = []
    chan = CaChannel(P + "calong")
    chan.setTimeout(10)
    chan.searchw()
    chan.add_masked_array_event(None, None, None, lambda args, user_args: seen.append(args["pv_value"]))
    def works(value):
        chan.putw(value)
        assert chan.getw() == value
        chan.flush_io()
        wait_for(lambda: value in seen, 10)
        with CaChannel(P + "cawave") as other:
            other.getw()
"""

BOTH = """
    works(21)
    other_write("calong", 22)
    assert other_read("calong") == 22
    works(23)
    assert other_read("calong") == 23
    import cachannel._libca
    with open("/proc/self/maps") as maps:
        assert len({line.split()[-1] for line in maps if "libca.so" in line}) == 1
"""

ENDS = {
    "the end": "",
    "the other ends before": "other_ends()",
    "the other ends, this goes on": "other_ends(); works(24); works(25)",
    "this ends, the other goes on": "ca.destroy_context(); assert other_read('calong') == 23",
    "this ends and begins again": (
        "ca.destroy_context(); chan = CaChannel(P + 'calong'); chan.searchw(); chan.putw(26); "
        "assert other_read('calong') == 26"
    ),
}


@pytest.fixture(params=["pyepics", "cothread"])
def other(request: pytest.FixtureRequest) -> str:
    module, code = {"pyepics": ("epics", PYEPICS), "cothread": ("cothread", COTHREAD)}[request.param]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{request.param} is not installed")
    return code


@pytest.mark.parametrize("first", ["this", "the other", "the other, in use"])
@pytest.mark.parametrize("end", ENDS)
def test_both_work(run_script: RunScript, other: str, first: str, end: str) -> None:
    parts = {
        "this": [OURS, "works(20)", other],
        "the other": [other, OURS],
        "the other, in use": [other, "assert other_read('calong') is not None", OURS],
    }[first]
    script = "\n".join(textwrap.dedent(part) for part in [*parts, BOTH, ENDS[end]])
    assert_quiet(run_script(script), "")


def test_the_other_takes_this_threads_context_away(run_script: RunScript) -> None:
    """As libca's functions let it: by detaching the thread, and by destroying what the thread is in."""
    script = """
        import ctypes
        libca = ctypes.CDLL(cachannel.libca_path())
        libca.ca_current_context.restype = ctypes.c_void_p
        works(20)
        assert libca.ca_current_context() is None, "the thread was left in a context that it did not make"
        libca.ca_detach_context()
        works(21)
        libca.ca_context_destroy()
        works(22)
        assert libca.ca_context_create(1) == ca.ECA_NORMAL
        theirs = libca.ca_current_context()
        works(23)
        assert libca.ca_current_context() == theirs
        libca.ca_context_destroy()
        works(24)
    """
    assert_quiet(run_script(textwrap.dedent(OURS) + textwrap.dedent(script)), "")
