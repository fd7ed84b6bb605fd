"""Writing with the ``ca`` module: what is accepted, what is sent for it, and that nothing else is ever sent."""

from __future__ import annotations

import array
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from cachannel import CaChannel, CaChannelException, CaChannelTypeError, CaChannelValueError, ca
from helpers import Connect, read, write
from server_process import wait_for

NUMERIC = ["CHAR", "SHORT", "LONG", "FLOAT", "DOUBLE", "ENUM"]
RANGES = {"CHAR": (-128, 255), "SHORT": (-(2**15), 2**15 - 1), "LONG": (-(2**31), 2**31 - 1), "ENUM": (0, 2**16 - 1)}


@pytest.mark.parametrize("kind", NUMERIC)
@pytest.mark.parametrize("value", [0, 1, 7, True, 3.0, np.float32(2), np.int64(9), np.uint8(9), np.bool_(True)])
def test_a_number(connect: Connect, kind: str, value: Any) -> None:
    chid = connect(f"one{kind}")
    write(chid, value)
    assert read(chid) == int(value)


@pytest.mark.parametrize("kind", RANGES)
def test_the_ends_of_the_range(connect: Connect, kind: str) -> None:
    chid = connect(f"one{kind}")
    for value in RANGES[kind]:
        write(chid, value)
        assert read(chid) == (value % 256 if kind == "CHAR" else value)


WRAPS = [int, float, lambda value: [value], lambda value: np.array([value])]


@pytest.mark.parametrize(
    ("kind", "wrap"),
    [(kind, wrap) for kind in RANGES for wrap in WRAPS]
    # Text to ENUM is the name of a state.
    + [("SHORT", str), ("LONG", str), ("CHAR", str)],
)
@pytest.mark.parametrize("beyond", [0, 1])
def test_outside_the_range(connect: Connect, kind: str, beyond: int, wrap: Any) -> None:
    chid = connect(f"one{kind}")
    write(chid, 5)
    value = RANGES[kind][beyond] + (1 if beyond else -1)
    with pytest.raises(CaChannelValueError):
        ca.put(chid, wrap(value))
    assert read(chid) == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("oneCHAR", 300),
        ("oneCHAR", -129),
        ("oneSHORT", 70000),
        ("oneLONG", 2**40),
        ("oneLONG", 10**30),
        ("oneDOUBLE", 10**400),
        ("oneENUM", -1),
        ("wfCHAR", [1, 2, 300]),
        ("wfSHORT", [70000]),
        ("wfLONG", [0, 2**40]),
        ("wfLONG", np.array([1, 2**40])),
        ("wfSHORT", np.array([1.0, 1e9])),
        ("wfCHAR", np.array([1, -129], dtype="i2")),
    ],
)
def test_the_range_as_the_issue_lists_it(connect: Connect, prefix: str, name: str, value: Any) -> None:
    chid = connect(name)
    write(chid, 1)
    before = read(chid)
    with pytest.raises(CaChannelValueError) as caught:
        ca.put(chid, value)
    assert caught.value.pvname == prefix + name
    assert prefix + name in str(caught.value)
    assert read(chid) == before


@pytest.mark.parametrize("kind", ["CHAR", "SHORT", "LONG", "ENUM"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "wrap", [lambda value: value, lambda value: [1, value], np.float64, lambda v: np.array([1, v])]
)
def test_nan_and_inf_to_an_integer_type(connect: Connect, kind: str, value: float, wrap: Any) -> None:
    chid = connect(f"wf{kind}")
    write(chid, [4, 5])
    with pytest.raises(CaChannelValueError):
        ca.put(chid, wrap(value))
    assert read(chid, None, 2) == [4, 5]


@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_inf_to_a_float_type(connect: Connect, kind: str, value: float) -> None:
    chid = connect(f"one{kind}")
    write(chid, value)
    assert repr(read(chid)) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        [1, "x", 3],
        (1, None, 3),
        [1, [2], 3],
        [1, object()],
        [1, {}],
        [1, 2j],
        ["1", "2", "three"],
        [b"x"],
        [[1, 2], [3]],
    ],
)
@pytest.mark.parametrize("kind", ["SHORT", "FLOAT", "ENUM", "CHAR", "LONG", "DOUBLE"])
def test_an_item_that_does_not_convert(connect: Connect, prefix: str, kind: str, value: Any) -> None:
    chid = connect(f"wf{kind}")
    write(chid, [4, 5])
    if kind == "ENUM" and all(isinstance(item, (str, bytes)) for item in value):
        # Text to ENUM is looked up by the server, which knows none of it.
        assert ca.put(chid, value) is ca.ECA.NORMAL
        assert read(chid, None, 2) == [4, 5]
        return
    with pytest.raises(CaChannelException) as caught:
        ca.put(chid, value)
    assert isinstance(caught.value, (CaChannelValueError, CaChannelTypeError))
    assert prefix + f"wf{kind}" in str(caught.value)
    assert read(chid, None, 2) == [4, 5]


