"""ChannelGroup: many PVs as one object."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Callable

import numpy
import pytest
from cachannel import CaChannel, CaChannelException, CaChannelTypeError, CaChannelValueError, ChannelGroup, ca
from ioc import Ioc

MakeGroup = Callable[..., ChannelGroup]

MIXED = ["plain", "count", "states", "wide", "oneUCHAR", "oneSHORT", "oneFLOAT"]


@pytest.fixture
def make_group(prefix: str) -> Iterator[MakeGroup]:
    """Gives a function from names to a group, connected where all can be, which is closed after the test."""
    groups = []

    def make_one(names: list[str], connect: bool = True, **keywords: Any) -> ChannelGroup:
        group = ChannelGroup([name if name.startswith("no-such") else prefix + name for name in names], **keywords)
        groups.append(group)
        if connect:
            group.connect(10)
        return group

    yield make_one
    for group in groups:
        group.close()


def statuses(group: ChannelGroup) -> list[int]:
    return [int(status) for status in group.status]


def test_values_come_in_order(make_group: MakeGroup) -> None:
    names = [f"many{tens}_{ones}" for tens in (3, 1, 2) for ones in range(10)]
    group = make_group(names)
    group.put(numpy.arange(30.0) / 8, wait=True)
    values = group.get()
    assert values.dtype == numpy.float64
    assert values.tolist() == [number / 8 for number in range(30)]
    assert statuses(group) == [ca.ECA_NORMAL] * 30
    assert group.status.dtype == numpy.int32
    for number in (0, 17, 29):
        assert group[number].getw() == number / 8


def test_more_than_libca_takes_at_once(make_group: MakeGroup) -> None:
    """Part of it goes through the circuit's thread; nothing is lost or mixed up."""
    group = make_group([f"many{tens}_{ones}" for tens in range(15) for ones in range(10)] * 60, timeout=20)
    for turn in range(4):
        values = numpy.tile(numpy.arange(150.0), 60) + turn
        group.put(values)
        assert (group.get() == values).all()
        group.put(values + 0.5, wait=True)
        assert group.get(as_string=True)[149] == f"{149.5 + turn:.3f}"
    # Twice the same PV: what was given last stays.
    group.put(numpy.arange(9000.0))
    assert group.get()[:150].tolist() == list(range(8850, 9000))


@pytest.mark.parametrize("numbers", [[1.5, 70000, 3, -(2**40), 200, -300, 0.25], [0, 0, 0, 0, 0, 0, 0]])
def test_every_type(make_group: MakeGroup, numbers: list[float]) -> None:
    group = make_group(MIXED)
    group.put(numbers, wait=True)
    assert group.get().tolist() == numbers
    for dtype in ("f8", "f4", ">f8", object):
        if dtype == "f4" and any(float(numpy.float32(number)) != number for number in numbers):
            continue
        group.put(numpy.array(numbers, dtype), wait=True)
        assert group.get().tolist() == numbers
    assert group.get(time=True)["value"].tolist() == numbers


def test_scalars_go_to_all(make_group: MakeGroup) -> None:
    group = make_group(["plain", "count", "states", "note"])
    for value in 3, 3.0, "3", numpy.int16(3), numpy.float32(3), numpy.array(3), True + 2:
        group.put(0, wait=True)
        group.put(value, wait=True)
        expected = "3.0" if isinstance(value, (float, numpy.floating)) else "3"
        assert group.get(as_string=True) == ["3.000", "3", "three", expected]


def test_text(make_group: MakeGroup) -> None:
    group = make_group(["states", "plain", "note", "text", "oneUCHAR", "count"])
    group.put(["eleven", 2.5, "a note", "long " * 100, 65, "7"], wait=True)
    assert group.get(as_string=True) == ["eleven", "2.500", "a note", "long " * 100, "65", "7"]
    group[3].putw(b"caf\xe9")
    assert group.get(as_string=True)[3] == "caf\xe9"
    group[3].putw("")
    assert group.get(as_string=True)[3] == ""
    with pytest.raises(CaChannelTypeError, match="not both"):
        group.get(as_string=True, time=True)


