"""Reading with the ``ca`` module: every request type of every kind of record, as Python and numpy, in all three ways.

What has to come is worked out here, from what was written into the record and from how an IOC converts.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable

import numpy as np
import pytest
from cachannel import CaChannelException, ca
from helpers import Connect, read, write
from server_process import wait_for

BASES = ["STRING", "SHORT", "FLOAT", "ENUM", "CHAR", "LONG", "DOUBLE"]
DTYPES = {"SHORT": "i2", "FLOAT": "f4", "ENUM": "u2", "CHAR": "u1", "LONG": "i4", "DOUBLE": "f8"}
CLASSES = ["plain", "STS", "TIME", "GR", "CTRL"]
NUMERALS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
STATES = NUMERALS.split()
LIMITS = [f"{side}_{kind}_limit" for kind in ("disp", "alarm", "warning") for side in ("upper", "lower")]
CONTROL_LIMITS = ["upper_ctrl_limit", "lower_ctrl_limit"]


@dataclass
class Record:
    """A record, what to write into it, and what the server then has to give."""

    name: str
    native: str
    write: Any
    numbers: list[Any]  # the elements as the server holds them
    strings: list[str] | None  # as the server turns them to text, None where it does not
    numeric: bool = True  # whether the server turns them to numbers
    to_enum: bool = True
    states: tuple[str, ...] = ()
    units: str = ""
    precision: int = 0
    limits: dict[str, float] = field(default_factory=dict)  # those the record has
    severity: str = "No"
    condition: str = "No"
    kind: str = "waveform"

    def elements(self, base: str) -> list[Any] | None:
        """The elements as they have to arrive for an element type, None where the server refuses."""
        if base == "STRING":
            return self.strings
        if base == "ENUM" and not self.to_enum:
            return None
        if not self.numeric:
            return None
        convert = float if base in ("FLOAT", "DOUBLE") else int
        return [convert(float(number)) for number in self.numbers]


def waveform(kind: str, native: str, values: list[Any], strings: list[str], **more: Any) -> Record:
    precision = 3 if kind in ("FLOAT", "DOUBLE") else 0
    meta: dict[str, Any] = {
        "units": "V",
        "precision": precision,
        "limits": {"upper_disp_limit": 100, "lower_disp_limit": 0},
    }
    meta.update(more)
    return Record(f"wf{kind}", native, values, values, strings, **meta)


def one(kind: str, native: str, value: Any, string: str | None, **more: Any) -> Record:
    precision = 3 if kind in ("FLOAT", "DOUBLE") else 0
    meta: dict[str, Any] = {
        "units": "V",
        "precision": precision,
        "limits": {"upper_disp_limit": 100, "lower_disp_limit": 0},
    }
    meta.update(more)
    strings = None if string is None else [string]
    return Record(f"one{kind}", native, value, [value], strings, **meta)


INTEGERS = [1, 2, 3, 100, 0]
TEXTS = ["1", "2", "3", "100", "0"]
FLOATS = [1.5, 2.0, -0.0, 100.25, 3.0]
FLOAT_TEXTS = ["1.500", "2.000", "0.000", "100.250", "3.000"]
BARE: dict[str, Any] = {"units": "", "precision": 0, "limits": {}}

RECORDS = [
    Record(
        "catest",
        "DOUBLE",
        12.5,
        [12.5],
        ["12.5000"],
        units="mm",
        precision=4,
        limits={
            "upper_disp_limit": 20,
            "lower_disp_limit": -20,
            "upper_alarm_limit": 20,
            "lower_alarm_limit": -20,
            "upper_warning_limit": 10,
            "lower_warning_limit": -10,
            "upper_ctrl_limit": 0,
            "lower_ctrl_limit": 0,
        },
        severity="Minor",
        condition="High",
        kind="ao",
    ),
    Record("cabo", "ENUM", 1, [1], ["Busy"], states=("Done", "Busy"), severity="Minor", condition="State", kind="bo"),
    Record("states", "ENUM", 11, [11], ["eleven"], states=tuple(STATES), kind="mbbo"),
    Record("castr", "STRING", "hello", [], ["hello"], numeric=False, to_enum=False, kind="stringout"),
    Record("number", "STRING", "12", ["12"], ["12"], to_enum=False, kind="stringout"),
    Record(
        "calong",
        "LONG",
        5,
        [5],
        ["5"],
        units="steps",
        limits={"upper_disp_limit": 1000, "lower_disp_limit": -1000},
        kind="longout",
    ),
    Record("wide", "DOUBLE", 7, [7], ["7"], kind="int64out"),
    Record("catest.DISV", "SHORT", 1, [1], ["1"], kind="ao"),
    Record("catest.SCAN", "ENUM", 0, [0], ["Passive"], states=("Passive", "Event", "I/O Intr"), kind="ao"),
    one("CHAR", "CHAR", 7, "7"),
    one("SHORT", "SHORT", 7, "7"),
    one("FLOAT", "FLOAT", 1.5, "1.500"),
    one("DOUBLE", "DOUBLE", 1.5, "1.500"),
    one("ENUM", "ENUM", 3, None, **BARE),
    one("STRING", "STRING", "text", "text", numeric=False, to_enum=False, **BARE),
    waveform("CHAR", "CHAR", INTEGERS, TEXTS),
    waveform("UCHAR", "CHAR", INTEGERS, TEXTS),
    waveform("SHORT", "SHORT", INTEGERS, TEXTS),
    waveform("USHORT", "LONG", INTEGERS, TEXTS),
    waveform("LONG", "LONG", INTEGERS, TEXTS),
    waveform("ULONG", "DOUBLE", INTEGERS, TEXTS),
    waveform("INT64", "DOUBLE", INTEGERS, TEXTS),
    waveform("UINT64", "DOUBLE", INTEGERS, TEXTS),
    waveform("FLOAT", "FLOAT", FLOATS, FLOAT_TEXTS),
    waveform("DOUBLE", "DOUBLE", FLOATS, FLOAT_TEXTS),
    Record("wfENUM", "ENUM", INTEGERS, INTEGERS, None),
    Record("wfSTRING", "STRING", ["1", "2", "3", "4", "5"], [1, 2, 3, 4, 5], ["1", "2", "3", "4", "5"]),
]
BY_NAME = {record.name: record for record in RECORDS}


def get_now(chid: Any, use_numpy: bool) -> dict[int, tuple[Any, Any]]:
    """Every type with ca.get and pend_io: status and value, or the exception of DBRValue.get()."""
    values: dict[int, Any] = {}
    for dbr in range(39):
        status, value = ca.get(chid, dbr, use_numpy=use_numpy)
        assert status is ca.ECA.NORMAL, (dbr, status)
        assert value.use_numpy is use_numpy
        values[dbr] = value
    # The server refuses some reads. pend_io returns the status of the first of these; the other reads have a value.
    assert ca.pend_io(20) in (ca.ECA_NORMAL, ca.ECA_GETFAIL)
    results: dict[int, tuple[Any, Any]] = {}
    for dbr, value in values.items():
        try:
            results[dbr] = (ca.ECA.NORMAL, value.get())
        except CaChannelException as error:
            results[dbr] = (error.status, None)
    return results


def get_with_callback(chid: Any, use_numpy: bool) -> dict[int, tuple[Any, Any]]:
    events: list[dict[str, Any]] = []
    for dbr in range(39):
        assert ca.get(chid, dbr, None, events.append, use_numpy) == (ca.ECA_NORMAL, None)
    ca.flush_io()
    wait_for(lambda: len(events) == 39, 20, "39 answers")
    # In the order in which they were asked for.
    check_events(events, chid, list(range(39)))
    return {dbr: (args["status"], args["value"]) for dbr, args in enumerate(events)}


def subscribe(chid: Any, use_numpy: bool) -> dict[int, tuple[Any, Any]]:
    events: dict[int, dict[str, Any]] = {}

    def keep_first(dbr: int) -> Callable[[dict[str, Any]], Any]:
        return lambda args: events.setdefault(dbr, args)

    subscriptions = []
    for dbr in range(39):
        status, evid = ca.create_subscription(chid, keep_first(dbr), dbr, None, None, use_numpy)
        assert status is ca.ECA.NORMAL, (dbr, status)
        subscriptions.append(evid)
    ca.flush_io()
    try:
        wait_for(lambda: len(events) == 39, 20, "39 first updates")
    finally:
        for evid in subscriptions:
            assert ca.clear_subscription(evid) == ca.ECA_NORMAL
    check_events([events[dbr] for dbr in range(39)], chid, list(range(39)))
    return {dbr: (args["status"], args["value"]) for dbr, args in events.items()}


def check_events(events: list[dict[str, Any]], chid: Any, types: list[int]) -> None:
    for args, dbr in zip(events, types):
        assert set(args) == {"chid", "type", "count", "status", "value"}
        assert ca.name(args["chid"]) == ca.name(chid)
        assert isinstance(args["status"], ca.ECA)
        assert isinstance(args["type"], ca.DBR)
        if args["status"] == ca.ECA_NORMAL:
            assert args["type"] == dbr
            assert args["count"] == ca.element_count(chid)
        else:
            assert args["value"] is None


def check_value(value: Any, record: Record, base: str, use_numpy: bool) -> None:
    expected = record.elements(base)
    assert expected is not None
    if len(expected) == 1:
        assert value == expected[0]
        assert type(value) is type(expected[0])
    elif use_numpy and base != "STRING":
        assert isinstance(value, np.ndarray)
        assert value.dtype == np.dtype(DTYPES[base])
        assert value.dtype.isnative
        assert value.shape == (len(expected),)
        assert value.flags.c_contiguous
        assert value.tolist() == expected
    else:
        assert type(value) is list
        assert value == expected
        assert {type(item) for item in value} == {type(expected[0])}


def check_meta(meta: dict[str, Any], record: Record, dbr: int) -> None:
    """The keys beside the value: exactly the ones of the type, with the record's properties."""
    kind, base = CLASSES[dbr // 7], BASES[dbr % 7]
    keys = {"value", "status", "severity"}
    assert meta["status"] is ca.AlarmCondition[record.condition]
    assert meta["severity"] is ca.AlarmSeverity[record.severity]
    if kind == "TIME":
        keys |= {"stamp"}
        check_stamp(meta["stamp"])
    elif kind in ("GR", "CTRL") and base == "ENUM":
        keys |= {"no_str", "strs"}
        assert meta["no_str"] == len(meta["strs"])
        assert type(meta["strs"]) is tuple
        assert meta["strs"][: len(record.states)] == record.states
        if record.name != "catest.SCAN":
            assert meta["no_str"] == len(record.states)
    elif kind in ("GR", "CTRL") and base != "STRING":
        limits = LIMITS + (CONTROL_LIMITS if kind == "CTRL" else [])
        keys |= {"units", *limits}
        assert meta["units"] == record.units
        if base in ("FLOAT", "DOUBLE"):
            keys |= {"precision"}
            assert meta["precision"] == record.precision
            assert type(meta["precision"]) is int
        for limit in limits:
            assert type(meta[limit]) is (float if base in ("FLOAT", "DOUBLE") else int), limit
            if limit in record.limits:
                expected = record.limits[limit]
                assert meta[limit] == (expected % 256 if base == "CHAR" else expected) or base == "CHAR", limit
    assert set(meta) == keys


def check_stamp(stamp: dict[str, Any]) -> None:
    assert set(stamp) == {"seconds", "nanoseconds", "timestamp"}
    assert type(stamp["seconds"]) is int
    assert type(stamp["nanoseconds"]) is int
    assert 0 <= stamp["nanoseconds"] < 1_000_000_000
    assert stamp["timestamp"] == pytest.approx(stamp["seconds"] + stamp["nanoseconds"] * 1e-9, abs=1e-6)
    # POSIX seconds, of when the record was written last: in this test run.
    assert time.time() - 3600 < stamp["timestamp"] < time.time() + 60


WAYS = {"get": get_now, "callback": get_with_callback, "subscription": subscribe}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("use_numpy", [False, True], ids=["python", "numpy"])
@pytest.mark.parametrize("name", BY_NAME)
def test_every_type(connect: Connect, name: str, use_numpy: bool, way: str) -> None:
    record = BY_NAME[name]
    chid = connect(name)
    assert ca.field_type(chid) is ca.DBF[record.native]
    write(chid, record.write)
    if "." in name:
        write(connect(name.partition(".")[0]), 12.5)  # its alarm state and time stamp are those of the record
        record = Record(**{**record.__dict__, "severity": "Minor", "condition": "High"})
    results = WAYS[way](chid, use_numpy)
    assert set(results) == set(range(39))
    for dbr in range(35):
        status, value = results[dbr]
        base = BASES[dbr % 7]
        if record.elements(base) is None:
            assert status is ca.ECA.GETFAIL, ca.DBR(dbr)
            continue
        assert status is ca.ECA.NORMAL, ca.DBR(dbr)
        if dbr < 7:
            check_value(value, record, base, use_numpy)
        else:
            assert type(value) is dict
            check_value(value["value"], record, base, use_numpy)
            check_meta(value, record, dbr)
    # There is nothing to read for PUT_ACKT and PUT_ACKS.
    assert results[ca.DBR_PUT_ACKT][0] is ca.ECA.GETFAIL
    assert results[ca.DBR_PUT_ACKS][0] is ca.ECA.GETFAIL
    check_stsack(results[ca.DBR_STSACK_STRING], record)
    status, value = results[ca.DBR_CLASS_NAME]
    assert status is ca.ECA.NORMAL
    assert (value if isinstance(value, str) else value[0]) == record.kind


def check_stsack(result: tuple[Any, Any], record: Record) -> None:
    status, value = result
    if record.strings is None:
        assert status is ca.ECA.GETFAIL
        return
    assert status is ca.ECA.NORMAL
    assert set(value) == {"value", "status", "severity", "ackt", "acks"}
    assert value["value"] == (record.strings[0] if len(record.strings) == 1 else record.strings)
    assert value["status"] is ca.AlarmCondition[record.condition]
    assert value["severity"] is ca.AlarmSeverity[record.severity]
    assert type(value["ackt"]) is bool
    assert type(value["acks"]) is ca.AlarmSeverity


@pytest.mark.parametrize("chtype", [39, 40, -1, 1000, "DBR_DOUBLE", 1.5])
def test_unknown_type(connect: Connect, chtype: Any) -> None:
    chid = connect("catest")
    calls: list[Callable[[], Any]] = [
        lambda: ca.get(chid, chtype)[0],
        lambda: ca.get(chid, chtype, callback=lambda args: None)[0],
        lambda: ca.create_subscription(chid, lambda args: None, chtype)[0],
        lambda: ca.put(chid, 1, chtype),
    ]
    for call in calls:
        if isinstance(chtype, int):
            assert call() is ca.ECA.BADTYPE
        else:
            with pytest.raises(TypeError):
                call()


def test_type_may_be_a_member_or_a_numpy_number(connect: Connect) -> None:
    chid = connect("calong")
    write(chid, 5)
    assert read(chid, ca.DBR.DOUBLE) == 5.0
    assert read(chid, np.int64(ca.DBR_STRING)) == "5"
    assert read(connect("wfLONG"), None, np.int32(2)) == read(connect("wfLONG"))[:2]


@pytest.mark.parametrize("count", [-1, -100])
def test_negative_count(connect: Connect, count: int) -> None:
    chid = connect("cawave")
    with pytest.raises(CaChannelException, match="count"):
        ca.get(chid, None, count)
    with pytest.raises(CaChannelException, match="count"):
        ca.get(chid, None, count, lambda args: None)
    with pytest.raises(CaChannelException, match="count"):
        ca.create_subscription(chid, lambda args: None, None, count)
    with pytest.raises(CaChannelException, match="count"):
        ca.put(chid, [1, 2], None, count)


@pytest.mark.parametrize("use_numpy", [False, True])
@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 2), (5, 5), (6, 5), (100, 5), (None, 5)])
def test_count(connect: Connect, count: int | None, expected: int, use_numpy: bool) -> None:
    chid = connect("wfDOUBLE")
    write(chid, [1.0, 2.0, 3.0, 4.0, 5.0])
    events: list[dict[str, Any]] = []
    ca.get(chid, None, count, events.append, use_numpy)
    status, evid = ca.create_subscription(chid, events.append, None, count, use_numpy=use_numpy)
    assert status == ca.ECA_NORMAL
    ca.flush_io()
    values = [read(chid, None, count, use_numpy=use_numpy)]
    wait_for(lambda: len(events) == 2)
    ca.clear_subscription(evid)
    assert [args["count"] for args in events] == [expected, expected]
    for value in values + [args["value"] for args in events]:
        if expected == 1:
            assert value == 1.0
            assert type(value) is float
        else:
            assert isinstance(value, np.ndarray if use_numpy else list)
            assert list(value) == [1.0, 2.0, 3.0, 4.0, 5.0][:expected]