@pytest.mark.parametrize("value", [None, object(), {}, {1, 2}, 2j, lambda: 1, [None]])
@pytest.mark.parametrize("name", ["catest", "calong", "cabo", "oneCHAR", "wfDOUBLE"])
def test_what_is_no_value(connect: Connect, prefix: str, name: str, value: Any) -> None:
    chid = connect(name)
    write(chid, 1)
    before = read(chid)
    with pytest.raises(CaChannelTypeError) as caught:
        ca.put(chid, value)
    assert caught.value.pvname == prefix + name
    assert read(chid) == before


@pytest.mark.parametrize("text", ["x", "", " ", "1.2.3", "0x", "1,5", "1_000", "0x1_0", "1e999", b"x", b"\xff", "\0"])
@pytest.mark.parametrize("kind", ["SHORT", "LONG", "FLOAT", "DOUBLE"])
def test_text_that_is_no_number(connect: Connect, prefix: str, kind: str, text: Any) -> None:
    chid = connect(f"one{kind}")
    write(chid, 5)
    with pytest.raises(CaChannelValueError) as caught:
        ca.put(chid, text)
    assert prefix + f"one{kind}" in str(caught.value)
    assert read(chid) == 5


@pytest.mark.parametrize("text", ["12", "12.0", "1.2e1", b"12", " 12 ", "0xC", "0XC", "012", "+12", "12\0\0"])
@pytest.mark.parametrize("kind", ["SHORT", "LONG", "FLOAT", "DOUBLE"])
def test_text_that_is_a_number(connect: Connect, kind: str, text: Any) -> None:
    chid = connect(f"one{kind}")
    write(chid, text)
    assert read(chid) == 12


def test_text_items(connect: Connect) -> None:
    chid = connect("wfDOUBLE")
    write(chid, ["1.5", b"2.5", 3])
    assert read(chid, None, 3) == [1.5, 2.5, 3.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("abc", [97, 98, 99, 0, 0]), (b"abc", [97, 98, 99, 0, 0]), ("é", [195, 169, 0, 0, 0]), ("", [0, 0, 0, 0, 0])],
)
def test_text_to_char_is_its_bytes_and_a_zero(connect: Connect, text: Any, expected: list[int]) -> None:
    chid = connect("wfCHAR")
    write(chid, [1, 2, 3, 4, 5])
    write(chid, text)
    length = len(text.encode() if isinstance(text, str) else text) + 1
    assert np.atleast_1d(read(chid, None, 0)).tolist() == expected[:length]
    assert read(chid) == expected


def test_text_to_char_is_cut_to_the_channel(connect: Connect) -> None:
    chid = connect("wfCHAR")
    write(chid, "123456789")
    assert read(chid) == [49, 50, 51, 52, 53]


def test_long_text_to_char(connect: Connect) -> None:
    chid = connect("text")
    text = "a long text, longer than the 40 bytes of a DBR_STRING " * 20
    write(chid, text)
    assert bytes(read(chid, None, 0, use_numpy=True)).rstrip(b"\0").decode() == text


@pytest.mark.parametrize(("text", "expected"), [("Busy", 1), ("Done", 0), (b"Busy", 1), ("1", 1)])
def test_text_to_enum_is_a_state(connect: Connect, text: Any, expected: int) -> None:
    chid = connect("cabo")
    write(chid, 1 - expected)
    write(chid, text)
    assert read(chid) == expected