def test_times_and_alarms(make_group: MakeGroup) -> None:
    group = make_group(["catest", "plain"])
    group.put([15, 1], wait=True)
    before = numpy.datetime64("now", "ns")
    group.put([15, 1], wait=True)
    readings = group.get(time=True)
    assert readings.dtype.names == ("value", "time", "severity", "status")
    assert readings["time"].dtype == numpy.dtype("M8[ns]")
    assert (abs(readings["time"] - before) < numpy.timedelta64(10, "s")).all()
    assert readings["severity"].tolist() == [ca.AlarmSeverity.Minor, ca.AlarmSeverity.No]
    assert readings["status"].tolist() == [ca.AlarmCondition.High, ca.AlarmCondition.No]
    stamp = group[0].getw(ca.DBR_TIME_DOUBLE)
    nanoseconds = (stamp["pv_seconds"] + ca.POSIX_TIME_AT_EPICS_EPOCH) * 10**9 + stamp["pv_nseconds"]
    assert readings["time"][0].astype("i8") == nanoseconds
    group.put(0)
    never_processed = make_group(["unprocessed", "plain"]).get(time=True)
    assert numpy.isnat(never_processed["time"]).tolist() == [True, False]


FAILING = ["plain", "no-such-pv:in-any-ioc", "hidden", "note", "wfDOUBLE", "text", "count"]
READ = [1, ca.ECA_DISCONN, ca.ECA_NORDACCESS, ca.ECA_NOCONVERT, ca.ECA_BADCOUNT, ca.ECA_BADCOUNT, 1]


def test_what_cannot_be_read(make_group: MakeGroup, prefix: str) -> None:
    group = make_group(FAILING, connect=False)
    with pytest.raises(CaChannelException) as caught:
        group.connect(1)
    assert (caught.value.status, caught.value.pvname) == (ca.ECA_TIMEOUT, FAILING[1])
    assert statuses(group) == [1, ca.ECA_TIMEOUT, 1, 1, 1, 1, 1]
    assert group.connected.tolist() == [True, False, True, True, True, True, True]
    group.connect(0.1, throw=False)

    with pytest.raises(CaChannelException) as caught:
        group.get()
    assert (caught.value.status, caught.value.pvname) == (ca.ECA_DISCONN, FAILING[1])
    text = str(caught.value)
    for name, status in zip(FAILING[1:6], ["DISCONN", "NORDACCESS", "NOCONVERT", "BADCOUNT", "BADCOUNT"]):
        assert f"{name} {status}" in text
    assert "5 of 7 PVs failed" in text
    assert statuses(group) == READ

    group.put(2, throw=False)
    assert statuses(group) == [1, ca.ECA_DISCONN, ca.ECA_NOWTACCESS, 1, 1, 1, 1]
    values = group.get(throw=False)
    assert numpy.isnan(values).tolist() == [False, True, True, True, True, True, False]
    assert (values[0], values[6]) == (2, 2)
    assert statuses(group) == READ

    readings = group.get(time=True, throw=False)
    assert numpy.isnat(readings["time"]).tolist() == [False, True, True, True, True, True, False]
    assert readings["severity"][1:6].tolist() == [ca.AlarmSeverity.Invalid] * 5
    assert readings["status"][1:6].tolist() == [ca.AlarmCondition.Comm] * 5

    assert group.get(as_string=True, throw=False)[:5] == ["2.000", "", "", "2", ""]
    assert statuses(group) == [1, ca.ECA_DISCONN, ca.ECA_NORDACCESS, 1, ca.ECA_BADCOUNT, 1, 1]


@pytest.mark.parametrize(("name", "hint"), [("note", "as_string=True reads it"), ("wfDOUBLE", "it holds 5 elements")])
def test_the_text_of_an_error_says_what_to_do(make_group: MakeGroup, name: str, hint: str) -> None:
    with pytest.raises(CaChannelException, match=hint) as caught:
        make_group(["plain", name]).get()
    assert "PVs failed" not in str(caught.value)