@pytest.mark.parametrize("use_numpy", [False, True])
@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_count_0_is_as_many_as_there_are_now(connect: Connect, length: int, use_numpy: bool) -> None:
    chid = connect("wfDOUBLE")
    elements = [1.0, 2.0, 3.0, 4.0, 5.0][:length]
    write(chid, elements)
    events: list[dict[str, Any]] = []
    ca.get(chid, None, 0, events.append, use_numpy)
    status, evid = ca.create_subscription(chid, events.append, None, 0, use_numpy=use_numpy)
    assert status == ca.ECA_NORMAL
    value = read(chid, None, 0, use_numpy=use_numpy)
    wait_for(lambda: len(events) == 2)
    ca.clear_subscription(evid)
    for got in [value] + [args["value"] for args in events]:
        assert np.atleast_1d(got).tolist() == elements
    assert [args["count"] for args in events] == [length, length]


def test_an_empty_waveform(connect: Connect) -> None:
    chid = connect("stream")  # nothing is written to it in this module
    events: list[dict[str, Any]] = []
    ca.get(chid, ca.DBR_TIME_DOUBLE, 0, events.append, True)
    ca.get(chid, ca.DBR_TIME_DOUBLE, 0, events.append, False)
    ca.flush_io()
    wait_for(lambda: len(events) == 2)
    length = events[0]["count"]
    assert events[0]["value"]["value"].shape == (length,)
    assert len(events[1]["value"]["value"]) == length


