"""Constants, enums and texts have the values of 3.2.0 and print as the manual shows."""

from __future__ import annotations

import enum
import json

import pytest
from cachannel import ca
from tables import ALARM_SEVERITY, ALARM_STATUS, CONSTANTS, DBF_TEXT, DBR_TEXT, ENUMS, MESSAGE

MEMBERS = [(kind, name, value) for kind, members in ENUMS.items() for name, value in members.items()]
# The name that a value goes by where several members have it.
CANONICAL = {
    ("DBF", -1): ("NOTCONN", "INVALID"),
    ("DBF", 1): ("SHORT", "INT"),
    ("DBE", 2): ("ARCHIVE", "LOG"),
    ("AlarmCondition", 13): ("Scan", "Scam"),
}


@pytest.mark.parametrize(("name", "value"), CONSTANTS.items())
def test_constant(name: str, value: int) -> None:
    constant = getattr(ca, name)
    assert constant == value
    assert isinstance(constant, int)


@pytest.mark.parametrize(("kind", "name", "value"), MEMBERS)
def test_member(kind: str, name: str, value: int) -> None:
    cls = getattr(ca, kind)
    member = cls[name]
    assert issubclass(cls, enum.IntEnum)
    assert member is getattr(cls, name)
    assert member is cls(value)
    assert member == value
    assert int(member) == value
    assert hash(member) == hash(value)
    assert {value: "found"}[member] == "found"


@pytest.mark.parametrize(("kind", "name", "value"), MEMBERS)
def test_member_prints_by_its_name(kind: str, name: str, value: int) -> None:
    member = getattr(ca, kind)[name]
    text = f"{kind}.{member.name}"
    assert name == member.name or getattr(ca, kind)(value) is member
    assert str(member) == text
    assert f"{member}" == text
    assert f"{member!s}" == text
    assert "%s" % member == text  # noqa: UP031  (that form too)
    assert "{}".format(member) == text  # noqa: UP032
    assert repr(member) == f"<{text}: {value}>"


@pytest.mark.parametrize(("kind", "name", "value"), MEMBERS)
def test_member_formats_as_a_number_where_asked_to(kind: str, name: str, value: int) -> None:
    member = getattr(ca, kind)[name]
    assert f"{member:d}" == str(value)
    assert f"{member:5d}" == f"{value:5d}"
    assert "%d" % member == str(value)  # noqa: UP031
    assert json.dumps(member) == str(value)
    assert member + 1 == value + 1


def test_there_are_no_other_members() -> None:
    for kind, members in ENUMS.items():
        assert dict(getattr(ca, kind).__members__) == members


def test_names_of_shared_values() -> None:
    for (kind, value), names in CANONICAL.items():
        assert getattr(ca, kind)(value).name in names


def test_scan_is_the_name_and_scam_stays() -> None:
    assert ca.AlarmCondition.Scan is ca.AlarmCondition.Scam
    assert str(ca.AlarmCondition(13)) == "AlarmCondition.Scan"


def test_as_the_manual_prints_them() -> None:
    assert repr(ca.DBF(6)) == "<DBF.DOUBLE: 6>"
    assert repr(ca.ChannelState(4)) == "<ChannelState.NEVER_SEARCH: 4>"
    assert str(ca.ECA(1)) == "ECA.NORMAL"
    assert str(ca.AlarmSeverity(0)) == "AlarmSeverity.No"
    assert str(ca.DBR(20)) == "DBR.TIME_DOUBLE"


@pytest.mark.parametrize(("name", "text"), MESSAGE.items())
def test_message(name: str, text: str) -> None:
    member = ca.ECA[name]
    assert ca.message(member) == text
    assert ca.message(int(member)) == text
    assert member.message() == text


def test_message_of_an_unknown_status() -> None:
    assert isinstance(ca.message(99999), str)


@pytest.mark.parametrize(("code", "text"), ALARM_STATUS.items())
def test_alarm_status_string(code: int, text: str) -> None:
    assert ca.alarmStatusString(code) == text
    assert ca.alarmStatusString(ca.AlarmCondition(code)) == text


@pytest.mark.parametrize(("code", "text"), ALARM_SEVERITY.items())
def test_alarm_severity_string(code: int, text: str) -> None:
    assert ca.alarmSeverityString(code) == text
    assert ca.alarmSeverityString(ca.AlarmSeverity(code)) == text


@pytest.mark.parametrize("code", [-1, 22, 1000])
def test_alarm_status_out_of_range(code: int) -> None:
    with pytest.raises(IndexError):
        ca.alarmStatusString(code)


@pytest.mark.parametrize("code", [-1, 4, 1000])
def test_alarm_severity_out_of_range(code: int) -> None:
    with pytest.raises(IndexError):
        ca.alarmSeverityString(code)


@pytest.mark.parametrize(("code", "text"), DBR_TEXT.items())
def test_dbr_text(code: int, text: str) -> None:
    assert ca.dbr_text(code) == text
    assert ca.dbr_type_to_text(code) == text


@pytest.mark.parametrize(("code", "text"), DBF_TEXT.items())
def test_dbf_text(code: int, text: str) -> None:
    assert ca.dbf_text(code) == text
    assert ca.dbf_type_to_text(code) == text