def test_ten_are_named_at_most(make_group: MakeGroup) -> None:
    group = make_group([f"no-such-pv:{number}" for number in range(12)], connect=False, timeout=0.2)
    with pytest.raises(CaChannelException, match="12 of 12 PVs failed") as caught:
        group.connect()
    assert "no-such-pv:9 TIMEOUT, …" in str(caught.value)
    assert "no-such-pv:10" not in str(caught.value)
    # pend_io of the same thread does not wait for what a group searches.
    assert ca.pend_io(0.1) == ca.ECA_NORMAL


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ([1, numpy.nan, 1], CaChannelValueError),
        (numpy.array([1, numpy.nan, 1]), CaChannelValueError),
        ([1, 1, 70000], CaChannelValueError),
        (numpy.array([1, 1, 70000]), CaChannelValueError),
        ([1, 2**40, 1], CaChannelValueError),
        ([1, 2**80, 1], CaChannelValueError),
        (numpy.float64(0.5), CaChannelValueError),
        ([1, "many", 1], CaChannelValueError),
        ([1, 1, None], CaChannelTypeError),
        (None, CaChannelTypeError),
        ({}, CaChannelTypeError),
        ([1, [], 1], CaChannelValueError),
        ([1, 1], CaChannelValueError),
        ([1, 1, 1, 1], CaChannelValueError),
        (numpy.ones(4), CaChannelValueError),
        ([], CaChannelValueError),
        (numpy.ma.masked_array([1, 2, 3], [0, 1, 0]), CaChannelValueError),
    ],
)
@pytest.mark.parametrize("wait", [False, True])
def test_what_does_not_convert_is_not_sent(
    make_group: MakeGroup, values: Any, error: type[CaChannelException], wait: bool
) -> None:
    group = make_group(["plain", "count", "oneSHORT"])
    group.put([9, 9, 9], wait=True)
    with pytest.raises(error) as caught:
        group.put(values, wait=wait, throw=False)
    assert isinstance(caught.value, (ValueError, TypeError))
    assert group.get().tolist() == [9, 9, 9]


def test_the_pv_is_named_whose_value_does_not_convert(make_group: MakeGroup, prefix: str) -> None:
    group = make_group(["plain", "count", "oneSHORT"])
    for values in numpy.array([1, 1, 70000]), [1, 1, "70000"]:
        with pytest.raises(CaChannelValueError, match="out of the range of SHORT") as caught:
            group.put(values)
        assert caught.value.pvname == prefix + "oneSHORT"


def test_writes_that_are_refused(make_group: MakeGroup, prefix: str) -> None:
    group = make_group(["plain", "readonly", "states"])
    with pytest.raises(CaChannelException, match="Write access denied") as caught:
        group.put([6, 6, 6])
    assert (caught.value.status, caught.value.pvname) == (ca.ECA_NOWTACCESS, prefix + "readonly")
    assert group.get().tolist() == [6, 3, 6]
    group.put([7, 7, "no such state"], wait=True, throw=False)
    assert statuses(group) == [1, ca.ECA_NOWTACCESS, ca.ECA_PUTFAIL]
    assert group.get().tolist() == [7, 3, 6]


def test_wait_is_for_the_processing(make_group: MakeGroup) -> None:
    group, done = make_group(["slow", "plain"]), make_group(["slow:done"])
    done.put(0, wait=True)
    with pytest.raises(CaChannelException) as caught:
        group.put(1, wait=True, timeout=0.1)
    assert (caught.value.status, caught.value.pvname) == (ca.ECA_TIMEOUT, group.names[0])
    assert statuses(group) == [ca.ECA_TIMEOUT, ca.ECA_NORMAL]
    group.put(2, wait=True, timeout=10)
    assert done.get().tolist() == [1]