def test_value_before_it_is_there(connect: Connect) -> None:
    chid = connect("catest")
    status, value = ca.get(chid)
    assert status == ca.ECA_NORMAL
    with pytest.raises(CaChannelException):
        value.get()
    assert ca.pend_io(10) == ca.ECA_NORMAL
    assert isinstance(value.get(), float)
    # A value can be read as often as the program likes.
    assert value.get() == value.get()


def test_use_numpy_can_be_changed_afterwards(connect: Connect) -> None:
    chid = connect("wfLONG")
    write(chid, INTEGERS)
    status, value = ca.get(chid)
    assert status == ca.ECA_NORMAL
    assert ca.pend_io(10) == ca.ECA_NORMAL
    assert value.use_numpy is False
    assert value.get() == INTEGERS
    value.use_numpy = True
    assert isinstance(value.get(), np.ndarray)
    assert value.get().tolist() == INTEGERS
    value.use_numpy = False
    assert value.get() == INTEGERS


def test_a_refused_get_among_others(connect: Connect) -> None:
    good, bad = connect("calong"), connect("castr")
    write(good, 5)
    _, before = ca.get(good)
    _, refused = ca.get(bad, ca.DBR_DOUBLE)
    _, after = ca.get(good)
    assert ca.pend_io(10) is ca.ECA.GETFAIL
    assert (before.get(), after.get()) == (5, 5)
    with pytest.raises(CaChannelException) as caught:
        refused.get()
    assert caught.value.status is ca.ECA.GETFAIL
    # The failure was told once: the next pend_io succeeds.
    assert ca.pend_io(10) is ca.ECA.NORMAL


