"""camonitor: what it prints and calls, one callback and several, and ending them."""

from __future__ import annotations

import gc
import re
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cachannel import CaChannel, CaChannelException, CaChannelTypeError, _connections, _monitors, ca
from cachannel._connections import connect
from cachannel._enums import DBF
from cachannel.util import CaNothing, Monitor, caget, camonitor, caput
from server_process import wait_for
from util_ioc import UtilIoc

MISSING = "no-such-pv:in-any-ioc"

Calls = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def _end_all() -> Iterator[None]:
    yield
    camonitor([name for _, name in _monitors._monitors], callback=())
    assert not _monitors._monitors


def collect(calls: Calls) -> Any:
    def callback(epics_args: dict[str, Any], user_args: tuple[()]) -> None:
        assert user_args == ()
        calls.append(epics_args)

    return callback


def values(calls: Calls) -> list[Any]:
    return [call["pv_value"] for call in calls]


def test_it_prints_name_time_and_value(prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    caput(prefix + "plain", 1, wait=True)
    assert camonitor(prefix + "plain") is None
    printed = ""

    def lines(number: int) -> bool:
        nonlocal printed
        printed += capsys.readouterr().out
        return printed.count("\n") >= number

    wait_for(lambda: lines(1))
    caput(prefix + "plain", 2.5, wait=True)
    wait_for(lambda: lines(2))
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}"
    assert re.fullmatch(rf"{prefix}plain {stamp} 1\.0\n{prefix}plain {stamp} 2\.5\n", printed)
    # In local time.
    said = time.strptime(printed.split(" ", 1)[1][:19], "%Y-%m-%d %H:%M:%S")
    assert abs(time.time() - time.mktime(said)) < 600


def test_what_a_callback_gets(prefix: str) -> None:
    calls: Calls = []
    camonitor(prefix + "catest", callback=collect(calls))
    wait_for(lambda: calls)
    assert calls[0].keys() == {
        *("chid", "type", "count", "status", "pv_value", "pv_status", "pv_severity", "pv_seconds", "pv_nseconds")
    }
    assert (calls[0]["type"], calls[0]["count"]) == (ca.DBR_TIME_DOUBLE, 1)
    # Told of alarms too.
    caput(prefix + "catest", 1, wait=True)
    caput(prefix + "catest", 15, wait=True)
    wait_for(lambda: calls[-1]["pv_severity"] == ca.AlarmSeverity.Minor)


def test_the_next_one_replaces_the_last(prefix: str) -> None:
    first: Calls = []
    second: Calls = []
    camonitor(prefix + "fast", callback=collect(first))
    wait_for(lambda: len(first) >= 2)
    camonitor(prefix + "fast", callback=collect(second))
    wait_for(lambda: second)
    number = len(first)
    wait_for(lambda: len(second) >= 3)
    assert len(first) == number
    assert camonitor(prefix + "fast", callback=()) is None
    number = len(second)
    caget(prefix + "fast")
    ca.pend_event(0.3)
    assert len(second) == number


def test_several_callbacks_of_one_pv(prefix: str) -> None:
    calls: list[Calls] = [[], [], [], []]
    name = prefix + "fast"
    assert camonitor(name, callback=collect(calls[0])) is None
    monitors = [camonitor(name, callback=collect(these), add=True) for these in calls[1:3]]
    assert [type(monitor) for monitor in monitors] == [Monitor, Monitor]
    assert [monitor.pvname for monitor in monitors] == [name, name]
    assert callable(monitors[0].callback)
    wait_for(lambda: all(len(these) >= 2 for these in calls[:3]))
    monitors[0].stop()
    assert repr(monitors[0]) == f"<Monitor of {name!r} stopped>"
    ended = len(calls[1])
    before = [len(calls[0]), len(calls[2])]
    wait_for(lambda: len(calls[0]) > before[0] + 1 and len(calls[2]) > before[1] + 1)
    assert len(calls[1]) == ended
    monitors[0].stop()
    # Without `add` it is the only one again.
    camonitor(name, callback=collect(calls[3]))
    wait_for(lambda: calls[3])
    before = [len(these) for these in calls[:3]]
    wait_for(lambda: len(calls[3]) >= 3)
    assert [len(these) for these in calls[:3]] == before
    assert repr(monitors[1]) == f"<Monitor of {name!r} stopped>"


