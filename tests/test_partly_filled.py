"""Arrays that a server fills in part, as caproto does: all that it holds comes, and zeros for what it does not hold."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from array_server import FIRST, HELD, ArrayServer
from conftest import HARD_LIMIT, SERVER_PORT
from helpers import RunScript
from server_process import free_port

Tell = Callable[[str], Any]

PREFIX = "arrays:"

_PREAMBLE = """
from array_server import FIRST, HELD
from cachannel import ChannelGroup, Recorder
from cachannel.util import caget, camonitor
from epicsPV import epicsPV
A = "arrays:"

def cut(value):
    # What there is of it, as far as it is not the zeros or empty texts at its end.
    assert value is not None and len(value) == HELD, value
    value = value.tolist() if hasattr(value, "tolist") else list(value)
    while value and not value[-1]:
        value.pop()
    return value

def channel(name):
    one = CaChannel(A + name)
    one.setTimeout(10)
    one.searchw()
    return one
"""


@pytest.fixture(scope="module")
def server(repeater: None) -> Iterator[ArrayServer]:
    with ArrayServer(PREFIX, free_port(), limit=HARD_LIMIT) as arrays:
        yield arrays


@pytest.fixture
def tell(server: ArrayServer, run_script: RunScript) -> Tell:
    """Gives a function that runs a script, which may search for the server's PVs, and gives its ``told``."""

    def run(code: str) -> Any:
        script = _PREAMBLE + textwrap.dedent(code) + "\nprint(repr(told))\n"
        addresses = f"127.0.0.1:{SERVER_PORT} 127.0.0.1:{server.port}"
        result = run_script(script, 40.0, {"EPICS_CA_ADDR_LIST": addresses})
        said = f"{result.returncode}\n{result.stdout}\n{result.stderr}\nthe server:\n{server.output}"
        assert result.returncode == 0, said
        return ast.literal_eval(result.stdout.splitlines()[-1])

    return run


def test_every_way_to_read(tell: Tell) -> None:
    told = tell("""
        told = {}
        for name in FIRST:
            one, pv = channel(name), epicsPV(A + name)
            ways = told[name] = {"getw": cut(one.getw()), "caget": cut(caget(A + name, timeout=10))}
            one.array_get()
            one.pend_io(10)
            ways["array_get"] = cut(one.getValue())
            seen = []
            one.array_get_callback(None, None, lambda args, _: seen.append((args["count"], args["pv_value"])))
            one.flush_io()
            wait_for(lambda: seen)
            assert seen[0][0] == HELD
            ways["array_get_callback"] = cut(seen[0][1])
            pv.getControl()
            assert pv.callBack.count == HELD
            if name != "string":  # caproto's CTRL_STRING has a time stamp in it
                ways["getControl"] = cut(pv.callBack.pv_value)
            ways["numpy"] = cut(one.getw(use_numpy=True))
            ways["all that is given as count"] = cut(one.getw(count=one.element_count()))
    """)
    for name, value in FIRST.items():
        assert told[name] == dict.fromkeys(told[name], value)
        assert len(told[name]) >= 6


def test_every_subscription(tell: Tell) -> None:
    told = tell("""
        told, seen = {}, {}

        def note(*key):
            def update(args, _=None):
                assert args["status"] == ca.ECA_NORMAL and args["count"] == HELD, args
                seen.setdefault(key, args["pv_value"] if "pv_value" in args else args["value"])
            return update

        channels = []
        for name in FIRST:
            for use_numpy in (False, True):
                one = channel(name)
                one.add_masked_array_event(None, None, None, note(name, "class", use_numpy), use_numpy=use_numpy)
                timed = channel(name)
                timed.add_masked_array_event(
                    ca.dbf_type_to_DBR_TIME(one.field_type()), one.element_count(), None, note(name, "time", use_numpy)
                )
                channels += [one, timed]
                camonitor(A + name, callback=note(name, "camonitor", use_numpy), use_numpy=use_numpy, add=True)
            chid = ca.create_channel(A + name)[1]
            assert ca.pend_io(10) == ca.ECA_NORMAL
            assert ca.create_subscription(chid, note(name, "ca", False))[0] == ca.ECA_NORMAL
            pv = epicsPV(A + name)
            pv.setMonitor()
            channels += [chid, pv]
            wait_for(lambda: pv.checkMonitor())
            seen[name, "epicsPV", False] = pv.getw()
        ca.flush_io()
        wait_for(lambda: len(seen) == 8 * len(FIRST), 10, f"all but {set(seen)}")
        for (name, *_), value in seen.items():
            told.setdefault(name, []).append(cut(value))
    """)
    assert told == {name: [value] * 8 for name, value in FIRST.items()}