def test_sixteen_states(connect: Connect) -> None:
    chid = connect("states")
    states = read(chid, ca.DBR_GR_ENUM)["strs"]
    assert len(states) == 16
    for number, state in enumerate(states):
        write(chid, state)
        assert read(chid) == number
        assert read(chid, ca.DBR_STRING) == state


def test_a_bad_state_is_refused_by_the_server(connect: Connect) -> None:
    chid = connect("cabo")
    write(chid, 1)
    done: list[dict[str, Any]] = []
    assert ca.put(chid, "Nonsense", callback=done.append) is ca.ECA.NORMAL
    ca.flush_io()
    wait_for(lambda: done)
    assert done[0]["status"] is ca.ECA.PUTFAIL
    assert read(chid) == 1


TOO_LONG = ["x" * 40, b"x" * 40, "x" * 1000, "é" * 20]


@pytest.mark.parametrize(
    ("name", "text"),
    [(name, text) for name in ("castr", "oneSTRING", "wfSTRING") for text in TOO_LONG]
    + [("wfSTRING", ["ok", "x" * 40])],
)
def test_a_string_of_40_bytes_or_more(connect: Connect, prefix: str, name: str, text: Any) -> None:
    chid = connect(name)
    write(chid, "before")
    before = read(chid)
    with pytest.raises(CaChannelValueError) as caught:
        ca.put(chid, text)
    assert caught.value.status is ca.ECA.STRTOBIG
    assert int(caught.value) == ca.ECA_STRTOBIG
    assert caught.value.pvname == prefix + name
    assert read(chid) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [(name, text) for name in ("castr", "wfSTRING", "cabo") for text in ("a\0b", b"a\0b", "\0b")]
    + [("wfSTRING", ["ok", "a\0b"]), ("cabo", "\0"), ("cabo", "")],
)
def test_an_embedded_nul(connect: Connect, name: str, text: Any) -> None:
    chid = connect(name)
    write(chid, 1 if name == "cabo" else "before")
    before = read(chid)
    with pytest.raises(CaChannelValueError):
        ca.put(chid, text)
    assert read(chid) == before


def test_strings(connect: Connect) -> None:
    chid = connect("wfSTRING")
    write(chid, ["one", b"two", "", "x" * 39])
    assert read(chid) == ["one", "two", "", "x" * 39, ""]
    write(connect("castr"), b"bytes")
    assert read(connect("castr")) == "bytes"
    write(connect("castr"), "hello")


@pytest.mark.parametrize(("value", "text"), [(5, "5"), (1.5, "1.5"), (True, "1")])
def test_a_number_to_string(connect: Connect, value: Any, text: str) -> None:
    chid = connect("note")
    try:
        status = ca.put(chid, value)
    except CaChannelException:
        return  # to refuse is as good as to write the text
    assert status == ca.ECA_NORMAL
    assert read(chid) in (text, str(value))


@pytest.mark.parametrize("value", [[], (), np.array([]), np.zeros((0, 3)), array.array("d"), range(0)])
@pytest.mark.parametrize("name", ["wfDOUBLE", "wfCHAR", "wfLONG", "wfSTRING", "wfENUM"])
@pytest.mark.parametrize("wait", [True, False])
def test_an_empty_sequence_empties_an_array(connect: Connect, name: str, value: Any, wait: bool) -> None:
    chid, number = connect(name), connect(f"{name}.NORD")
    write(chid, "1" if "STRING" in name else 1)
    assert read(number) == 1
    if wait:
        write(chid, value)
    else:
        assert ca.put(chid, value) is ca.ECA.NORMAL
    assert read(number) == 0


@pytest.mark.parametrize("value", [[], (), np.array([]), array.array("d"), range(0)])
@pytest.mark.parametrize("name", ["catest", "calong", "cabo", "castr", "oneCHAR"])
def test_an_empty_sequence_to_one_element(connect: Connect, name: str, value: Any) -> None:
    chid = connect(name)
    write(chid, "1" if name == "castr" else 1)
    before = read(chid)
    assert ca.put(chid, value) is ca.ECA.BADCOUNT
    assert ca.put(chid, value, callback=lambda args: None) is ca.ECA.BADCOUNT
    assert read(chid) == before


