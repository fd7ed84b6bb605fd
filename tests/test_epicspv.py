"""epicsPV: what the manual says of it, against an IOC that stays."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any, Callable

import cachannel
import numpy as np
import pytest
from cachannel import CaChannel, CaChannelException, CaChannelValueError, ca
from cachannel.epicsPV import epicsPV
from helpers import Connect, RunScript, assert_quiet, write
from server_process import wait_for
from util_ioc import UtilIoc

MakePV = Callable[..., epicsPV]


@pytest.fixture
def make_pv(prefix: str) -> Iterator[MakePV]:
    """Gives a function from a name to a connected epicsPV, which is cleared after the test."""
    pvs: list[epicsPV] = []

    def make(name: str, monitor: bool = False, full_name: bool = False) -> epicsPV:
        pv = epicsPV(name if full_name else prefix + name, wait=False)
        pvs.append(pv)
        pv.pend_io(10)
        if monitor:
            pv.setMonitor()
            wait_for(lambda: pv.callBack.monitorState == 2, 10, "the first update")
        return pv

    yield make
    for pv in pvs:
        pv.clear_channel()


@pytest.fixture
def util_ioc(repeater: None) -> Iterator[UtilIoc]:
    with UtilIoc() as server:
        yield server


#
# Constructor
#
def test_the_constructor_connects(prefix: str) -> None:
    pv = epicsPV(prefix + "catest")
    assert isinstance(pv, CaChannel)
    assert pv.state() is ca.ChannelState.CONN


def test_the_constructor_only_searches_where_it_shall_not_wait(prefix: str) -> None:
    first, second = epicsPV(prefix + "catest", wait=False), epicsPV(pvName=prefix + "calong", wait=False)
    first.pend_io(10)
    assert first.state() == second.state() == ca.cs_conn


def test_without_a_name_nothing_is_searched(prefix: str) -> None:
    pv = epicsPV()
    assert pv.state() is ca.ChannelState.NEVER_SEARCH
    pv.searchw(prefix + "catest")
    assert pv.getw(ca.DBR_STRING) is not None
    with pytest.raises(CaChannelException) as raised:
        epicsPV().setMonitor()
    assert raised.value.status == ca.ECA_BADCHID


def test_a_pv_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CaChannel, "ca_timeout", 0.1)
    with pytest.raises(CaChannelException) as raised:
        epicsPV("no-such-pv:in-any-ioc")
    assert raised.value.status == ca.ECA_TIMEOUT
    assert "no-such-pv:in-any-ioc" in str(raised.value)


def test_before_any_callback(make_pv: MakePV) -> None:
    pv = make_pv("catest")
    fields = vars(pv.callBack)
    assert fields == {"newMonitor": 0, "putComplete": 0, "monitorState": 0, "pv_value": None}
    with pytest.raises(AttributeError, match="pv_units"):
        _ = pv.callBack.pv_units
    assert not hasattr(pv.callBack, "pv_precision")


#
# Reading without a monitor
#
def test_unmonitored_it_reads_as_a_channel(make_pv: MakePV) -> None:
    pv, other = make_pv("plain"), make_pv("plain")
    assert pv.getValue() is None
    other.putWait(1.5)
    assert pv.getw() == 1.5
    assert pv.array_get() is None
    pv.pend_io(10)
    other.putWait(2.5)
    assert pv.getValue() == 1.5
    assert pv.getw(ca.DBR_STRING) == "2.500"
    assert pv.getw(req_type=ca.DBR_TIME_DOUBLE, count=1)["pv_value"] == 2.5


#
# Monitor
#
def test_monitored_reads_need_no_server(util_ioc: UtilIoc, make_pv: MakePV) -> None:
    pv = make_pv(util_ioc.prefix + "catest", full_name=True)
    pv.putWait(7.25)
    pv.setMonitor()
    wait_for(lambda: pv.callBack.monitorState == 2)
    util_ioc.pause()
    try:
        began = time.perf_counter()
        for _ in range(3000):
            assert pv.getw() == 7.25
            assert pv.getValue() == 7.25
            assert pv.array_get() == 7.25
        # A few microseconds each; the rest is for a machine that is busy.
        assert (time.perf_counter() - began) / 9000 < 100e-6
        pv.setTimeout(0.1)
        with pytest.raises(CaChannelException) as raised:
            pv.getw(ca.DBR_STRING)
        assert raised.value.status == ca.ECA_TIMEOUT
    finally:
        util_ioc.resume()


def test_monitored_reads_follow_the_value(make_pv: MakePV) -> None:
    pv, other = make_pv("plain", monitor=True), make_pv("plain")
    for number in range(5):
        other.putWait(number + 0.5)
        wait_for(lambda wanted=number + 0.5: pv.getw() == wanted)
        assert pv.getValue() == pv.array_get() == pv.callBack.pv_value == number + 0.5


def test_the_value_is_there_at_once(make_pv: MakePV) -> None:
    other = make_pv("plain")
    for number in range(20):
        other.putWait(number)
        for read in (epicsPV.getw, epicsPV.getValue, epicsPV.getw):
            pv = make_pv("plain")
            pv.setMonitor()
            assert read(pv) == number
            pv.clear_channel()


def test_array_get_and_pend_io_before_the_first_update(make_pv: MakePV) -> None:
    make_pv("plain").putWait(4)
    pv = make_pv("plain")
    pv.setMonitor()
    assert pv.array_get() in (None, 4)
    pv.pend_io(10)
    assert pv.getValue() == 4
    wait_for(lambda: pv.callBack.monitorState == 2)
    make_pv("plain").putWait(5)
    wait_for(lambda: pv.callBack.pv_value == 5)
    assert pv.getValue() == 5


READS: list[dict[str, Any]] = [
    {},
    {"count": 1},
    {"count": 2},
    {"count": 5},
    {"count": 99},
    {"count": 0},
    {"req_type": ca.DBR_DOUBLE},
    {"req_type": ca.DBR_DOUBLE, "count": 2},
    {"req_type": ca.DBR_LONG},
    {"req_type": ca.DBR_STRING},
    {"req_type": ca.DBR_STS_DOUBLE},
    {"req_type": ca.DBR_CTRL_DOUBLE, "count": 2},
    {"use_numpy": True},
    {"use_numpy": True, "count": 1},
    {"use_numpy": False, "count": 2},
]


@pytest.mark.parametrize("arguments", READS, ids=repr)
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cawave", [1.0, 2.0, 3.0]),
        ("cawaves", ["1", "2", "3"]),
        ("oneDOUBLE", [1.0]),
        ("catest", 1.0),
    ],
)
@pytest.mark.parametrize("use_numpy", [False, True])
def test_monitored_reads_give_what_others_give(
    make_pv: MakePV,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    values: Any,
    use_numpy: bool,
    arguments: dict[str, Any],
) -> None:
    monkeypatch.setattr(cachannel, "USE_NUMPY", use_numpy)
    plain = make_pv(name)
    plain.putWait(values)
    monitored = make_pv(name, monitor=True)
    expected = plain.getw(**arguments)
    for got in (monitored.getw(**arguments), _asked(monitored, arguments)):
        assert type(got) is type(expected)
        if isinstance(expected, np.ndarray):
            assert got.dtype == expected.dtype
            assert got.tolist() == expected.tolist()
        else:
            assert repr(got) == repr(expected)  # NaN is not NaN


def _asked(pv: epicsPV, arguments: dict[str, Any]) -> Any:
    at_once = pv.array_get(**arguments)
    pv.pend_io(10)
    value = pv.getValue()
    assert at_once is None or repr(at_once) == repr(value)
    return value


def test_getw_of_another_type_leaves_get_value_alone(make_pv: MakePV) -> None:
    pv = make_pv("catest", monitor=True)
    value = pv.getw()
    assert isinstance(pv.getw(ca.DBR_STRING), str)
    assert pv.getValue() == value
    pv.array_get(ca.DBR_STRING)
    pv.pend_io(10)
    assert isinstance(pv.getValue(), str)
    assert isinstance(pv.getw(), float)
    assert isinstance(pv.getValue(), str)
    pv.array_get()
    assert pv.getValue() == value


def test_a_text_in_a_char_array(make_pv: MakePV) -> None:
    pv = make_pv("text", monitor=True)
    pv.putWait("a text that is longer than the 39 bytes of a DBR_STRING")
    assert pv.getw(ca.DBR_STRING) == "a text that is longer than the 39 bytes of a DBR_STRING"


@pytest.mark.parametrize("arguments", [{"count": -1}, {"count": "two"}, {"use_nunpy": True}, {"req_type": "DOUBLE"}])
def test_bad_arguments_raise_monitored_too(make_pv: MakePV, arguments: dict[str, Any]) -> None:
    for pv in (make_pv("cawave"), make_pv("cawave", monitor=True), make_pv("catest", monitor=True)):
        with pytest.raises((CaChannelException, TypeError)):
            pv.getw(**arguments)


def test_what_a_reader_does_to_an_array_is_its_own_business(make_pv: MakePV, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pv("cawave").putWait([1, 2, 3, 4, 5])
    lists = make_pv("cawave", monitor=True)
    monkeypatch.setattr(cachannel, "USE_NUMPY", True)
    arrays = make_pv("cawave", monitor=True)
    for pv in (lists, arrays):
        pv.getw()[0] = 99
        pv.getValue()[0] = 99
        pv.array_get(count=2)[0] = 99
        assert list(pv.getw()) == [1, 2, 3, 4, 5]
    assert isinstance(lists.getw(use_numpy=True), np.ndarray)
    assert isinstance(arrays.getw(), np.ndarray)
    assert isinstance(arrays.getw(use_numpy=False), list)


def test_check_monitor(make_pv: MakePV) -> None:
    pv, other = make_pv("plain"), make_pv("plain")
    assert pv.checkMonitor() == 0
    pv.setMonitor()
    wait_for(pv.checkMonitor)
    assert pv.checkMonitor() == 0
    for read in (pv.getw, pv.getValue, pv.array_get, pv.checkMonitor):
        other.putWait(pv.getw() + 1)
        wait_for(lambda: pv.callBack.newMonitor)
        assert read()
        assert pv.checkMonitor() == 0


def test_polling_as_in_old_programs(make_pv: MakePV) -> None:
    pv, other = make_pv("count", monitor=True), make_pv("count")
    seen = []
    pv.checkMonitor()
    for number in range(10):
        other.putWait(number + 100)
        wait_for(pv.checkMonitor)
        seen.append(pv.getw())
    assert seen == list(range(100, 110))


def test_set_monitor_twice_and_clear_monitor_twice(make_pv: MakePV) -> None:
    pv, other = make_pv("plain", monitor=True), make_pv("plain")
    pv.setMonitor()
    assert pv.callBack.monitorState == 2
    pv.clearMonitor()
    assert pv.callBack.monitorState == 0
    before = pv.callBack.pv_value
    other.putWait(before + 1)
    # Reads ask the server again, and nothing else has come.
    assert pv.getw() == before + 1
    assert pv.callBack.pv_value == before
    pv.clearMonitor()
    pv.setMonitor()
    wait_for(lambda: pv.callBack.pv_value == before + 1)


def test_clear_channel_ends_the_monitor(make_pv: MakePV, prefix: str) -> None:
    pv = make_pv("catest", monitor=True)
    pv.clear_channel()
    assert pv.callBack.monitorState == 0
    with pytest.raises(CaChannelException) as raised:
        pv.getw()
    assert raised.value.status == ca.ECA_BADCHID
    pv.searchw(prefix + "calong")
    pv.setMonitor()
    assert isinstance(pv.getw(), int)


def test_set_monitor_needs_a_connection() -> None:
    pv = epicsPV("no-such-pv:in-any-ioc", wait=False)
    with pytest.raises(CaChannelException) as raised:
        pv.setMonitor()
    assert raised.value.status == ca.ECA_DISCONN
    assert pv.callBack.monitorState == 0
    with pytest.raises(CaChannelException) as raised:
        pv.getw()
    assert raised.value.status == ca.ECA_DISCONN
    pv.clear_channel()


def test_beside_a_subscription_of_the_users(make_pv: MakePV) -> None:
    updates: list[Any] = []
    pv, other = make_pv("plain", monitor=True), make_pv("plain")
    pv.add_masked_array_event(None, None, None, lambda args, user_args: updates.append(args["pv_value"]))
    pv.flush_io()
    wait_for(lambda: updates)
    other.putWait(11)
    wait_for(lambda: updates[-1] == 11)
    wait_for(lambda: pv.getw() == 11)
    pv.clear_event()
    other.putWait(12)
    wait_for(lambda: pv.getw() == 12)
    assert updates[-1] == 11
    pv.add_masked_array_event(None, None, None, lambda args, user_args: updates.append(args["pv_value"]))
    pv.clearMonitor()
    other.putWait(13)
    wait_for(lambda: updates[-1] == 13)


def test_a_pv_that_is_monitored_no_more_goes_with_its_last_reference(prefix: str) -> None:
    def monitored() -> weakref.ref[Any]:
        pv = epicsPV(prefix + "fast")
        pv.setMonitor()
        wait_for(lambda: pv.callBack.monitorState == 2)
        pv.clearMonitor()
        return weakref.ref(pv.callBack.chid)

    chid = monitored()
    gc.collect()
    assert chid() is None


def test_reads_in_callbacks_and_before_the_first_update(make_pv: MakePV, prefix: str) -> None:
    make_pv("plain").putWait(3)
    values: list[Any] = []
    calls: list[int] = []
    started = make_pv("fast")

    def update(args: dict[str, Any], user_args: tuple[Any, ...]) -> None:
        calls.append(1)
        # checkMonitor delivers what is due, this callback included.
        if len(calls) == 1:
            pv = epicsPV(prefix + "plain")
            pv.setMonitor()
            values.append((pv.getw(), pv.getValue(), pv.getw(ca.DBR_STRING), pv.checkMonitor() in (0, 1)))
            pv.getControl()
            pv.putWait(4)
            values.append((pv.callBack.pv_precision, pv.callBack.putComplete))

    started.add_masked_array_event(None, None, None, update)
    started.flush_io()
    wait_for(lambda: len(values) == 2)
    assert values == [(3.0, 3.0, "3.000", True), (3, 1)]


def test_many_threads_read_one_monitored_pv(make_pv: MakePV) -> None:
    pv = make_pv("plain")
    pv.putWait(6)
    results: list[Any] = []

    def read() -> None:
        for number in range(50):
            pv.setMonitor()
            results.append((pv.getw(), pv.getw(ca.DBR_STRING), pv.getw(ca.DBR_LONG)))
            if number % 10 == 9:
                pv.clearMonitor()

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [(6.0, "6.000", 6)] * 200


def test_in_a_non_preemptive_context(run_script: RunScript) -> None:
    result = run_script(
        """
        from cachannel.epicsPV import epicsPV
        assert ca.create_context(False) == ca.ECA_NORMAL
        pv = epicsPV(P + "catest")
        pv.putWait(2)
        pv.setMonitor()
        print(pv.getw())
        wait_for(lambda: pv.poll() and pv.callBack.monitorState == 2)
        print(pv.getw(), pv.callBack.monitorState)
        pv.getControl()
        print(pv.callBack.pv_units)
        pv.getControl(wait=0)
        wait_for(pv.checkMonitor)
        print(pv.callBack.type)
        """
    )
    assert_quiet(result, "2.0\n2.0 2\nmm\nDBR.CTRL_DOUBLE\n")


@pytest.mark.parametrize("read", ["pv.getw()", "pv.array_get()", "pv.getValue()"])
def test_reads_alone_keep_up_in_a_non_preemptive_context(run_script: RunScript, read: str) -> None:
    # Nobody calls pend_event or poll. A read gives new values nevertheless.
    result = run_script(
        f"""
        from cachannel.epicsPV import epicsPV
        assert ca.create_context(False) == ca.ECA_NORMAL
        pv = epicsPV(P + "calong")
        pv.setMonitor()
        wait_for(pv.checkMonitor)
        other = CaChannel(P + "calong")
        other.searchw()
        other.putw(6)
        wait_for(lambda: {read} == 6)
        """
    )
    assert_quiet(result, "")


def test_a_read_in_a_callback_of_a_non_preemptive_context_calls_no_other(run_script: RunScript) -> None:
    result = run_script(
        """
        from cachannel.epicsPV import epicsPV
        assert ca.create_context(False) == ca.ECA_NORMAL
        pv = epicsPV(P + "calong")
        pv.setMonitor()
        wait_for(pv.checkMonitor)
        running, nested, calls = [], [], []

        def read(event, user_args):
            nested.extend(running)
            running.append(1)
            pv.getw()
            running.pop()
            calls.append(event)

        for _ in range(5):
            pv.array_get_callback(None, None, read)
        wait_for(lambda: pv.poll() and len(calls) == 5)
        print(nested)
        """
    )
    assert_quiet(result, "[]\n")


#
# getControl
#
ALARM = {"pv_status", "pv_severity"}
LIMITS = {"pv_units"} | {f"pv_{side}{kind}lim" for side in ("up", "lo") for kind in ("dis", "alarm", "warn", "ctrl")}
OWN = {"newMonitor", "putComplete", "monitorState", "pv_value", "chid", "type", "count", "status"}
CONTROL = {
    "catest": (ca.DBR_CTRL_DOUBLE, 1, ALARM | LIMITS | {"pv_precision"}),
    "wfFLOAT": (ca.DBR_CTRL_FLOAT, 5, ALARM | LIMITS | {"pv_precision"}),
    "calong": (ca.DBR_CTRL_LONG, 1, ALARM | LIMITS),
    "wfSHORT": (ca.DBR_CTRL_SHORT, 5, ALARM | LIMITS),
    "cawavec": (ca.DBR_CTRL_CHAR, 5, ALARM | LIMITS),
    "cabo": (ca.DBR_CTRL_ENUM, 1, ALARM | {"pv_nostrings", "pv_statestrings"}),
    "castr": (ca.DBR_CTRL_STRING, 1, ALARM),
}


@pytest.mark.parametrize("wait", [1, 0])
@pytest.mark.parametrize("name", CONTROL)
def test_get_control(make_pv: MakePV, name: str, wait: int) -> None:
    control, count, fields = CONTROL[name]
    pv = make_pv(name)
    pv.getControl(wait=wait)
    if not wait:
        wait_for(pv.checkMonitor)
        pv.callBack.newMonitor = 1
    state = pv.callBack
    assert vars(state).keys() == OWN | fields
    assert (state.type, state.count, state.status) == (control, count, ca.ECA_NORMAL)
    assert isinstance(state.type, ca.DBR)
    assert isinstance(state.status, ca.ECA)
    assert ca.name(state.chid) == pv.name()
    assert state.pv_value == pv.getw()
    assert (state.newMonitor, state.monitorState, state.putComplete) == (1, 0, 0)


def test_the_manuals_fields_of_get_control(make_pv: MakePV) -> None:
    pv = make_pv("catest")
    pv.putWait(12.5)
    pv.getControl(req_type=None, count=None, wait=1, poll=0.01)
    state = pv.callBack
    assert (state.pv_value, state.pv_units, state.pv_precision) == (12.5, "mm", 4)
    assert (state.pv_updislim, state.pv_lodislim) == (20.0, -20.0)
    assert (state.pv_upalarmlim, state.pv_loalarmlim) == (20.0, -20.0)
    assert (state.pv_upwarnlim, state.pv_lowarnlim) == (10.0, -10.0)
    assert (state.pv_severity, state.pv_status) == (ca.AlarmSeverity.Minor, ca.AlarmCondition.High)
    assert pv.checkMonitor() == 1
    assert pv.checkMonitor() == 0


def test_get_control_of_another_type_and_count(make_pv: MakePV) -> None:
    pv = make_pv("cawave", monitor=True)
    value = pv.getw()
    pv.getControl(ca.DBR_STRING, 2)
    assert (pv.callBack.type, pv.callBack.count) == (ca.DBR_CTRL_STRING, 2)
    assert len(pv.callBack.pv_value) == 2
    # The monitored value is the monitor's.
    assert pv.getw() == value
    pv.getControl(count=1)
    assert pv.callBack.count == 1
    pv.getControl(ca.DBF_LONG, 0)
    assert pv.callBack.type == ca.DBR_CTRL_LONG


@pytest.mark.parametrize("wait", [1, 0])
def test_get_control_of_what_is_no_type(make_pv: MakePV, wait: int) -> None:
    pv = make_pv("catest")
    with pytest.raises(CaChannelException) as raised:
        pv.getControl(ca.DBR_TIME_DOUBLE, wait=wait)
    assert raised.value.status == ca.ECA_BADTYPE
    assert "plain type such as DBR_DOUBLE, not 20" in str(raised.value)


def test_get_control_where_reading_is_not_allowed(make_pv: MakePV) -> None:
    pv = make_pv("hidden")
    with pytest.raises(CaChannelException) as raised:
        pv.getControl()
    assert raised.value.status == ca.ECA_NORDACCESS


def test_get_control_times_out(util_ioc: UtilIoc, make_pv: MakePV) -> None:
    pv = make_pv(util_ioc.prefix + "catest", full_name=True)
    util_ioc.pause()
    try:
        for arguments in ({"timeout": 0.1}, {}):
            pv.setTimeout(0.2)
            with pytest.raises(CaChannelException) as raised:
                pv.getControl(**arguments)
            assert raised.value.status == ca.ECA_TIMEOUT
            assert pv.name() in str(raised.value)
            assert pv.checkMonitor() == 0
    finally:
        util_ioc.resume()
    pv.getControl(timeout=10)
    assert pv.callBack.pv_units == "mm"


#
# putWait
#
def test_put_wait_waits_for_the_processing(make_pv: MakePV) -> None:
    slow, done = make_pv("slow"), make_pv("slow:done")
    done.putWait(0)
    slow.putWait(3, None, None, 0.01)
    assert done.getw() == 1
    assert slow.callBack.putComplete == 1


def test_put_wait_times_out(util_ioc: UtilIoc, make_pv: MakePV) -> None:
    pv = make_pv(util_ioc.prefix + "never0", full_name=True)
    with pytest.raises(CaChannelException) as raised:
        pv.putWait(3, timeout=0.1)
    assert raised.value.status == ca.ECA_TIMEOUT
    assert raised.value.pvname == pv.name()
    assert pv.callBack.putComplete == 0
    # The value was written nevertheless.
    assert pv.getw() == 3


def test_put_wait_of_what_is_refused(util_ioc: UtilIoc, make_pv: MakePV) -> None:
    pv = make_pv(util_ioc.prefix + "disabled", full_name=True)
    with pytest.raises(CaChannelException) as raised:
        pv.putWait(3)
    assert raised.value.status == ca.ECA_PUTFAIL
    assert str(raised.value).endswith("the server does not take 3")
    assert pv.callBack.putComplete == 0
    assert pv.getw() == 1


def test_put_wait_of_what_cannot_be_sent(make_pv: MakePV) -> None:
    with pytest.raises(CaChannelValueError):
        make_pv("plain").putWait("no number")
    with pytest.raises(CaChannelException) as raised:
        make_pv("readonly").putWait(1)
    assert raised.value.status == ca.ECA_NOWTACCESS
    with pytest.raises(CaChannelException) as raised:
        epicsPV().putWait(1)
    assert raised.value.status == ca.ECA_BADCHID
    with pytest.raises(ValueError, match="timeout"):
        make_pv("plain").putWait(1, timeout=-1)


def test_put_wait_of_every_kind(make_pv: MakePV) -> None:
    cases: list[tuple[str, Any, dict[str, Any], Any]] = [
        ("plain", 1.5, {}, 1.5),
        ("plain", "2.5", {"req_type": ca.DBR_STRING}, 2.5),
        ("cabo", "Busy", {}, 1),
        ("cabo", 0, {}, 0),
        ("castr", "text", {}, "text"),
        ("cawave", range(5), {"count": 2}, [0.0, 1.0, 0.0, 0.0, 0.0]),
        ("cawavec", "abc", {}, [97, 98, 99, 0, 0]),
    ]
    for name, value, arguments, expected in cases:
        pv = make_pv(name)
        pv.putWait(value, **arguments)
        assert pv.getw() == expected


def test_put_wait_updates_a_monitored_pv(make_pv: MakePV) -> None:
    pv = make_pv("plain", monitor=True)
    pv.putWait(pv.getw() + 1)
    wait_for(lambda: pv.getw() == pv.getw(ca.DBR_STS_DOUBLE)["pv_value"])


#
# Ctrl-C
#
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
@pytest.mark.parametrize(
    "wait",
    [
        "stop_server(chid); slow.putWait(1)",
        "stop_server(chid); slow.putWait(1, timeout=20)",
        "stop_server(chid); slow.getControl(timeout=0)",
        "stop_server(chid); slow.setMonitor(); slow.getw()",
        "pv('no-such-pv:in-any-ioc')",
    ],
)
def test_ctrl_c(run_script: RunScript, wait: str) -> None:
    result = run_script(
        f"""
        from cachannel.epicsPV import epicsPV
        pv = epicsPV
        CaChannel.ca_timeout = 20
        slow = pv(P + "count")
        chid = connect("calong")
        pressed = []
        def press():
            time.sleep(0.3)
            pressed.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=press, daemon=True).start()
        try:
            {wait}
        except KeyboardInterrupt:
            took = time.monotonic() - pressed[0]
            # 0.2 s is promised; the rest is for a machine that is busy.
            print("interrupted" if took < 0.5 else f"only after {{took}} s")
        else:
            print("not interrupted")
        finally:
            os.kill(IOC_PID, signal.SIGCONT)
        print(slow.getw(ca.DBR_STRING).isdigit())
        """
    )
    assert_quiet(result, "interrupted\nTrue\n")


def test_access_that_is_lost_and_given_again(make_pv: MakePV, connect: Connect) -> None:
    # An IOC does not take away the right to read; the right to write makes no difference to a monitor.
    pv = make_pv("guarded", monitor=True)
    try:
        write(connect("rights"), 0)
        wait_for(lambda: not pv.write_access())
        assert pv.getw() == 5
        with pytest.raises(CaChannelException) as raised:
            pv.putWait(6)
        assert raised.value.status == ca.ECA_NOWTACCESS
    finally:
        write(connect("rights"), 1)
    wait_for(pv.write_access)


def test_a_pv_that_may_not_be_read(make_pv: MakePV) -> None:
    pv = make_pv("hidden")
    pv.setMonitor()
    for read in (pv.getw, pv.getValue):
        with pytest.raises(CaChannelException) as raised:
            read()
        assert raised.value.status == ca.ECA_NORDACCESS


def test_the_callbacks_of_3_x_for_programs_of_their_own(prefix: str) -> None:
    from cachannel.epicsPV import callBack, getCallback, putCallBack

    pv = epicsPV(prefix + "catest")
    mine = callBack()
    mine.monitorState = 1
    pv.array_put_callback(2.5, None, None, putCallBack, mine)
    pv.array_get_callback(ca.DBR_CTRL_DOUBLE, None, getCallback, mine)
    pv.flush_io()
    wait_for(lambda: mine.newMonitor and mine.putComplete)
    assert (mine.pv_value, mine.pv_units, mine.monitorState) == (2.5, "mm", 2)