def test_text_that_is_not_utf8_is_latin1(connect: Connect) -> None:
    chid = connect("wfSTRING")
    write(chid, [b"\xff\xfe", "é", b"plain", "漢字", b"\xc3"])
    assert read(chid) == ["ÿþ", "é", "plain", "漢字", "Ã"]
    scalar = connect("oneSTRING")
    write(scalar, b"caf\xe9")
    assert read(scalar) == "café"
    assert read(scalar, ca.DBR_TIME_STRING)["value"] == "café"


def test_a_string_that_was_cut(connect: Connect) -> None:
    scalar = connect("oneSTRING")
    write(scalar, ("é" * 20).encode()[:39])
    assert read(scalar) == read(scalar, ca.DBR_CTRL_STRING)["value"] == "é" * 19
    # There was room for more: it is not a cut character.
    write(scalar, ("é" * 19).encode()[:37])
    assert read(scalar) == ("é" * 19).encode()[:37].decode("latin-1")


def test_states_that_were_cut(connect: Connect) -> None:
    states, one, two = connect("states"), connect("states.ONST"), connect("states.TWST")
    before = read(one), read(two)
    try:
        write(one, ("x" + "é" * 13).encode()[:25])
        write(two, b"\xb5m")
        assert read(states, ca.DBR_GR_ENUM)["strs"][:3] == ("zero", "x" + "é" * 12, "µm")
        assert read(states, ca.DBR_CTRL_ENUM)["strs"][2] == "µm"
    finally:
        write(one, before[0])
        write(two, before[1])


