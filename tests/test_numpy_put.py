"""Writing numpy arrays: any dtype, byte order, shape and layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cachannel import CaChannelException, CaChannelTypeError, CaChannelValueError, ca
from helpers import Connect, read, write

DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "g"]
ORDERS = ["<", ">", "="]
KINDS = ["CHAR", "UCHAR", "SHORT", "USHORT", "LONG", "ULONG", "INT64", "FLOAT", "DOUBLE", "ENUM"]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_dtype(connect: Connect, kind: str, dtype: str, order: str) -> None:
    chid = connect(f"wf{kind}")
    data = np.array([1, 0, 1, 1, 0] if dtype == "?" else [1, 2, 100, 0, 5]).astype(dtype).astype(order + dtype)
    write(chid, data)
    assert read(chid) == data.tolist()


LAYOUTS = {
    "contiguous": lambda a: a,
    "step": lambda a: np.repeat(a, 3)[::3],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype),
    "broadcast column": lambda a: np.broadcast_to(a[:, None], (5, 7))[:, 3],
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(a.dtype),
    "field of a record": lambda a: np.rec.fromarrays([np.zeros(5, "u1"), a], names="pad,data")["data"],
    "masked without a mask": lambda a: np.ma.array(a).data,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f8", ">f8", "f4", "i4", ">i4", "i2", "u1", "u2", "i8"])
@pytest.mark.parametrize("kind", ["DOUBLE", "LONG", "SHORT", "CHAR"])
def test_layout(connect: Connect, kind: str, dtype: str, layout: str) -> None:
    chid = connect(f"wf{kind}")
    data = LAYOUTS[layout](np.array([1, 2, 100, 0, 5]).astype(dtype))
    write(chid, data)
    assert read(chid) == [1, 2, 100, 0, 5]


SHAPES = {
    "0-d": (np.array(7), [7]),
    "row": (np.array([[1, 2, 3]]), [1, 2, 3]),
    "column": (np.array([[1], [2], [3]]), [1, 2, 3]),
    "matrix": (np.array([[1, 2], [3, 4]]), [1, 2, 3, 4]),
    "transposed": (np.array([[1, 3], [2, 4]]).T, [1, 2, 3, 4]),
    "Fortran order": (np.asfortranarray([[1, 2], [3, 4]]), [1, 2, 3, 4]),
    "part": (np.arange(100).reshape(10, 10)[2:4, 3:5], [23, 24, 33, 34]),
    "three dimensions": (np.arange(4).reshape(1, 2, 2), [0, 1, 2, 3]),
    "list of arrays": ([np.int8(1), np.float32(2), np.uint64(3)], [1, 2, 3]),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["i8", "f8", "i4", ">f4", "u1"])
@pytest.mark.parametrize("kind", ["DOUBLE", "LONG", "CHAR"])
def test_shape(connect: Connect, kind: str, dtype: str, shape: str) -> None:
    chid = connect(f"wf{kind}")
    value, expected = SHAPES[shape]
    if isinstance(value, np.ndarray):
        value = value.astype(dtype, order="K")
    write(chid, value)
    assert np.atleast_1d(read(chid, None, 0)).tolist() == expected


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f8", ">f8", "f4", "i8"])
def test_a_large_matrix_is_sent_flat_in_c_order(connect: Connect, dtype: str, order: Any) -> None:
    chid = connect("stream")
    data = np.arange(10_000).reshape(100, 100).astype(dtype, order=order)
    write(chid, data)
    assert np.array_equal(read(chid, use_numpy=True), np.arange(10_000.0))
    write(chid, data.T)
    assert np.array_equal(read(chid, use_numpy=True), np.arange(10_000.0).reshape(100, 100).T.ravel())


def test_chars_that_are_signed_or_not(connect: Connect) -> None:
    chid = connect("wfCHAR")
    write(chid, np.array([-128, -1, 0, 1, 127], "i1"))
    assert read(chid) == [128, 255, 0, 1, 127]
    write(chid, np.array([0, 127, 128, 200, 255], "u1"))
    assert read(chid) == [0, 127, 128, 200, 255]
    write(chid, np.array([-128, -1, 0, 128, 255], "i8"))
    assert read(chid) == [128, 255, 0, 128, 255]


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("CHAR", np.array([1, 256])),
        ("CHAR", np.array([1, -129], ">i2")),
        ("CHAR", np.array([1, 1000], "f4")),
        ("SHORT", np.array([1, 32768])),
        ("SHORT", np.array([1, 65535], "u2")),
        ("SHORT", np.array([1, -32769], "f8")),
        ("LONG", np.array([1, 2**31])),
        ("LONG", np.array([1, 2**31], "u4")),
        ("LONG", np.array([1, 2**63], "u8")),
        ("LONG", np.array([1, 1e30])),
        ("LONG", np.array([1, np.nan])),
        ("SHORT", np.array([1, np.inf], "f2")),
        ("ENUM", np.array([1, -1])),
        ("ENUM", np.array([1, 65536])),
        ("LONG", np.array([[1, 2], [3, 2**40]]).T),
    ],
)
def test_out_of_range(connect: Connect, prefix: str, kind: str, bad: Any) -> None:
    chid = connect(f"wf{kind}")
    write(chid, [4, 5])
    with pytest.raises(CaChannelValueError) as caught:
        ca.put(chid, bad)
    assert caught.value.pvname == f"{prefix}wf{kind}"
    assert read(chid, None, 0) == [4, 5]


@pytest.mark.parametrize(
    "bad",
    [
        np.array([1j, 2]),
        np.array(["2020-01-01"], "M8[D]"),
        np.array([1], "m8[s]"),
        np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
        np.array([object(), None]),
        np.array([1, None, 3]),
        np.array([b"\1\2"], "V2"),
    ],
    ids=["complex", "datetime", "timedelta", "record", "objects", "None among numbers", "void"],
)
@pytest.mark.parametrize("kind", ["DOUBLE", "LONG", "CHAR", "ENUM"])
def test_a_dtype_that_does_not_convert(connect: Connect, kind: str, bad: Any) -> None:
    chid = connect(f"wf{kind}")
    write(chid, [4, 5])
    with pytest.raises((CaChannelTypeError, CaChannelValueError)):
        ca.put(chid, bad)
    assert read(chid, None, 0) == [4, 5]


@pytest.mark.parametrize(
    "data",
    [
        np.array(["one", "two", "drei"]),
        np.array(["one", "two", "drei"], ">U5"),
        np.array([b"one", b"two", b"drei"]),
        np.array(["one", "two", "drei"], object),
        np.array(["one", "-", "two", "-", "drei"])[::2],
        np.array([["one"], ["two"], ["drei"]]),
    ],
)
def test_strings(connect: Connect, data: Any) -> None:
    chid = connect("wfSTRING")
    write(chid, ["", "", "", "", ""])
    write(chid, data)
    assert read(chid, None, 0) == ["one", "two", "drei"]


@pytest.mark.parametrize("data", [np.array(["x" * 40]), np.array([b"x" * 40]), np.array(["ok", "x" * 50])])
def test_strings_that_are_too_long(connect: Connect, data: Any) -> None:
    chid = connect("wfSTRING")
    write(chid, ["before", "it"])
    with pytest.raises(CaChannelValueError) as caught:
        ca.put(chid, data)
    assert caught.value.status is ca.ECA.STRTOBIG
    assert read(chid, None, 0) == ["before", "it"]


def test_numbers_as_text(connect: Connect) -> None:
    chid = connect("wfDOUBLE")
    write(chid, np.array(["1.5", "2.5"]))
    assert read(chid, None, 0) == [1.5, 2.5]
    with pytest.raises(CaChannelValueError):
        ca.put(chid, np.array(["1.5", "x"]))
    assert read(chid, None, 0) == [1.5, 2.5]


def test_objects(connect: Connect) -> None:
    chid = connect("wfDOUBLE")
    write(chid, np.array([1, 2.5, "3"], object))
    assert read(chid, None, 0) == [1.0, 2.5, 3.0]


@pytest.mark.parametrize(
    "scalar", [np.float64(2), np.float32(2), np.int8(2), np.uint64(2), np.bool_(True), np.array(2)]
)
@pytest.mark.parametrize("name", ["catest", "calong", "cabo", "oneCHAR", "oneSHORT", "oneFLOAT"])
def test_scalars(connect: Connect, name: str, scalar: Any) -> None:
    chid = connect(name)
    value = 1 if name == "cabo" else int(scalar)
    write(chid, np.int16(1) if name == "cabo" else scalar)
    assert read(chid) == value


@pytest.mark.parametrize("text", [np.str_("Busy"), np.bytes_(b"Busy"), np.array("Busy"), np.array(["Busy"])])
def test_text_scalars(connect: Connect, text: Any) -> None:
    chid = connect("cabo")
    write(chid, 0)
    write(chid, text)
    assert read(chid) == 1


def test_a_double_to_float_that_overflows(connect: Connect) -> None:
    chid = connect("wfFLOAT")
    write(chid, [4, 5])
    for value in (1e300, [1e300], np.array([1, 1e300])):
        with pytest.raises(CaChannelException):
            ca.put(chid, value)
        assert read(chid, None, 0) == [4.0, 5.0]


def test_the_array_may_change_right_after_the_put(connect: Connect) -> None:
    chid = connect("big")
    data = np.arange(4_000_000, dtype="f8")
    ca.put(chid, data)
    data[:] = -1
    del data
    assert np.array_equal(read(chid, use_numpy=True), np.arange(4_000_000, dtype="f8"))


def test_a_subclass(connect: Connect) -> None:
    class Mine(np.ndarray):  # type: ignore[type-arg]
        pass

    chid = connect("wfDOUBLE")
    write(chid, np.array([1.0, 2.0]).view(Mine))
    assert read(chid, None, 0) == [1.0, 2.0]