def test_updates_follow_the_length(tell: Tell) -> None:
    # Also where an array becomes empty: to an update without elements libca does not listen.
    told = tell("""
        told = {"plain": [], "as many as there are": []}
        one, other = channel("changing"), channel("changing")
        one.add_masked_array_event(None, None, None, lambda args, _: told["plain"].append(cut(args["pv_value"])))
        other.add_masked_array_event(
            None, 0, None, lambda args, _: told["as many as there are"].append(args["pv_value"])
        )
        one.flush_io()
        for number, value in enumerate(([1.5] * 3, [2.5], [0.5] * HELD, [3.5, 4.5]), 1):
            wait_for(lambda: all(len(seen) == number for seen in told.values()), 10, str(told))
            one.array_put(value)
            one.flush_io()
        wait_for(lambda: all(len(seen) == 5 for seen in told.values()), 10, str(told))
        for seen in told.values():
            seen[3] = len(seen[3]), set(seen[3])
        one.clear_channel()
    """)
    wanted = [[], [1.5] * 3, [2.5], (HELD, {0.5}), [3.5, 4.5]]
    assert told == {"plain": wanted, "as many as there are": wanted}


def test_texts(tell: Tell) -> None:
    told = tell("""
        told = [channel("char").getw(ca.DBR_STRING), caget(A + "char", as_string=True, timeout=10)]
        with ChannelGroup([A + "char"], 10) as group:
            told += group.get(as_string=True)
        seen = []
        one = channel("char")
        one.add_masked_array_event(ca.DBR_STRING, None, None, lambda args, _: seen.append(args["pv_value"]))
        camonitor(A + "char", as_string=True, callback=lambda args, _: seen.append(args["pv_value"]))
        one.flush_io()
        wait_for(lambda: len(seen) == 2)
        told += seen
    """)
    assert told == ["text"] * 5


def test_cainfo(tell: Tell) -> None:
    told = tell("""
        import contextlib, io
        from cachannel.util import cainfo
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            cainfo([A + name for name in FIRST], timeout=10)
        told = out.getvalue().count(f"Element count:  {HELD}"), out.getvalue().count("Severity:       NO_ALARM")
    """)
    assert told == (len(FIRST), len(FIRST))


def test_fewer_than_all(tell: Tell) -> None:
    # Of a read caproto tells how many it sends.
    told = tell("""
        one = channel("double")
        told = [one.getw(count=1), one.getw(count=2), one.getw(count=4), one.getw(count=0)]
        told += [channel(name).getw(count=0) for name in ("single", "empty")]
    """)
    assert told == [1.5, [1.5, 2.5], [1.5, 2.5, 0.0, 0.0], [1.5, 2.5], [4.5], []]


def test_a_recorder_and_a_group_say_that_they_are_arrays(tell: Tell) -> None:
    told = tell("""
        told = []
        with ChannelGroup([A + name for name in FIRST], 10) as group:
            group.get(throw=False)
            told.append(set(map(int, group.status)))
        recorder = Recorder([A + name for name in FIRST])
        try:
            recorder.start(10)
        except CaChannelException as error:
            told.append(int(error.status))
    """)
    assert told == [{176}, 176]