def test_units(connect: Connect) -> None:
    value, units = connect("plain"), connect("plain.EGU")
    before = read(units)
    write(units, b"\xb5m")
    assert read(value, ca.DBR_GR_DOUBLE)["units"] == "µm"  # Latin-1
    write(units, "µm")
    assert read(value, ca.DBR_GR_DOUBLE)["units"] == "µm"
    write(units, "µA/cm²")  # of which 7 of 8 bytes come
    assert read(value, ca.DBR_GR_DOUBLE)["units"] == read(value, ca.DBR_CTRL_FLOAT)["units"] == "µA/cm"
    assert read(value, ca.DBR_GR_LONG)["units"] == "µA/cm"
    write(units, before)  # others read it too


def test_a_string_of_39_bytes(connect: Connect) -> None:
    chid = connect("note")
    write(chid, "x" * 39)
    assert read(chid) == "x" * 39


def test_unsigned_bytes(connect: Connect) -> None:
    chid = connect("wfCHAR")
    write(chid, [-1, -128, 127, 128, 255])
    assert read(chid) == [255, 128, 127, 128, 255]
    assert read(chid, use_numpy=True).tolist() == [255, 128, 127, 128, 255]
    assert read(connect("wfCHAR"), ca.DBR_LONG) == [-1, -128, 127, -128, -1]