def test_the_same_callback_twice(prefix: str) -> None:
    calls: Calls = []
    callback = collect(calls)
    first = camonitor(prefix + "plain", callback=callback, add=True)
    second = camonitor(prefix + "plain", callback=callback, add=True)
    wait_for(lambda: len(calls) == 2)
    first.stop()
    caput(prefix + "plain", caget(prefix + "plain") + 1, wait=True)
    wait_for(lambda: len(calls) == 3)
    second.stop()


def test_as_a_context_manager(prefix: str) -> None:
    calls: Calls = []
    with camonitor(prefix + "fast", callback=collect(calls), add=True) as monitor:
        assert isinstance(monitor, Monitor)
        wait_for(lambda: len(calls) >= 2)
    number = len(calls)
    ca.pend_event(0.3)
    assert len(calls) == number


def test_a_monitor_that_nobody_keeps_goes_on_and_one_that_ended_is_forgotten(prefix: str) -> None:
    calls: Calls = []
    monitor = camonitor(prefix + "fast", callback=collect(calls), add=True)
    kept = weakref.ref(monitor)
    del monitor
    gc.collect()
    number = len(calls)
    wait_for(lambda: len(calls) >= number + 3)
    camonitor(prefix + "fast", callback=())
    gc.collect()
    assert kept() is None


def test_several_pvs(prefix: str) -> None:
    calls: dict[str, Any] = {}

    def callback(epics_args: dict[str, Any], _: tuple[()]) -> None:
        calls[ca.name(epics_args["chid"])] = epics_args["pv_value"]

    names = [prefix + name for name in ("calong", "castr", "cabo")]
    assert camonitor(names, callback=callback) is None
    wait_for(lambda: calls.keys() == set(names))
    caput(names, [11, "eleven", "Busy"], wait=True)
    wait_for(lambda: [calls[name] for name in names] == [11, "eleven", 1])
    monitors = camonitor(names, callback=callback, add=True)
    assert [monitor.pvname for monitor in monitors] == names
    camonitor(names, callback=())
    assert not _monitors._monitors


def test_count_and_use_numpy(prefix: str) -> None:
    calls: Calls = []
    caput(prefix + "cawave", [1, 2, 3], wait=True)
    for arguments in ({}, {"count": 2}, {"count": 0}, {"use_numpy": True}):
        number = len(calls)
        camonitor(prefix + "cawave", callback=collect(calls), **arguments)
        wait_for(lambda wanted=number + 1: len(calls) == wanted)
    assert values(calls)[:3] == [[1.0, 2.0, 3.0, 0.0, 0.0], [1.0, 2.0], [1.0, 2.0, 3.0]]
    assert isinstance(values(calls)[3], np.ndarray)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("catest", 3.25, 3.25),
        ("calong", 8, 8),
        ("cabo", 1, "Busy"),
        ("states", 3, "three"),
        ("castr", "hello", "hello"),
        ("cawavec", "abc", "abc"),
        ("oneCHAR", 65, 65),
        ("cawave", [1, 2, 3, 4, 5], [1.0, 2.0, 3.0, 4.0, 5.0]),
        ("wfENUM", [1, 2, 3, 4, 5], ["1", "2", "3", "4", "5"]),
        ("cawaves", ["a", "b", "c"], ["a", "b", "c"]),
    ],
)
def test_as_string(prefix: str, name: str, value: Any, text: Any, capsys: pytest.CaptureFixture[str]) -> None:
    calls: Calls = []
    caput(prefix + name, value, wait=True)
    camonitor(prefix + name, as_string=True, callback=collect(calls))
    camonitor(prefix + name, as_string=True, add=True)
    wait_for(lambda: calls)
    assert values(calls) == [text]
    printed = ""

    def is_printed() -> bool:
        nonlocal printed
        printed += capsys.readouterr().out
        return printed.endswith("\n")

    wait_for(is_printed)
    # What has an alarm ends with it.
    assert re.fullmatch(rf"{re.escape(str(text))}( STATE MINOR| UDF INVALID)?\n", printed.split(" ", 3)[3])


