"""Values that carry what came along: numbers, texts and arrays that may be used wherever these may."""

from __future__ import annotations

import asyncio
import copy
import datetime
import json
import pickle
import time
from typing import Any

import numpy as np
import pytest
from cachannel import PV, CaChannelException, CaChannelTimeout, ca, caget, caput
from cachannel.util import CaNothing
from cachannel.values import (
    FORMAT_CTRL,
    FORMAT_RAW,
    FORMAT_TIME,
    ArrayValue,
    BytesValue,
    FloatValue,
    IntValue,
    StrValue,
    Value,
)
from ioc import Ioc
from server_process import wait_for
from test_pv import MISSING, MakePV, pv, raised

__all__ = ["pv"]

LIMITS = [f"{end}_{kind}_limit" for end in ("upper", "lower") for kind in ("disp", "alarm", "warning", "ctrl")]
TIMES = ["timestamp", "raw_stamp", "datetime", "datetime64"]
NAMES = [
    "name",
    "ok",
    "datatype",
    "element_count",
    "severity",
    "status",
    *TIMES,
    "units",
    "precision",
    "enums",
    *LIMITS,
]

# The kinds of values: the PV, what is written to it, how it is read, and what that gives.
KINDS: dict[str, tuple[str, Any, dict[str, Any], type, type]] = {
    "float": ("catest", 2.5, {}, FloatValue, float),
    "int": ("calong", 7, {}, IntValue, int),
    "enum": ("cabo", 1, {}, IntValue, int),
    "state": ("cabo", 1, {"as_string": True}, StrValue, str),
    "str": ("castr", "hello", {}, StrValue, str),
    "text": ("cawavec", "text", {"as_string": True}, StrValue, str),
    "array": ("cawave", [1, 2, 3], {}, ArrayValue, np.ndarray),
    "texts": ("cawaves", ["one", "two"], {}, ArrayValue, np.ndarray),
    "chars": ("cawavec", "text", {}, ArrayValue, np.ndarray),
    "one of several": ("cawave", [1, 2, 3], {"count": 1}, FloatValue, float),
    "unprocessed": ("unprocessed", None, {}, FloatValue, float),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def value(kind: str, pv: MakePV) -> Any:
    name, written, options, _, _ = KINDS[kind]
    if written is not None:
        pv(name).put(written, wait=True)
    return pv(name).get(**options)


def known(value: Any) -> dict[str, Any]:
    """All that came along; what is no number as a text, which equals itself."""
    found = {name: getattr(value, name) for name in NAMES if hasattr(value, name)}
    return {name: repr(one) if one != one else one for name, one in found.items()}


def same(left: Any, right: Any) -> bool:
    return bool(np.array_equal(left, right))


def test_what_it_is(kind: str, value: Any) -> None:
    _, written, _, cls, plain = KINDS[kind]
    assert type(value) is cls
    assert isinstance(value, plain)
    assert isinstance(value, Value)
    assert type(+value) is plain
    assert same(+value, value)
    assert not isinstance(+value, Value)
    if kind not in ("state", "chars", "one of several", "unprocessed"):
        assert same(value, written)


def test_what_it_has(kind: str, value: Any, prefix: str) -> None:
    name = KINDS[kind][0]
    numbers = {"units", *LIMITS}
    has = {
        "float": numbers | {"precision"},
        "one of several": numbers | {"precision"},
        "unprocessed": numbers | {"precision"},
        "array": numbers | {"precision"},
        "int": numbers,
        "chars": numbers,
        "text": numbers,
        "enum": {"enums"},
        "state": {"enums"},
    }.get(kind, set())
    came = {"name", "ok", "datatype", "element_count", "severity", "status", *TIMES}
    assert set(known(value)) == came | has
    assert (value.name, value.ok) == (prefix + name, True)
    assert isinstance(value.datatype, ca.DBR)
    assert isinstance(value.severity, ca.AlarmSeverity)
    assert isinstance(value.status, ca.AlarmCondition)
    with pytest.raises(AttributeError, match=r"'no_such_thing'|no_such_thing"):
        _ = value.no_such_thing


def test_its_time(pv: MakePV) -> None:
    test = pv("catest")
    test.put(1, wait=True)
    value = test.get()
    assert abs(value.timestamp - time.time()) < 60
    seconds, nanoseconds = value.raw_stamp
    assert value.timestamp == pytest.approx(seconds + nanoseconds * 1e-9, abs=1e-6)
    assert value.datetime == datetime.datetime.fromtimestamp(value.timestamp)
    assert value.datetime64 == np.datetime64(seconds * 10**9 + nanoseconds, "ns")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles(value: Any, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(value, protocol))
    assert type(again) is type(value)
    assert same(again, value)
    assert known(again) == known(value)
    twice = pickle.loads(pickle.dumps(again, protocol))
    assert known(twice) == known(value)
    for one in (value, again):
        if not hasattr(one, "units"):
            with pytest.raises(AttributeError, match="the value came without units"):
                _ = one.units


def test_copies(value: Any) -> None:
    for again in (copy.copy(value), copy.deepcopy(value), copy.deepcopy([value])[0]):
        assert type(again) is type(value)
        assert same(again, value)
        assert known(again) == known(value)


def test_uses(kind: str, value: Any) -> None:
    plain = +value
    assert str(value) == str(plain)
    assert f"{value}" == f"{plain}"
    assert f"{value!s:>20}" == f"{plain!s:>20}"
    if isinstance(plain, np.ndarray):
        assert repr(value).startswith("ArrayValue([")
        raised(TypeError, hash, value)
        return
    assert repr(value) == repr(plain)
    assert hash(value) == hash(plain)
    assert {value: 1}[plain] == {plain: 1}[value] == 1
    assert json.loads(json.dumps({"value": value})) == {"value": plain}
    if not isinstance(plain, str):
        assert f"{value:8.3f}" == f"{plain:8.3f}"
        assert "%5.1f" % value == "%5.1f" % plain  # noqa: UP031
        assert type(value + 1) is type(plain + 1)
        assert (value + 1, -value, abs(value), value / 2, value < 5) == (
            plain + 1,
            -plain,
            abs(plain),
            plain / 2,
            plain < 5,
        )
        assert type(np.float64(1) * value) is np.float64
        assert [10, 20, 30, 40, 50, 60, 70, 80][int(value)] == (10, 20, 30, 40, 50, 60, 70, 80)[int(plain)]
    else:
        assert type(value.upper()) is str
        assert (value + "x", value[1:], value.encode()) == (plain + "x", plain[1:], plain.encode())


def test_arrays(pv: MakePV) -> None:
    wave = pv("wfDOUBLE")
    wave.put([1.5, 2.5, 3.5], wait=True)
    value = wave.get()
    assert (value.dtype, value.shape, value.base is not None) == (np.float64, (3,), True)
    for part in (value[1:], value[::2], value.copy(), value.reshape(3, 1), value[value > 2], value.astype(int)):
        assert isinstance(part, ArrayValue)
        assert (part.units, part.timestamp) == ("V", value.timestamp)
    for plain in (
        value + 1,
        2 * value,
        value > 2,
        -value,
        np.sqrt(value),
        value @ value,
        value.sum(),
        value.mean(),
        value.max(axis=0),
        value.cumsum(),
        np.concatenate([value, value]),
        np.stack([value, value]),
        np.diff(value),
        np.where(value > 2, value, 0),
        np.asarray(value),
        np.array(value),
        value[0],
    ):
        assert not isinstance(plain, Value), plain
    assert type(value[0]) is np.float64
    assert value.tolist() == [1.5, 2.5, 3.5]
    value += 1
    assert not isinstance(value, Value)


def test_an_array_is_not_copied(pv: MakePV) -> None:
    """Not even to get it from what libca has delivered; and what is written to it is seen by nobody else."""
    wave = pv("big")
    wave.put(np.arange(4_000_000.0), wait=True)
    got: list[Any] = []
    others: list[Any] = []
    with wave.subscribe(got.append), wave.subscribe(others.append):
        wait_for(lambda: got and others, 30)
    value = got[0]
    assert not value.flags.owndata
    assert value[-1] == 3_999_999
    value[:] = 0
    assert others[0][-1] == 3_999_999
    assert wave.get()[-1] == 3_999_999
    wave.put([], wait=True)


def test_values_made_by_hand() -> None:
    for cls, plain in ((FloatValue, 1.5), (IntValue, 2), (StrValue, "text"), (BytesValue, b"text")):
        value = cls(plain)
        assert (value, value.ok, type(+value)) == (plain, True, type(plain))
        assert not hasattr(value, "units")
        again = copy.deepcopy(pickle.loads(pickle.dumps(value)))
        assert (again, type(again)) == (plain, cls)


# caget with a format


def test_formats(pv: MakePV, prefix: str) -> None:
    names = [prefix + name for name in ("catest", "calong", "cabo", "castr", "cawave")]
    caput(names, [2.5, 7, 1, "hello", [1, 2]], wait=True)
    has_time = {FORMAT_RAW: set(), FORMAT_TIME: {"catest", "calong", "cabo", "castr", "cawave"}, FORMAT_CTRL: {"castr"}}
    for form, timed in has_time.items():
        values = caget(names, format=form)
        assert [type(value) for value in values] == [FloatValue, IntValue, IntValue, StrValue, ArrayValue]
        assert [value.name for value in values] == names
        assert [+value if value.ndim == 0 else value.tolist() for value in map(Plain, values)] == [
            2.5,
            7,
            1,
            "hello",
            [1, 2, 0, 0, 0],
        ]
        assert {value.name[len(prefix) :] for value in values if hasattr(value, "timestamp")} == timed
        assert all(hasattr(value, "severity") for value in values) is (form != FORMAT_RAW)
        assert [getattr(value, "units", None) for value in values] == (
            ["mm", "steps", None, None, "V"] if form == FORMAT_CTRL else [None] * 5
        )
        assert getattr(values[2], "enums", None) == (["Done", "Busy"] if form == FORMAT_CTRL else None)
        assert [type(caget(name, format=form)) for name in names] == [type(value) for value in values]
    caput(names[2], 0, wait=True)


class Plain:
    """Numbers with the dimensions that arrays have."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.ndim = getattr(value, "ndim", 0)

    def __pos__(self) -> Any:
        return +self.value

    def tolist(self) -> Any:
        return self.value.tolist()


@pytest.mark.parametrize("form", [FORMAT_RAW, FORMAT_TIME, FORMAT_CTRL])
def test_formats_as_string(prefix: str, form: int) -> None:
    names = [prefix + name for name in ("catest", "cabo", "gaps", "cawavec", "wfENUM", "catest.DESC$")]
    caput(names, [2.5, "Busy", 2, "text", [1, 0], "described"], wait=True)
    values = caget(names, as_string=True, format=form)
    assert values[:4] == [2.5, "Busy", "2", "text"]
    assert values[4].tolist() == ["1", "0", "0", "0", "0"]
    assert values[5] == "described"
    assert caget(names[5], format=form) == "described"
    assert caget([names[5], names[3]], format=form)[1].tolist() == [*b"text", 0]
    assert values[1].enums == ["Done", "Busy"]
    caput(names[1:3], 0, wait=True)


def test_a_format_and_the_count(prefix: str) -> None:
    name = prefix + "cawave"
    caput(name, [1, 2, 3], wait=True)
    assert caget(name, format=FORMAT_TIME).tolist() == [1, 2, 3, 0, 0]
    assert caget(name, count=0, format=FORMAT_TIME).tolist() == [1, 2, 3]
    assert caget(name, count=2, format=FORMAT_TIME).tolist() == [1, 2]
    assert caget(name, count=1, format=FORMAT_CTRL).units == "V"
    assert type(caget(name, count=1, format=FORMAT_CTRL)) is FloatValue


def test_a_format_that_fails(prefix: str) -> None:
    error = raised(CaChannelTimeout, caget, MISSING, timeout=0.1, format=FORMAT_TIME)
    assert error.pvname == MISSING
    names = [MISSING, prefix + "catest", prefix + "hidden"]
    values = caget(names, timeout=0.3, throw=False, format=FORMAT_TIME)
    assert [type(value) for value in values] == [CaNothing, FloatValue, CaNothing]
    assert [value.ok for value in values] == [False, True, False]
    assert [value.status for value in values[::2]] == [ca.ECA.TIMEOUT, ca.ECA.NORDACCESS]
    assert raised(CaChannelException, caget, names[2], format=FORMAT_RAW).status is ca.ECA.NORDACCESS
    for wrong in (3, -1, "time", 1.5):
        raised(ValueError, caget, names[1], format=wrong)
    assert caget([], format=FORMAT_TIME) == []
    assert caget([MISSING], throw=False, timeout=0.1, format=FORMAT_TIME)[0].status is ca.ECA.TIMEOUT


def test_a_format_and_a_server_that_has_stopped(own_ioc: Ioc) -> None:
    names = [own_ioc.prefix + "catest", own_ioc.prefix + "calong"]
    assert caget(names, format=FORMAT_TIME) == [0, 5]
    own_ioc.pause()
    began = time.monotonic()
    error = raised(CaChannelTimeout, caget, names, timeout=0.2, format=FORMAT_TIME)
    assert (error.pvname, time.monotonic() - began < 2) == (names[0], True)
    values = caget(names, timeout=0.2, throw=False, format=FORMAT_CTRL)
    assert [value.status for value in values] == [ca.ECA.TIMEOUT] * 2
    own_ioc.resume()
    assert caget(names, format=FORMAT_TIME, timeout=20) == [0, 5]


def test_a_format_in_a_callback(prefix: str, pv: MakePV) -> None:
    got: list[Any] = []
    test = pv("catest")
    with test.subscribe(
        lambda value: got.append(caget([prefix + "calong", prefix + "cabo"], True, format=FORMAT_TIME))
    ):
        wait_for(lambda: got)
    assert [type(value) for value in got[0]] == [IntValue, StrValue]


def test_one_type_for_all(prefix: str) -> None:
    """PV, caget and aio."""
    from cachannel import aio

    name = prefix + "catest"

    async def read() -> list[Any]:
        async with aio.PV(name) as test:
            return [await aio.caget(name, format=aio.FORMAT_CTRL), await test.get()]

    values = [PV(name, timeout=10).get(), caget(name, format=FORMAT_CTRL), *asyncio.run(read())]
    assert {type(value) for value in values} == {FloatValue}
    assert {value.units for value in values} == {"mm"}