def test_special_floats(connect: Connect) -> None:
    chid = connect("wfDOUBLE")
    write(chid, [float("nan"), float("inf"), float("-inf"), -0.0, 5e-324])
    value = read(chid)
    assert np.isnan(value[0])
    assert value[1:3] == [float("inf"), float("-inf")]
    assert str(value[3]) == "-0.0"
    assert value[4] == 5e-324


def test_64_bits_travel_as_double(connect: Connect) -> None:
    chid = connect("wide")
    write(chid, 2**53)
    assert read(chid) == 2.0**53
    write(chid, 7)


def test_arrays_are_independent(connect: Connect) -> None:
    chid = connect("wfLONG")
    write(chid, INTEGERS)
    first = read(chid, use_numpy=True)
    copy = first.copy()
    second = read(chid, use_numpy=True)
    assert not np.shares_memory(first, second)
    write(chid, [9, 9, 9, 9, 9])
    for _ in range(20):
        read(chid, use_numpy=True)
    assert (first == copy).all()
    assert (second == copy).all()


def test_an_array_outlives_its_channel(prefix: str) -> None:
    status, chid = ca.create_channel(prefix + "big")
    assert status == ca.ECA_NORMAL
    assert ca.pend_io(10) == ca.ECA_NORMAL
    data = np.arange(4_000_000, dtype="f8")
    write(chid, data)
    value = read(chid, use_numpy=True)
    ca.clear_channel(chid)
    ca.flush_io()
    assert value.dtype == np.dtype("f8")
    assert np.array_equal(value, data)


