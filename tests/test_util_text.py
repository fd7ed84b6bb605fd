"""Values as text: as_string of every type, and long strings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cachannel import CaChannelValueError, ca
from cachannel._strings import is_long_string
from cachannel.util import caget, camonitor, caput
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
TEXTS: list[tuple[str, Any, str]] = [
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
    ("oneSTRING", "one", "one"),
]

# What is neither an enum nor an array of CHAR: 3.2.0's programs calculate with it.
OTHERS: list[tuple[str, Any]] = [
    ("catest", 12.5),
    ("calong", -7),
    ("wide", 2.0**40),
    ("oneCHAR", 65),
    ("oneCHAR", 0),
    ("oneDOUBLE", 0.25),
    ("catest.PREC", 4),
    ("cawave", [1.0, 2.5, -3.0, 0.0, 0.0004]),
    ("wfSHORT", [1, -2, 3, 0, 5]),
    ("cawaves", ["a", "", "c"]),
]


@pytest.mark.parametrize(("name", "value", "text"), TEXTS)
def test_enums_and_chars_are_texts(prefix: str, name: str, value: Any, text: str) -> None:
    caput(prefix + name, value, wait=True)
    assert caget(prefix + name, as_string=True) == text
    assert caget(prefix + name, True, use_numpy=True) == text
    assert type(caget(prefix + name, True)) is str


@pytest.mark.parametrize(("name", "value"), OTHERS)
def test_other_values_are_what_they_are_without(prefix: str, name: str, value: Any) -> None:
    caput(prefix + name, value, wait=True)
    shown = caget(prefix + name, as_string=True)
    assert (type(shown), shown) == (type(value), value)
    array = caget(prefix + name, as_string=True, use_numpy=True)
    assert isinstance(array, np.ndarray) == (isinstance(value, list) and name != "cawaves")
    assert np.array_equal(array, value)


def test_an_array_of_an_enum(prefix: str) -> None:
    caput(prefix + "wfENUM", [1, 2, 3, 0, 5], wait=True)
    assert caget(prefix + "wfENUM", as_string=True) == ["1", "2", "3", "0", "5"]
    assert caget(prefix + "wfENUM", as_string=True, count=2) == ["1", "2"]
    assert caget(prefix + "wfENUM", as_string=True, count=1) == "1"
    array = caget(prefix + "wfENUM", as_string=True, use_numpy=True)
    assert array.dtype.kind == "U"
    assert array.tolist() == ["1", "2", "3", "0", "5"]


def test_several_types_at_once(prefix: str) -> None:
    names = [prefix + name for name in ("catest", "cabo", "castr", "cawavec", "wfENUM")]
    caput(names, [1.5, "Done", "x", "text", [1, 2, 3, 4, 5]], wait=True)
    assert caget(names, as_string=True) == [1.5, "Done", "x", "text", ["1", "2", "3", "4", "5"]]


#
# Long strings
#
LONG = "a text that is longer than the 39 bytes of a DBR_STRING: µm"


def test_a_long_string_output(texts: str) -> None:
    name = texts + "lso.VAL$"
    for text in (LONG, "short", "", "x" * 99):
        caput(name, text, wait=True)
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


FILTERS = ("$[0:3]", '${"arr":{"s":0,"e":3}}')


@pytest.mark.parametrize("behind", FILTERS)
def test_filters_behind_the_dollar(texts: str, behind: str) -> None:
    name = texts + "lso.VAL" + behind
    caput(texts + "lso.VAL$", "a text", wait=True)
    assert caget(name) == caget(name, use_numpy=True) == "a te"
    # Cut within the é.
    caput(texts + "lso.VAL$", "caféteria", wait=True)
    assert caget(name) == "caf"
    seen: list[Any] = []
    with camonitor(name, callback=lambda args, _: seen.append(args["pv_value"]), add=True):
        wait_for(lambda: seen == ["caf"])
        caput(texts + "lso.VAL$", "updates", wait=True)
        wait_for(lambda: seen == ["caf", "upda"])


def test_a_dollar_alone_is_no_filter() -> None:
    assert all(is_long_string("rec.DESC" + behind) for behind in ("$", *FILTERS))
    assert not any(is_long_string(name) for name in ("rec.DESC", "rec{a}", "rec.VAL[0:3]", "$(P)rec.VAL"))


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