def test_count_0(connect: Connect) -> None:
    chid = connect("wfDOUBLE")
    write(chid, [1.0, 2.0])
    assert ca.put(chid, [5.0, 6.0], None, 0) is ca.ECA.BADCOUNT
    assert read(chid, None, 2) == [1.0, 2.0]


READ_ONLY_TYPES = [dbr for dbr in range(7, 39) if dbr not in (ca.DBR_PUT_ACKT, ca.DBR_PUT_ACKS)]


@pytest.mark.parametrize("chtype", [*READ_ONLY_TYPES, 39, -1, 1000])
def test_a_type_that_cannot_be_written(connect: Connect, chtype: int) -> None:
    chid = connect("catest")
    write(chid, 1)
    assert ca.put(chid, 2, chtype) is ca.ECA.BADTYPE
    assert ca.put(chid, 2, chtype, None, lambda args: None) is ca.ECA.BADTYPE
    assert read(chid) == 1.0


WRITABLE = {
    "STRING": ("2", "2"),
    "SHORT": (2, 2),
    "FLOAT": (2.0, 2.0),
    "ENUM": (2, 2),
    "CHAR": (2, 2),
    "LONG": (2, 2),
    "DOUBLE": (2.0, 2.0),
}


@pytest.mark.parametrize("chtype", WRITABLE)
@pytest.mark.parametrize("name", ["plain", "count", "note", "oneCHAR", "oneSHORT", "oneFLOAT", "states"])
def test_every_type_to_every_kind_of_record(connect: Connect, name: str, chtype: str) -> None:
    chid = connect(name)
    reset = "0" if name == "note" else 0
    write(chid, reset)
    done: list[dict[str, Any]] = []
    value, _ = WRITABLE[chtype]
    if name == "states" and chtype == "STRING":
        value = "two"
    assert ca.put(chid, value, ca.DBR[chtype], None, done.append) is ca.ECA.NORMAL
    ca.flush_io()
    wait_for(lambda: done)
    assert set(done[0]) == {"chid", "type", "count", "status"}
    assert done[0]["status"] is ca.ECA.NORMAL
    assert done[0]["type"] is ca.DBR[chtype]
    assert done[0]["count"] == 1
    assert ca.name(done[0]["chid"]) == ca.name(chid)
    now = read(chid)
    assert float(now) == 2.0
    # The same without a callback.
    write(chid, reset)
    assert ca.put(chid, value, ca.DBR[chtype]) is ca.ECA.NORMAL
    assert read(chid) == now


@pytest.mark.parametrize("chtype", WRITABLE)
@pytest.mark.parametrize("kind", ["CHAR", "UCHAR", "SHORT", "USHORT", "LONG", "ULONG", "INT64", "FLOAT", "DOUBLE"])
def test_every_type_to_every_kind_of_waveform(connect: Connect, kind: str, chtype: str) -> None:
    chid = connect(f"wf{kind}")
    write(chid, [0, 0, 0, 0, 0])
    values = ["1", "2", "3"] if chtype == "STRING" else [1, 2, 3]
    done: list[dict[str, Any]] = []
    assert ca.put(chid, values, ca.DBR[chtype], None, done.append) is ca.ECA.NORMAL
    ca.flush_io()
    wait_for(lambda: done)
    assert (done[0]["type"], done[0]["count"], done[0]["status"]) == (ca.DBR[chtype], 3, ca.ECA_NORMAL)
    assert read(chid, None, 0) == [1, 2, 3]


def test_a_string_type_takes_numbers_of_the_text(connect: Connect) -> None:
    chid = connect("catest")
    write(chid, "7.25", ca.DBR_STRING)
    assert read(chid) == 7.25
    write(chid, "7.5")
    assert read(chid) == 7.5


@pytest.mark.parametrize(
    "value",
    [
        [1, 2, 3],
        (1, 2, 3),
        range(1, 4),
        array.array("i", [1, 2, 3]),
        array.array("d", [1, 2, 3]),
        memoryview(array.array("h", [1, 2, 3])),
        np.array([1, 2, 3]),
        [np.float64(1), np.int8(2), True + 2],
    ],
)
@pytest.mark.parametrize("kind", ["DOUBLE", "LONG", "SHORT", "FLOAT", "ENUM"])
def test_sequences(connect: Connect, kind: str, value: Any) -> None:
    chid = connect(f"wf{kind}")
    write(chid, [9, 9, 9, 9, 9])
    write(chid, value)
    assert read(chid, None, 0) == [1, 2, 3]