def test_four_million_doubles_in_every_way(connect: Connect) -> None:
    chid = connect("big")
    data = np.arange(4_000_000, dtype="f8")[::-1]
    write(chid, data)
    events: list[dict[str, Any]] = []
    ca.get(chid, ca.DBR_TIME_DOUBLE, None, events.append, True)
    status, evid = ca.create_subscription(chid, events.append, ca.DBR_CTRL_DOUBLE, 0, use_numpy=True)
    assert status == ca.ECA_NORMAL
    ca.flush_io()
    wait_for(lambda: len(events) == 2, 20)
    ca.clear_subscription(evid)
    for args in events:
        assert args["count"] == 4_000_000
        assert np.array_equal(args["value"]["value"], data)
    as_list = read(chid, ca.DBR_LONG)
    assert len(as_list) == 4_000_000
    assert as_list[:3] == [3_999_999, 3_999_998, 3_999_997]


def test_an_array_may_be_kept_and_written_to(connect: Connect) -> None:
    chid = connect("stream")
    data = np.arange(10_000, dtype="f8")
    write(chid, data)
    kept = [read(chid, use_numpy=True) for _ in range(20)]
    for number, array in enumerate(kept):
        if array.flags.writeable:
            array[:] = number
    if kept[0].flags.writeable:
        assert [array[0] for array in kept] == list(range(20))
    assert np.array_equal(read(chid, use_numpy=True), data)


def test_alarm_acknowledgement(connect: Connect) -> None:
    chid = connect("ack")
    write(chid, 0, ca.DBR_PUT_ACKT)
    assert read(chid, ca.DBR_STSACK_STRING)["ackt"] is False
    write(chid, 1, ca.DBR_PUT_ACKT)
    assert read(chid, ca.DBR_STSACK_STRING)["ackt"] is True
    write(chid, 30)
    write(chid, 0)
    value = read(chid, ca.DBR_STSACK_STRING)
    assert value["acks"] is ca.AlarmSeverity.Major
    assert value["severity"] is ca.AlarmSeverity.No
    write(chid, ca.AlarmSeverity.Major, ca.DBR_PUT_ACKS)
    assert read(chid, ca.DBR_STSACK_STRING)["acks"] is ca.AlarmSeverity.No


