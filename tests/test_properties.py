"""Properties that hold for every value: what is put comes back, and what does not fit changes nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from cachannel import CaChannelException, ca
from helpers import Connect, read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
RANGES = {
    "CHAR": (-(2**7), 2**8 - 1),
    "SHORT": (-(2**15), 2**15 - 1),
    "LONG": (-(2**31), 2**31 - 1),
    "ENUM": (0, 2**16 - 1),
}
DTYPES = {
    "CHAR": ["i1", "u1"],
    "SHORT": ["i1", "u1", "i2"],
    "LONG": ["i2", "u2", "i4", ">i4"],
    "ENUM": ["u1", "u2", ">u2"],
}


@pytest.fixture
def chids(connect: Connect) -> dict[str, Any]:
    return {kind: connect(f"wf{kind}") for kind in ("CHAR", "SHORT", "LONG", "ENUM", "FLOAT", "DOUBLE", "STRING")}


def put(chid: Any, value: Any) -> None:
    assert ca.put(chid, value) is ca.ECA.NORMAL


def now(chid: Any) -> list[Any]:
    """What the waveform holds now."""
    value = read(chid, None, 0)
    return value if isinstance(value, list) else [value]


def same(left: list[Any], right: list[Any]) -> bool:
    return len(left) == len(right) and all(
        a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b)) for a, b in zip(left, right)
    )


@pytest.mark.parametrize("kind", RANGES)
@SETTINGS
@given(data=st.data())
def test_integers_come_back(chids: dict[str, Any], kind: str, data: st.DataObject) -> None:
    low, high = RANGES[kind]
    values = data.draw(st.lists(st.integers(low, high), min_size=1, max_size=5))
    put(chids[kind], values)
    assert now(chids[kind]) == ([value % 256 for value in values] if kind == "CHAR" else values)


@pytest.mark.parametrize("kind", RANGES)
@SETTINGS
@given(data=st.data())
def test_integer_arrays_come_back(chids: dict[str, Any], kind: str, data: st.DataObject) -> None:
    dtype = np.dtype(data.draw(st.sampled_from(DTYPES[kind])))
    limits = np.iinfo(dtype)
    low, high = max(RANGES[kind][0], limits.min), min(RANGES[kind][1], limits.max)
    values = data.draw(st.lists(st.integers(low, high), min_size=1, max_size=5))
    put(chids[kind], np.array(values, dtype))
    assert now(chids[kind]) == ([value % 256 for value in values] if kind == "CHAR" else values)


@pytest.mark.parametrize("kind", RANGES)
@SETTINGS
@given(data=st.data())
def test_integers_out_of_range_never_change_the_record(chids: dict[str, Any], kind: str, data: st.DataObject) -> None:
    low, high = RANGES[kind]
    outside = st.one_of(st.integers(max_value=low - 1), st.integers(min_value=high + 1))
    bad = data.draw(outside)
    values = data.draw(st.lists(st.integers(max(low, 0), high), max_size=4))
    values.insert(data.draw(st.integers(0, len(values))), bad)
    form = data.draw(st.sampled_from([list, tuple, lambda v: np.array(v, object), lambda v: np.array(v, float)]))
    try:
        given_values = form(values)
    except OverflowError:
        given_values = values
    put(chids[kind], [1, 2, 3])
    with pytest.raises(CaChannelException) as caught:
        ca.put(chids[kind], given_values)
    assert isinstance(caught.value, ValueError)
    assert now(chids[kind]) == [1, 2, 3]


@SETTINGS
@given(values=st.lists(st.floats(), min_size=1, max_size=5))
def test_doubles_come_back_bit_by_bit(chids: dict[str, Any], values: list[float]) -> None:
    put(chids["DOUBLE"], values)
    back = now(chids["DOUBLE"])
    assert same(back, values)
    assert [math.copysign(1, value) for value in back if value == 0] == [
        math.copysign(1, value) for value in values if value == 0
    ]


@SETTINGS
@given(values=st.lists(st.floats(width=32), min_size=1, max_size=5), order=st.sampled_from("<>"))
def test_floats_come_back(chids: dict[str, Any], values: list[float], order: str) -> None:
    put(chids["FLOAT"], values)
    assert same(now(chids["FLOAT"]), values)
    put(chids["FLOAT"], np.array(values, f"{order}f4"))
    assert same(now(chids["FLOAT"]), values)
    put(chids["DOUBLE"], np.array(values, f"{order}f4"))
    assert same(now(chids["DOUBLE"]), values)


@SETTINGS
@given(
    values=st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=39).filter(
            lambda text: len(text.encode()) < 40
        ),
        min_size=1,
        max_size=5,
    )
)
def test_strings_come_back(chids: dict[str, Any], values: list[str]) -> None:
    put(chids["STRING"], values)
    assert now(chids["STRING"]) == values
    put(chids["STRING"], [value.encode() for value in values])
    assert now(chids["STRING"]) == values


@SETTINGS
@given(values=st.lists(st.binary(max_size=38).filter(lambda data: b"\0" not in data), min_size=1, max_size=5))
def test_bytes_come_back(chids: dict[str, Any], values: list[bytes]) -> None:
    put(chids["STRING"], values)
    back = now(chids["STRING"])
    assert len(back) == len(values)
    for sent, came in zip(values, back):
        try:
            assert came == sent.decode()
        except UnicodeDecodeError:
            assert came == sent.decode("latin-1")


@SETTINGS
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_text_that_does_not_fit_never_changes_the_record(chids: dict[str, Any], text: str) -> None:
    bad = text + "x" * 40
    put(chids["STRING"], ["before"])
    with pytest.raises(CaChannelException):
        ca.put(chids["STRING"], bad)
    with pytest.raises(CaChannelException):
        ca.put(chids["STRING"], ["fits", bad])
    assert now(chids["STRING"]) == ["before"]


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=50)
    | st.binary(max_size=50)
    | st.complex_numbers(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=3), children, max_size=2),
    max_leaves=6,
)


@pytest.mark.parametrize("kind", ["CHAR", "SHORT", "LONG", "FLOAT", "DOUBLE", "STRING"])
@SETTINGS
@given(value=ANYTHING)
def test_anything_is_sent_exactly_or_not_at_all(chids: dict[str, Any], kind: str, value: Any) -> None:
    before = ["before"] if kind == "STRING" else [1, 2]
    put(chids[kind], before)
    try:
        status = ca.put(chids[kind], value)
    except CaChannelException:
        assert now(chids[kind]) == before
        return
    if status != ca.ECA_NORMAL:
        assert status == ca.ECA_BADCOUNT
        assert now(chids[kind]) == before
        return
    expected = flat(value, kind)
    back = now(chids[kind])
    assert len(back) == min(len(expected), 5)
    for sent, came in zip(expected, back):
        assert_written(kind, sent, came)


def flat(value: Any, kind: str) -> list[Any]:
    """The elements that a value stands for."""
    if kind == "CHAR" and isinstance(value, (str, bytes)):
        return [*(value.encode() if isinstance(value, str) else value), 0]
    if isinstance(value, list):
        return [element for item in value for element in (flat(item, kind) if isinstance(item, list) else [item])]
    return [value]


def assert_written(kind: str, sent: Any, came: Any) -> None:
    if kind == "STRING":
        if isinstance(sent, (str, bytes)):
            raw = sent.encode() if isinstance(sent, str) else sent
            raw = raw.rstrip(b"\0")
            assert came in (raw.decode("latin-1"), raw.decode(errors="ignore"))
        else:
            assert came in (str(sent), repr(sent)) or float(came) == float(sent)
        return
    number = float(sent) if not isinstance(sent, int) else sent
    if kind == "CHAR":
        assert came == number % 256
    elif kind == "FLOAT":
        assert came == pytest.approx(float(np.float32(number)), nan_ok=True)
    elif kind == "DOUBLE":
        assert same([came], [float(number)])
    else:
        assert came == number