def test_cut_to_the_channel(connect: Connect) -> None:
    chid = connect("wfDOUBLE")
    done: list[dict[str, Any]] = []
    ca.put(chid, list(range(20)), callback=done.append)
    ca.flush_io()
    wait_for(lambda: done)
    assert done[0]["count"] == 5
    assert read(chid) == [0.0, 1.0, 2.0, 3.0, 4.0]
    scalar = connect("catest")
    write(scalar, [3, 4, 5])
    assert read(scalar) == 3.0


@pytest.mark.parametrize(("count", "sent"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 3), (None, 3)])
@pytest.mark.parametrize("value", [[1, 2, 3], np.array([1, 2, 3]), np.array([1.0, 2.0, 3.0])])
def test_count(connect: Connect, count: int | None, sent: int, value: Any) -> None:
    chid = connect("wfDOUBLE")
    write(chid, [9, 9, 9, 9, 9])
    done: list[dict[str, Any]] = []
    ca.put(chid, value, None, count, done.append)
    ca.flush_io()
    wait_for(lambda: done)
    assert done[0]["count"] == sent
    assert np.atleast_1d(read(chid, None, 0)).tolist() == [1.0, 2.0, 3.0][:sent]


@pytest.mark.parametrize("count", [6, 100, 2**40])
@pytest.mark.parametrize("value", [[1, 2, 3], np.array([1.0, 2.0]), 3])
def test_a_count_beyond_the_channel(connect: Connect, prefix: str, count: int, value: Any) -> None:
    chid = connect("wfDOUBLE")
    write(chid, [9, 9])
    with CaChannel(prefix + "wfDOUBLE") as channel, pytest.raises(CaChannelException, match="holds 5") as caught:
        channel.array_put(value, None, count)
    assert caught.value.status is ca.ECA.BADCOUNT
    assert read(chid, None, 0) == [9.0, 9.0]
    # Module ca takes the PV's count, as that of 3.2.0 does.
    write(chid, value, None, count)
    assert np.atleast_1d(read(chid, None, 0)).tolist() == np.atleast_1d(value).tolist()


def test_what_is_cut_off_is_not_looked_at(connect: Connect) -> None:
    chid, scalar = connect("wfDOUBLE"), connect("castr")
    write(chid, [1, 2, "x"], None, 2)
    assert read(chid, None, 0) == [1.0, 2.0]
    write(chid, [1, 2, 3, 4, 5, "x"])
    assert read(chid) == [1.0, 2.0, 3.0, 4.0, 5.0]
    write(scalar, ["ok", "x" * 40])
    assert read(scalar) == "ok"


def test_the_message_names_the_pv_and_the_value(connect: Connect, prefix: str) -> None:
    chid = connect("calong")
    with pytest.raises(CaChannelValueError) as caught:
        ca.put(chid, "no number")
    text = str(caught.value)
    assert prefix + "calong" in text
    assert "no number" in text
    with pytest.raises(CaChannelValueError) as caught:
        ca.put(connect("oneSHORT"), 70000)
    text = str(caught.value)
    assert "70000" in text
    assert "32767" in text  # what would do
    with pytest.raises(CaChannelValueError) as caught:
        ca.put(connect("wfLONG"), [1, "xyz", 3])
    assert "xyz" in str(caught.value)


def test_a_huge_bad_value_makes_no_huge_message(connect: Connect) -> None:
    with pytest.raises(CaChannelException) as caught:
        ca.put(connect("big"), ["x"] * 1_000_000)
    assert len(str(caught.value)) < 1000
    with pytest.raises(CaChannelException) as caught:
        ca.put(connect("castr"), "y" * 1_000_000)
    assert len(str(caught.value)) < 1000


def test_exceptions_are_what_they_look_like(connect: Connect) -> None:
    chid = connect("calong")
    with pytest.raises(ValueError, match="calong"):
        ca.put(chid, "x")
    with pytest.raises(TypeError, match="calong"):
        ca.put(chid, None)
    assert issubclass(CaChannelValueError, CaChannelException)
    assert issubclass(CaChannelTypeError, CaChannelException)