def test_the_list(make_group: MakeGroup, prefix: str) -> None:
    group = make_group(["plain", "count", "plain"])
    assert len(group) == 3
    assert group.names == [prefix + "plain", prefix + "count", prefix + "plain"]
    assert isinstance(group[0], CaChannel)
    assert group[-1] is group[2]
    assert [channel.name() for channel in group[:2]] == group.names[:2]
    assert list(group) == group[:]
    with pytest.raises(IndexError):
        group[3]
    assert repr(group) == "<ChannelGroup of 3 PVs, 3 connected>"
    assert group.connected.dtype == numpy.bool_


def test_a_group_of_none(make_group: MakeGroup) -> None:
    group = make_group([])
    group.put([])
    group.put(5, wait=True)
    assert group.get().shape == group.get(time=True).shape == (0,)
    assert group.get(as_string=True) == []
    assert len(group) == 0


def test_names_that_are_none() -> None:
    with pytest.raises(CaChannelTypeError, match="a list of PV names"):
        ChannelGroup("catest")
    with pytest.raises(CaChannelException):
        ChannelGroup(["catest", ""])
    with pytest.raises(CaChannelTypeError):
        ChannelGroup([None])  # type: ignore[list-item]


def test_the_end(prefix: str) -> None:
    with ChannelGroup([prefix + "plain", prefix + "count"]) as group:
        assert group.connected.all()
        channel = group[0]
        group[1].clear_channel()
        group.get(throw=False)
        assert statuses(group) == [1, ca.ECA_BADCHID]
    assert channel.state() == ca.cs_never_search
    for call in group.get, lambda: group.put(1), group.connect, lambda: group.put(1, wait=True):
        with pytest.raises(CaChannelException):
            call()
        assert statuses(group) == [ca.ECA_BADCHID] * 2
    assert not group.connected.any()
    group.close()


def test_a_group_that_does_not_connect_is_closed(prefix: str) -> None:
    group = ChannelGroup([prefix + "plain", "no-such-pv:in-any-ioc"], timeout=0.3)
    with pytest.raises(CaChannelException), group:
        pass
    assert group[0].state() == ca.cs_never_search


def test_timeouts(make_group: MakeGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    group = make_group(["plain"])
    assert group.timeout == 3.0
    monkeypatch.setattr(CaChannel, "ca_timeout", 5.0)
    assert group.timeout == 5.0
    assert make_group(["plain"], timeout=0).get(0).shape == (1,)
    for bad in (-1, float("nan")):
        with pytest.raises(CaChannelValueError):
            group.get(bad)


def test_threads(make_group: MakeGroup) -> None:
    group = make_group([f"many4_{number}" for number in range(10)] * 100, timeout=20)
    group.put(0, wait=True)
    wrong = []

    def work(number: int) -> None:
        for _ in range(30):
            values = group.get()
            if not ((values >= 0) & (values < 4)).all():
                wrong.append(values)
            group.put(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    group.put(7)
    assert (group.get() == 7).all()


def test_in_a_callback(make_group: MakeGroup) -> None:
    group = make_group(["plain", "count"])
    got: list[Any] = []
    ready = threading.Event()

    def callback(args: Any, user: Any) -> None:
        try:
            group.put([4, 5], wait=True)
            got.append(group.get().tolist())
        finally:
            ready.set()

    group[0].array_get_callback(None, None, callback)
    group[0].flush_io()
    assert ready.wait(10)
    assert got == [[4, 5]]


def test_after_a_restart(own_ioc: Ioc) -> None:
    with ChannelGroup([own_ioc.prefix + name for name in ("catest", "calong")], timeout=20) as group:
        group.put([1, 2], wait=True)
        own_ioc.kill()
        with pytest.raises(CaChannelException) as caught:
            group.get()
        assert caught.value.status == ca.ECA_DISCONN
        assert statuses(group) == [ca.ECA_DISCONN] * 2
        own_ioc.start()
        group.connect(40)
        assert group.get().tolist() == [0, 5]