def test_a_monitor_follows(connect: Connect) -> None:
    chid = connect("plain")
    write(chid, 0)
    values: list[float] = []
    status, evid = ca.create_subscription(chid, lambda args: values.append(args["value"]))
    assert status is ca.ECA.NORMAL
    ca.flush_io()
    wait_for(lambda: values == [0.0])
    for number in range(1, 21):
        write(chid, number)
        wait_for(lambda number=number: values[-1] == number)
    assert values == list(map(float, range(21)))
    assert ca.clear_subscription(evid) is ca.ECA.NORMAL


@pytest.mark.parametrize(
    ("mask", "updates"),
    [
        (None, [0.0, 1.0, 15.0]),
        (ca.DBE_VALUE, [0.0, 1.0, 15.0]),
        (ca.DBE_ALARM, [0.0, 15.0]),
        (ca.DBE_LOG, [0.0, 1.0, 15.0]),
        (ca.DBE.VALUE | ca.DBE.ALARM, [0.0, 1.0, 15.0]),
        (ca.DBE_PROPERTY, [0.0]),
    ],
)
def test_mask(connect: Connect, mask: Any, updates: list[float]) -> None:
    chid = connect("catest")
    write(chid, 0)
    values: list[float] = []
    status, evid = ca.create_subscription(chid, lambda args: values.append(args["value"]), mask=mask)
    assert status == ca.ECA_NORMAL
    ca.flush_io()
    wait_for(lambda: values)
    write(chid, 1)
    write(chid, 15)
    # An update of another subscription that comes after those of this one shows that these are all.
    marker: list[Any] = []
    status, other = ca.create_subscription(chid, marker.append)
    ca.flush_io()
    wait_for(lambda: marker)
    wait_for(lambda: values == updates)
    ca.clear_subscription(evid)
    ca.clear_subscription(other)
    write(chid, 0)


@pytest.mark.parametrize("mask", [0, -1, 1 << 16])
def test_bad_mask(connect: Connect, mask: int) -> None:
    status, evid = ca.create_subscription(connect("catest"), lambda args: None, mask=mask)
    assert (status, evid) == (ca.ECA_BADMASK, None)


def test_property_change(connect: Connect) -> None:
    chid, units = connect("other"), connect("other.EGU")
    write(units, "a")
    seen: list[str] = []
    status, evid = ca.create_subscription(
        chid, lambda args: seen.append(args["value"]["units"]), ca.DBR_GR_DOUBLE, mask=ca.DBE_PROPERTY
    )
    assert status == ca.ECA_NORMAL
    ca.flush_io()
    wait_for(lambda: seen == ["a"])
    write(units, "b")
    wait_for(lambda: seen == ["a", "b"])
    ca.clear_subscription(evid)


def test_any_number_of_callbacks_in_flight(connect: Connect) -> None:
    chid = connect("calong")
    write(chid, 5)
    got: list[tuple[int, int]] = []

    def remember(number: int) -> Callable[[dict[str, Any]], None]:
        return lambda args: got.append((number, args["value"]))

    for number in range(500):
        assert ca.get(chid, callback=remember(number))[0] == ca.ECA_NORMAL
    ca.flush_io()
    wait_for(lambda: len(got) == 500)
    assert got == [(number, 5) for number in range(500)]


def test_two_subscriptions_of_one_channel(connect: Connect) -> None:
    chid = connect("plain")
    write(chid, 3)
    numbers: list[float] = []
    texts: list[str] = []
    _, first = ca.create_subscription(chid, lambda args: numbers.append(args["value"]))
    _, second = ca.create_subscription(chid, lambda args: texts.append(args["value"]), ca.DBR_STRING)
    ca.flush_io()
    wait_for(lambda: numbers == [3.0] and texts == ["3.000"])
    ca.clear_subscription(first)
    write(chid, 4)
    wait_for(lambda: texts == ["3.000", "4.000"])
    assert numbers == [3.0]
    ca.clear_subscription(second)