class Mine(Sequence[int]):
    """A sequence of one's own."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: Any) -> Any:
        if index >= 3:
            raise IndexError(index)
        return index + 1


class Number:
    """A number of one's own."""

    def __float__(self) -> float:
        return 4.0

    def __index__(self) -> int:
        return 4


class Failing:
    """Raises where it is asked for its value."""

    def __float__(self) -> float:
        raise ZeroDivisionError("from __float__")

    def __index__(self) -> int:
        raise ZeroDivisionError("from __index__")


@pytest.mark.parametrize("kind", ["DOUBLE", "LONG"])
def test_objects_that_convert(connect: Connect, kind: str) -> None:
    chid = connect(f"wf{kind}")
    write(chid, Mine())
    assert read(chid, None, 0) == [1, 2, 3]
    write(chid, [Number(), Number()])
    assert read(chid, None, 0) == [4, 4]


@pytest.mark.parametrize("kind", ["DOUBLE", "LONG"])
@pytest.mark.parametrize("value", [Failing(), [1, Failing(), 3]])
def test_an_object_that_fails_to_convert(connect: Connect, kind: str, value: Any) -> None:
    chid = connect(f"wf{kind}")
    write(chid, [4, 5])
    with pytest.raises(ZeroDivisionError):
        ca.put(chid, value)
    assert read(chid, None, 0) == [4, 5]


class Shrinking(list):  # type: ignore[type-arg]
    """A list whose items make it shorter while it is read."""

    def __init__(self) -> None:
        super().__init__()
        outer = self

        class Item:
            def __float__(self) -> float:
                outer.clear()
                return 1.0

            def __index__(self) -> int:
                outer.clear()
                return 1

        self.extend(Item() for _ in range(5))


@pytest.mark.parametrize("kind", ["DOUBLE", "LONG"])
def test_a_sequence_that_changes_while_it_is_read(connect: Connect, kind: str) -> None:
    chid = connect(f"wf{kind}")
    write(chid, [4, 5])
    try:
        status = ca.put(chid, Shrinking())
    except Exception:
        assert read(chid, None, 0) == [4, 5]
    else:
        assert status in (ca.ECA_NORMAL, ca.ECA_BADCOUNT)
        assert set(np.atleast_1d(read(chid, None, 0)).tolist()) <= {1.0, 4.0, 5.0}


def test_four_million_doubles(connect: Connect) -> None:
    chid = connect("big")
    data = np.random.default_rng(1).random(4_000_000)
    write(chid, data)
    assert np.array_equal(read(chid, use_numpy=True), data)
    write(chid, data[::-1].tolist())
    assert np.array_equal(read(chid, use_numpy=True), data[::-1])


def test_more_than_libca_takes(connect: Connect) -> None:
    # 160 MB as strings, where EPICS_CA_MAX_ARRAY_BYTES is 100 MB: refused, by a libca that keeps to it.
    chid, other = connect("big"), connect("calong")
    write(other, 5)
    status, value = ca.get(chid, ca.DBR_STRING)
    if status == ca.ECA_NORMAL:
        assert ca.pend_io(20) in (ca.ECA_NORMAL, ca.ECA_TOLARGE)
    else:
        assert (status, value) == (ca.ECA_TOLARGE, None)
    assert read(other) == 5


def test_many_puts_in_flight(connect: Connect) -> None:
    chids = [connect("plain"), connect("other"), connect("count")]
    done: list[dict[str, Any]] = []
    for number in range(300):
        assert ca.put(chids[number % 3], number, callback=done.append) == ca.ECA_NORMAL
    ca.flush_io()
    wait_for(lambda: len(done) == 300)
    assert {args["status"] for args in done} == {ca.ECA_NORMAL}
    assert [read(chid) for chid in chids] == [297, 298, 299]


def test_the_callback_comes_when_the_processing_is_over(connect: Connect) -> None:
    slow, finished = connect("slow"), connect("slow:done")
    write(finished, 0)
    done: list[int] = []
    ca.put(slow, 1, callback=lambda args: done.append(read(finished)))
    ca.flush_io()
    assert read(finished) == 0
    assert done == []
    wait_for(lambda: done)
    assert done == [1]
    write(finished, 0)
