"""The functions about DBF and DBR types."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from cachannel import CaChannelException, ca
from tables import DBF_TEXT, DBR_TEXT

BASES = ["STRING", "SHORT", "FLOAT", "ENUM", "CHAR", "LONG", "DOUBLE"]
CLASSES = ["", "STS_", "TIME_", "GR_", "CTRL_"]
DBF_TYPES = range(7)
DBR_TYPES = range(39)


@pytest.mark.parametrize(("code", "text"), [item for item in DBF_TEXT.items() if 0 <= item[0] < 7])
def test_dbf_text_to_type(code: int, text: str) -> None:
    assert ca.dbf_text_to_type(text) is ca.DBF(code)


@pytest.mark.parametrize(("code", "text"), [item for item in DBR_TEXT.items() if 0 <= item[0] < 39])
def test_dbr_text_to_type(code: int, text: str) -> None:
    assert ca.dbr_text_to_type(text) is ca.DBR(code)


@pytest.mark.parametrize("text", ["", "DBF_X", "DBR_X", "nonsense"])
def test_text_of_no_type(text: str) -> None:
    assert ca.dbf_text_to_type(text) == -1
    assert ca.dbr_text_to_type(text) == -1


def test_dbf_type_is_valid() -> None:
    assert [code for code in range(-5, 50) if ca.dbf_type_is_valid(code)] == list(DBF_TYPES)


def test_dbr_type_is_valid() -> None:
    assert [code for code in range(-5, 60) if ca.dbr_type_is_valid(code)] == list(DBR_TYPES)


@pytest.mark.parametrize("dbr", DBR_TYPES)
@pytest.mark.parametrize(("kind", "number"), [("plain", 0), ("STS", 1), ("TIME", 2), ("GR", 3), ("CTRL", 4)])
def test_class_of_a_type(dbr: int, kind: str, number: int) -> None:
    function = getattr(ca, f"dbr_type_is_{kind}")
    expected = dbr // 7 == number and dbr < 35
    assert function(dbr) is expected
    assert function(ca.DBR(dbr)) is expected
    method = "isPlain" if kind == "plain" else f"is{kind}"
    assert getattr(ca.DBR(dbr), method)() is expected


@pytest.mark.parametrize("dbr", DBR_TYPES)
@pytest.mark.parametrize("base", BASES)
def test_base_of_a_type(dbr: int, base: str) -> None:
    # db_access.h goes by the remainder, for the four special types too.
    function = getattr(ca, f"dbr_type_is_{base}")
    expected = BASES[dbr % 7] == base
    assert function(dbr) is expected
    assert function(ca.DBR(dbr)) is expected
    assert getattr(ca.DBR(dbr), f"is{base}")() is expected


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("code", [-1, 39, 100])
def test_what_is_no_type_has_no_base(base: str, code: int) -> None:
    assert getattr(ca, f"dbr_type_is_{base}")(code) is False


@pytest.mark.parametrize("base", DBF_TYPES)
@pytest.mark.parametrize(("kind", "number"), [("", 0), ("_STS", 1), ("_TIME", 2), ("_GR", 3), ("_CTRL", 4)])
def test_dbf_type_to_dbr(base: int, kind: str, number: int) -> None:
    function: Callable[[Any], Any] = getattr(ca, f"dbf_type_to_DBR{kind}")
    expected = ca.DBR[CLASSES[number] + BASES[base]]
    assert expected == base + 7 * number
    assert function(base) is expected
    assert function(ca.DBF(base)) is expected


@pytest.mark.parametrize("base", DBF_TYPES)
@pytest.mark.parametrize(("method", "number"), [("toSTS", 1), ("toTIME", 2), ("toGR", 3), ("toCTRL", 4)])
def test_methods_of_dbf(base: int, method: str, number: int) -> None:
    assert getattr(ca.DBF(base), method)() is ca.DBR(base + 7 * number)


@pytest.mark.parametrize("function", ["", "_STS", "_TIME", "_GR", "_CTRL"])
@pytest.mark.parametrize("code", [-1, 7, 100])
def test_dbr_of_no_dbf_type(function: str, code: int) -> None:
    assert getattr(ca, f"dbf_type_to_DBR{function}")(code) == -1


def test_int_is_short() -> None:
    assert ca.DBF.INT is ca.DBF.SHORT
    assert ca.DBR.TIME_INT is ca.DBR.TIME_SHORT
    assert ca.DBR.LAST_BUFFER_TYPE is ca.DBR.CLASS_NAME


def test_size_of_a_structure() -> None:
    """As sizeof has it, which leaves no bytes behind the first value."""
    sizes = [40, 2, 4, 2, 1, 4, 8, 44, 6, 8, 6, 6, 8, 16, 52, 16, 16, 16, 16, 16, 24, 44, 26, 44, 424, 20, 40, 72]
    sizes += [44, 30, 52, 424, 22, 48, 88, 2, 2, 48, 40]
    assert [ca.dbr_size_n(kind, 1) for kind in DBR_TYPES] == sizes
    assert [ca.dbr_size_n(kind, 0) for kind in DBR_TYPES] == sizes
    assert ca.dbr_size_n(ca.DBR.TIME_DOUBLE, 10) == 24 + 9 * 8
    assert ca.dbr_size_n(ca.DBR_STRING, 3) == 120
    for kind in (-1, 39):
        with pytest.raises(CaChannelException) as raised:
            ca.dbr_size_n(kind, 1)
        assert raised.value.status == ca.ECA_BADTYPE


def test_names_of_c_types() -> None:
    assert ca.DBR_TYPE_STRING[ca.DBR.DOUBLE] == ca.DBR_TYPE_STRING[ca.DBR_DOUBLE] == "dbr_double_t"
    assert set(ca.DBR_TYPE_STRING) == {*DBF_TYPES, 35, 36}