def test_states_that_change(prefix: str) -> None:
    # Of an array of an enum, which on an IOC has none: those that it is given here.
    calls: Calls = []
    caput(prefix + "wfENUM", [1, 2, 3, 0, 5], wait=True)
    monitor = camonitor(prefix + "wfENUM", as_string=True, callback=collect(calls), add=True)
    wait_for(lambda: values(calls) == [["1", "2", "3", "0", "5"]])
    monitor._changed({"status": ca.ECA_NORMAL, "pv_statestrings": ("zero", "one", "")}, ())
    caput(prefix + "wfENUM", [1, 2, 0, 0, 5], wait=True)
    wait_for(lambda: values(calls)[1:] == [["one", "2", "zero", "zero", "5"]])
    monitor.stop()


@pytest.mark.parametrize(
    ("stamp", "text"),
    [
        ((0, 0), "<undefined>"),
        ((0, 1), "1990-01-01 00:00:00.000000"),
        ((1, 2_500_000_000), "1990-01-01 00:00:03.500000"),
        ((1, 4_294_967_295), "1990-01-01 00:00:05.294967"),
        ((4_294_967_295, 0), "2126-02-07 06:28:15.000000"),
    ],
)
def test_times(stamp: tuple[int, int], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        assert _monitors.local_time(*stamp) == text
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_bad_name_does_not_stop_the_others(prefix: str) -> None:
    calls: Calls = []
    names = [prefix + "calong", "", prefix + "catest"]
    with pytest.raises(CaChannelException, match="a PV name must not be empty"):
        camonitor(names, callback=collect(calls))
    wait_for(lambda: {ca.name(call["chid"]) for call in calls} == {names[0], names[2]})
    number = len(calls)
    monitor, nothing, other = camonitor(names, callback=collect(calls), throw=False)
    assert isinstance(monitor, Monitor)
    assert isinstance(other, Monitor)
    assert isinstance(nothing, CaNothing)
    assert nothing.status == ca.ECA_BADSTR
    wait_for(lambda: len(calls) >= number + 2)
    with pytest.raises(CaChannelException):
        camonitor(prefix + "calong", callback=collect(calls), count=-1)
    number = len(calls)
    # The one before goes on.
    caput(prefix + "calong", caget(prefix + "calong") + 1, wait=True)
    wait_for(lambda: len(calls) == number + 1)


def test_a_pv_that_is_not_there_does_not_stop_the_others(prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    calls: Calls = []
    names = [MISSING, prefix + "calong"]
    missing, monitor = camonitor(names, callback=collect(calls), timeout=0.2, add=True)
    assert isinstance(missing, Monitor)
    assert isinstance(monitor, Monitor)
    wait_for(lambda: calls)
    # Nobody would know of it otherwise.
    (told,) = [record for record in caplog.records if record.name == "cachannel"]
    assert told.levelname == "WARNING"
    assert told.getMessage().startswith(f"{MISSING}: no server answered within 0.2 s: is the name right")
    assert camonitor(MISSING, callback=collect(calls), timeout=0.2) is None
    # Its search ends with it.
    chid = _monitors._monitors[missing._key][0]._chid
    camonitor(MISSING, callback=())
    assert ca.state(chid) == ca.cs_closed


def test_the_function_where_as_string_is(prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    calls: Calls = []
    assert camonitor(prefix + "cabo", collect(calls)) is None
    wait_for(lambda: calls)
    assert calls[0]["pv_value"] in (0, 1)
    assert capsys.readouterr().out == ""
    with pytest.raises(CaChannelTypeError):
        camonitor(prefix + "cabo", collect(calls), callback=collect(calls))
    with pytest.raises(CaChannelTypeError):
        camonitor(prefix + "cabo", connection_callback="no function")


class Printed:
    """What was printed so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def lines(self) -> list[str]:
        self._text += self._capsys.readouterr().out
        return self._text.splitlines()


STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}"


def test_it_prints_the_alarm(prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed = Printed(capsys)
    name = prefix + "catest"
    caput(name, 1, wait=True)
    camonitor(name)
    wait_for(lambda: len(printed.lines()) == 1)
    caput(name, 15, wait=True)
    wait_for(lambda: len(printed.lines()) == 2)
    caput(name, 2, wait=True)
    wait_for(lambda: len(printed.lines()) == 3)
    for line, end in zip(printed.lines(), ("1.0", "15.0 HIGH MINOR", "2.0")):
        assert re.fullmatch(rf"{name} {STAMP} {end}", line)


def test_an_alarm_that_epics_does_not_know(prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    monitor = camonitor(prefix + "plain", add=True)
    event = {"status": 1, "pv_value": 7, "pv_seconds": 1, "pv_nseconds": 0, "pv_status": 99, "pv_severity": 17}
    monitor.callback(event, ())
    assert "7 99 17\n" in capsys.readouterr().out


def test_connection_callback_of_a_pv_that_is_there(prefix: str) -> None:
    told: list[Any] = []
    camonitor(prefix + "calong", callback=lambda *_: None, connection_callback=lambda *event: told.append(event))
    ((chid, op), user_args) = told[0]
    assert (ca.name(chid), op, user_args) == (prefix + "calong", ca.CA_OP_CONN_UP, ())
    camonitor(MISSING, print, timeout=0.1, connection_callback=lambda *event: told.append(event))
    assert [(ca.name(chid), op) for (chid, op), _ in told[1:]] == [(MISSING, ca.CA_OP_CONN_DOWN)]


def test_a_connection_callback_that_raises(prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    calls: Calls = []

    def bad(*_: Any) -> None:
        raise ZeroDivisionError

    names = [prefix + "calong", prefix + "catest"]
    camonitor(names, callback=collect(calls), connection_callback=bad)
    wait_for(lambda: len(calls) == 2)
    said = [record.getMessage() for record in caplog.records if record.name == "cachannel"]
    assert said == [f"{name}: the connection callback of camonitor has raised" for name in names]


def test_a_pv_that_may_not_be_read(prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    calls: Calls = []
    camonitor(prefix + "hidden", callback=collect(calls))
    camonitor(prefix + "hidden", add=True)
    wait_for(lambda: calls)
    assert (calls[0]["status"], calls[0]["pv_value"]) == (ca.ECA_NORDACCESS, None)
    printed = ""

    def is_printed() -> bool:
        nonlocal printed
        printed += capsys.readouterr().out
        return printed.endswith("\n")

    wait_for(is_printed)
    assert printed == f"{prefix}hidden {ca.message(ca.ECA_NORDACCESS)}\n"


@pytest.mark.parametrize("callback", [(), [], False, 0, "off"])
def test_what_is_not_callable_ends_them_all(prefix: str, callback: Any) -> None:
    calls: Calls = []
    for _ in range(3):
        camonitor(prefix + "fast", callback=collect(calls), add=True)
    wait_for(lambda: len(calls) >= 3)
    assert camonitor(prefix + "fast", callback=callback) is None
    assert not _monitors._monitors
    number = len(calls)
    ca.pend_event(0.3)
    assert len(calls) == number


def test_ending_it_in_its_own_callback(prefix: str) -> None:
    numbers: list[int] = []
    monitors: list[Monitor] = []

    def once(epics_args: dict[str, Any], _: tuple[()]) -> None:
        if monitors:
            numbers.append(1)
            monitors[0].stop()

    monitors.append(camonitor(prefix + "fast", callback=once, add=True))
    wait_for(lambda: numbers)
    ca.pend_event(0.3)
    assert numbers == [1]


def test_starting_and_ending_in_many_threads(prefix: str) -> None:
    calls: Calls = []

    def work(number: int) -> None:
        for _ in range(20):
            monitor = camonitor(prefix + "plain", callback=collect(calls), add=True)
            other = camonitor(prefix + f"fast{number}", callback=collect(calls), as_string=True, add=True)
            if number % 2:
                monitor.stop()
                other.stop()
        camonitor([prefix + "plain", prefix + f"fast{number}"], callback=())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    camonitor(prefix + "plain", callback=())
    number = len(calls)
    ca.pend_event(0.3)
    assert len(calls) == number


def test_names(prefix: str) -> None:
    with pytest.raises(CaChannelTypeError):
        camonitor(3)
    camonitor([], callback=collect([]))
    assert camonitor([], callback=collect([]), add=True) == []


#
# The IOC goes and comes back.
#
@pytest.fixture
def own(repeater: None) -> Iterator[UtilIoc]:
    with UtilIoc() as server:
        yield server


# A reconnect takes libca some seconds where a beacon goes astray.
LONG = 40.0


def test_everything_goes_on_after_a_restart(own: UtilIoc, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [own.prefix + name for name in ("calong", "catest", "lso.DESC$")]
    calls: Calls = []
    camonitor(names[0], callback=collect(calls))
    camonitor(names[1], callback=collect(calls), as_string=True)
    camonitor(names[2], callback=collect(calls))
    wait_for(lambda: {5, 0.0, "a long string output"} <= set(values(calls)))
    caput(names[:2], [77, 7], wait=True)
    wait_for(lambda: {77, 7.0} <= set(values(calls)))
    own.kill()
    for function in (lambda: caget(names, timeout=0.2), lambda: caput(names[0], 1, timeout=0.2)):
        monkeypatch.setattr(CaChannel, "ca_timeout", 0.2)
        with pytest.raises(CaChannelException) as raised:
            function()
        assert (raised.value.status, raised.value.pvname) == (ca.ECA_DISCONN, names[0])
    gone = len(calls)
    own.start()
    # Searched anew, it is found at once, however long libca waits before it searches again by itself.
    began = time.monotonic()
    assert caget(names[:2], timeout=LONG) == [5, 0.0]
    assert time.monotonic() - began < 5
    wait_for(lambda: {5, 0.0, "a long string output"} <= set(values(calls[gone:])), LONG)
    camonitor(names, callback=())


def test_pvs_that_come_and_go(own: UtilIoc, capsys: pytest.CaptureFixture[str]) -> None:
    """As EPICS's camonitor prints them."""
    printed = Printed(capsys)
    own.kill()
    own.shape = ("ENUM", 3)
    name, states, array = (own.prefix + name for name in ("calong", "cabo", "shape"))
    told: list[Any] = []
    calls: dict[str, Calls] = {states: [], array: []}
    camonitor([name, name], timeout=0.2, connection_callback=lambda event, _: told.append(event[1]))
    for one in calls:
        camonitor(one, callback=collect(calls[one]), as_string=True, timeout=0.2)
    assert printed.lines() == [f"{name} *** Not connected (PV not found)"] * len(printed.lines())
    assert printed.lines()
    assert told == [ca.CA_OP_CONN_DOWN] * len(told)
    number = len(told)
    own.start()
    wait_for(lambda: told[number:] == [ca.CA_OP_CONN_UP], LONG)
    lines = len(printed.lines())
    wait_for(lambda: re.fullmatch(rf"{name} {STAMP} 5", printed.lines()[-1]), LONG)
    wait_for(lambda: all(calls.values()), LONG)
    assert (values(calls[states])[-1], values(calls[array])[-1]) == ("Done", ["0", "0", "0"])
    # It is connected now for all that use it.
    assert caget(name) == 5
    own.kill()
    wait_for(lambda: told[number:] == [ca.CA_OP_CONN_UP, ca.CA_OP_CONN_DOWN], LONG)
    wait_for(lambda: re.fullmatch(rf"{name} {STAMP} \*\*\* Disconnected", printed.lines()[-1]), LONG)
    assert len(printed.lines()) > lines
    # One that starts now says the same.
    camonitor(name, add=True, timeout=0.2)
    assert re.fullmatch(rf"{name} {STAMP} \*\*\* Disconnected", printed.lines()[-1])
    own.start()
    wait_for(lambda: len(told) == number + 3 and told[-1] == ca.CA_OP_CONN_UP, LONG)
    wait_for(lambda: sum(line.endswith(" 5") for line in printed.lines()) >= 3, LONG)
    # Those that have ended print nothing any more.
    camonitor(name, callback=())
    before = len(printed.lines())
    own.kill()
    wait_for(lambda: ca.state(_connections._channels[_connections.key(name)]) != ca.cs_conn, LONG)
    ca.poll()
    assert len(printed.lines()) == before


def test_puts_that_are_under_way_when_the_ioc_goes(own: UtilIoc) -> None:
    names = [own.prefix + "never0", own.prefix + "never1", own.prefix + "catest"]
    caget(names)
    came: list[Any] = []

    def work() -> None:
        came.append(caput(names, 1, wait=True, throw=False))

    def work_alone() -> None:
        try:
            caput(own.prefix + "never2", 1, wait=True, timeout=30)
        except CaChannelException as error:
            came.append(error)

    threads = [threading.Thread(target=work), threading.Thread(target=work_alone)]
    for thread in threads:
        thread.start()
    wait_for(lambda: caget([*names, own.prefix + "never2"]) == [1.0, 1.0, 1.0, 1.0])
    own.kill()
    for thread in threads:
        thread.join(10)
    assert len(came) == 2
    alone, several = sorted(came, key=lambda one: isinstance(one, list))
    assert (alone.status, alone.pvname) == (ca.ECA_DISCONN, own.prefix + "never2")
    assert [(one.status, one.pvname) for one in several[:2]] == [(ca.ECA_DISCONN, name) for name in names[:2]]
    assert several[2] is True


def test_reads_that_are_under_way_when_the_ioc_goes(own: UtilIoc) -> None:
    names = [own.prefix + "catest", own.prefix + "calong"]
    caget(names)
    own.pause()
    came: list[Any] = []
    thread = threading.Thread(target=lambda: came.extend(caget(names, timeout=30, throw=False)))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    own.kill()
    thread.join(10)
    assert [(bool(one), one.status, one.pvname) for one in came] == [(False, ca.ECA_DISCONN, name) for name in names]


def test_reads_that_are_not_answered(own: UtilIoc) -> None:
    names = [own.prefix + "catest", own.prefix + "calong"]
    caget(names)
    own.pause()
    try:
        began = time.monotonic()
        with pytest.raises(CaChannelException) as raised:
            caget(names, timeout=0.2)
        assert time.monotonic() - began < 2
        assert (raised.value.status, raised.value.pvname) == (ca.ECA_TIMEOUT, names[0])
    finally:
        own.resume()
    assert caget(names, timeout=10) == [0.0, 5]


def test_cainfo_of_a_pv_that_has_gone(own: UtilIoc, capsys: pytest.CaptureFixture[str]) -> None:
    from cachannel.util import cainfo

    name = own.prefix + "calong"
    caget(name)
    own.kill()
    cainfo(name, timeout=0.1)
    assert capsys.readouterr().out == (
        f"{name}\n    State:          Not connected\n    Host:           <disconnected>\n"
        "    Data type:      TYPENOTCONN\n    Element count:  0\n    Access:         No access\n"
    )


def test_a_pv_that_is_gone_again_as_its_monitor_looks(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The PV comes back with another type, and is gone again as the monitor asks for its type: the monitor goes on."""
    calls: Calls = []
    caput(prefix + "plain", 1, wait=True)
    monitor = camonitor(prefix + "plain", as_string=True, callback=collect(calls), add=True)
    wait_for(lambda: calls, 10, "an update")
    looks: list[int] = []

    def gone_after_the_first_look(chid: ca.chid) -> Any:
        looks.append(1)
        return field_type(chid) if len(looks) == 1 else DBF.NOTCONN

    field_type = ca.field_type
    monitor._native = (DBF.STRING, 1)
    with monkeypatch.context() as patch:
        patch.setattr(ca, "field_type", gone_after_the_first_look)
        assert monitor._has_become_another()
    caput(prefix + "plain", 3, wait=True)
    wait_for(lambda: values(calls)[-1] == 3.0, 10, "the monitor goes on")


def test_a_pv_that_may_not_be_read_any_more(prefix: str) -> None:
    """The PV comes back with another type, and must not be read: the callback is told, without the properties."""
    calls: Calls = []
    monitor = camonitor(prefix + "plain", as_string=True, callback=collect(calls), add=True)
    wait_for(lambda: calls, 10, "an update")
    monitor._chid = connect([prefix + "hidden"], time.monotonic() + 10)[prefix + "hidden"]
    monitor._native = (DBF.STRING, 1)
    assert monitor._has_become_another()
    wait_for(lambda: calls[-1]["status"] == ca.ECA_NORDACCESS, 10, "the callback is told")
    assert calls[-1]["pv_value"] is None
