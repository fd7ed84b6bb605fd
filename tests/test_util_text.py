"""Values as text: as_string of every type, and long strings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cachannel import CaChannelValueError, ca
from cachannel._strings import fixed
from cachannel.util import caget, caput
from helpers import Connect, write
from server_process import wait_for
from util_ioc import UtilIoc


@pytest.fixture(scope="module")
def texts(repeater: None) -> Iterator[str]:
    """The prefix of the records of util.db."""
    with UtilIoc() as server:
        yield server.prefix


#
# as_string
#
CASES: list[tuple[str, Any, Any]] = [
    ("catest", 12.5, "12.5000 mm"),
    ("plain", 12.5, "12.500"),
    ("calong", -7, "-7 steps"),
    ("wide", 2**40, "1099511627776"),
    ("cabo", 1, "Busy"),
    ("states", 15, "fifteen"),
    ("catest.SCAN", "Passive", "Passive"),
    ("castr", "hello", "hello"),
    ("castr", "", ""),
    ("cawavec", "abc", "abc"),
    ("cawavec", [97, 0, 99, 100, 101], "a"),
    ("cawavec", [0, 1, 2, 3, 4], ""),
    ("cawavec", [181, 109, 0, 0, 0], "µm"),  # Latin-1
    ("cawavec", "µm", "µm"),
    ("wfUCHAR", "abcde", "abcde"),
    ("oneCHAR", 65, "A"),
    ("oneCHAR", 0, ""),
    ("oneDOUBLE", 0.25, "0.250 V"),
    ("oneSTRING", "one", "one"),
    ("catest.PREC", 4, "4"),
]

ARRAYS: list[tuple[str, Any, list[str]]] = [
    ("cawave", [1, 2.5, -3, 0, 0.0004], ["1.000 V", "2.500 V", "-3.000 V", "0.000 V", "0.000 V"]),
    (
        "cawave",
        [math.nan, math.inf, -math.inf, 1e15, 1e22],
        ["nan V", "inf V", "-inf V", f"{10**15}.000 V", "1.000e+22 V"],
    ),
    ("wfFLOAT", [0.1, 0.2, 0.3, 1e6, 2], ["0.100 V", "0.200 V", "0.300 V", "1000000.000 V", "2.000 V"]),
    ("wfSHORT", [1, -2, 3, 0, 5], ["1 V", "-2 V", "3 V", "0 V", "5 V"]),
    ("wfUSHORT", [65535, 2, 3, 0, 5], ["65535 V", "2 V", "3 V", "0 V", "5 V"]),
    ("wfENUM", [1, 2, 3, 0, 5], ["1", "2", "3", "0", "5"]),
    ("cawaves", ["a", "", "c"], ["a", "", "c"]),
]


@pytest.mark.parametrize(("name", "value", "text"), CASES)
def test_one_element(prefix: str, name: str, value: Any, text: str) -> None:
    caput(prefix + name, value, wait=True)
    assert caget(prefix + name, as_string=True) == text
    assert caget(prefix + name, True, use_numpy=True) == text
    assert type(caget(prefix + name, True)) is str


@pytest.mark.parametrize(("name", "value", "text"), ARRAYS)
def test_arrays(prefix: str, name: str, value: Any, text: list[str]) -> None:
    caput(prefix + name, value, wait=True)
    assert caget(prefix + name, as_string=True) == text
    assert caget(prefix + name, as_string=True, count=2) == text[:2]
    assert caget(prefix + name, as_string=True, count=1) == text[0]
    array = caget(prefix + name, as_string=True, use_numpy=True)
    assert list(array) == text
    if not isinstance(array, list):
        assert isinstance(array, np.ndarray)
        assert array.dtype.kind == "U"


def test_several_types_at_once(prefix: str) -> None:
    names = [prefix + name for name in ("catest", "cabo", "castr", "cawavec", "wfENUM")]
    caput(names, [1.5, "Done", "x", "text", [1, 2, 3, 4, 5]], wait=True)
    assert caget(names, as_string=True) == ["1.5000 mm", "Done", "x", "text", ["1", "2", "3", "4", "5"]]


def test_units_and_precision_are_those_of_now(texts: str) -> None:
    assert caget(texts + "micro", as_string=True) in ("1.2 µm", "1.3 µm")
    assert caget(texts + "bare", as_string=True) == "1"
    caput([texts + "micro.PREC", texts + "micro.EGU"], [3, "µV"], wait=True)
    assert caget(texts + "micro", as_string=True) == "1.250 µV"


@pytest.mark.parametrize(
    ("number", "precision", "text"),
    [
        (1.0, 0, "1"),
        (0.5, 2, "0.50"),
        (-0.0, 1, "-0.0"),
        (9.9e15, 1, "9900000000000000.0"),
        (1e16, 1, "1.0e+16"),
        (-1e300, 3, "-1.000e+300"),
        (math.nan, 3, "nan"),
        (math.inf, 3, "inf"),
        (1.5, -1, "2"),
    ],
)
def test_fixed(number: float, precision: int, text: str) -> None:
    assert fixed(number, precision) == text


#
# Long strings
#
LONG = "a text that is longer than the 39 bytes of a DBR_STRING: µm"


def test_a_long_string_output(texts: str) -> None:
    name = texts + "lso.VAL$"
    for text in (LONG, "short", "", "x" * 99):
        assert caput(name, text, wait=True) is True
        value = caget(name)
        assert value == text
        assert type(value) is str
        assert caget(name, as_string=True) == caget(name, use_numpy=True) == text
        # Without "$" as much as a DBR_STRING holds.
        assert caget(texts + "lso") == text[:39]


def test_a_long_string_input(texts: str) -> None:
    caput(texts + "lso.VAL$", LONG, wait=True)
    wait_for(lambda: caget(texts + "lsi.VAL$") == LONG)


def test_descriptions(texts: str, prefix: str) -> None:
    assert caget(texts + "lso.DESC$") == "a long string output"
    caput(texts + "short.DESC$", "x" * 40, wait=True)
    assert caget(texts + "short.DESC$") == "x" * 40
    assert caget([prefix + "catest.EGU$", prefix + "catest"], as_string=True)[0] == "mm"


def test_count_of_a_long_string(texts: str) -> None:
    caput(texts + "lso.VAL$", LONG, wait=True)
    assert caget(texts + "lso.VAL$", count=6) == "a text"
    assert caget(texts + "lso.VAL$", count=1) == "a"
    assert caget(texts + "lso.VAL$", count=0) == LONG


def test_a_text_that_does_not_fit_is_not_written(texts: str) -> None:
    caput(texts + "lso.VAL$", "before", wait=True)
    caput(texts + "short.VAL$", "before", wait=True)
    for name, text in (("lso.VAL$", "x" * 100), ("lso.VAL$", "µ" * 50), ("short.VAL$", "x" * 40), ("short", "x" * 40)):
        for wait in (False, True):
            with pytest.raises(CaChannelValueError) as raised:
                caput(texts + name, text, wait=wait)
            assert raised.value.status == ca.ECA_STRTOBIG
            assert raised.value.pvname == texts + name
    assert caget([texts + "lso.VAL$", texts + "short"]) == ["before", "before"]
    caput(texts + "short.VAL$", "x" * 39, wait=True)
    assert caget(texts + "short") == "x" * 39


def test_numbers_become_text(texts: str) -> None:
    caput([texts + "lso.VAL$", texts + "short.VAL$"], [5, np.float64(2.5)], wait=True)
    assert caget([texts + "lso.VAL$", texts + "short"]) == ["5", "2.5"]


def test_bytes_and_codes_go_as_they_are(texts: str) -> None:
    caput(texts + "lso.VAL$", [104, 105, 0], wait=True)
    assert caget(texts + "lso.VAL$") == "hi"
    caput(texts + "lso.VAL$", b"bytes", wait=True)
    assert caget(texts + "lso.VAL$") == "bytes"


def test_a_text_for_another_char_array_is_cut(prefix: str, connect: Connect) -> None:
    # As in the manual.
    write(connect("cawavec"), [0, 0, 0, 0, 0])
    caput(prefix + "cawavec", "this can be a long string", wait=True)
    assert caget(prefix + "cawavec", as_string=True) == "this "
    assert caget(prefix + "cawavec") == [116, 104, 105, 115, 32]
