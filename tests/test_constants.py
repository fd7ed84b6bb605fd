"""Constants, enums and texts have the values of 3.2.0 and print as the manual shows."""

from __future__ import annotations

import enum
import json
import operator
import shutil
import subprocess
from pathlib import Path

import cachannel
import numpy as np
import pytest
from cachannel import CaChannelException, CaChannelTypeError, CaChannelValueError, ca
from cachannel.util import CaNothing
from tables import ALARM_SEVERITY, ALARM_STATUS, CONSTANTS, DBF_TEXT, DBR_TEXT, ENUMS, MESSAGE

MEMBERS = [(kind, name, value) for kind, members in ENUMS.items() for name, value in members.items()]
# The name that a value goes by where several members have it.
CANONICAL = {
    ("DBF", -1): ("NOTCONN", "INVALID"),
    ("DBF", 1): ("SHORT", "INT"),
    ("DBE", 2): ("ARCHIVE", "LOG"),
    ("AlarmCondition", 5): ("Lolo", "LoLo"),
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
    assert f"{member!s}" == text
    assert "%s" % member == text  # noqa: UP031  (that form too)
    assert repr(member) == f"<{text}: {value}>"


@pytest.mark.parametrize(("kind", "name", "value"), MEMBERS)
def test_member_formats_as_its_number(kind: str, name: str, value: int) -> None:
    member = getattr(ca, kind)[name]
    for spec in ("", "d", "5", "5d", "<6", "+d", "x", "04", ".1f", "n"):
        assert format(member, spec) == format(value, spec)
    assert f"{member}" == "{}".format(member) == str(value)  # noqa: UP032
    assert "%d" % member == str(value)  # noqa: UP031
    assert json.dumps(member) == str(value)
    assert member + 1 == value + 1


FORMATS = """
import sys, types
package = types.ModuleType("cachannel")
package.__path__ = [sys.argv[1]]
sys.modules["cachannel"] = package
sys.modules["cachannel._ca"] = package._ca = types.ModuleType("_ca")
from cachannel._enums import AlarmSeverity, ECA
severity = AlarmSeverity(3)
print(f"{severity}", "{}".format(severity), "{:d}".format(severity), "%d" % severity, f"{severity:>3}")
print(severity, str(severity), repr(severity), "%s" % severity, f"{severity!s}", ECA.TIMEOUT)
"""


@pytest.mark.parametrize("version", [f"3.{minor}" for minor in range(9, 15)])
def test_format_on_every_python(version: str) -> None:
    """Python changed how enums print in 3.8, 3.11 and 3.12. This needs no libca and no numpy."""
    python = shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "-c", ""], stderr=subprocess.DEVNULL).returncode:
        pytest.skip(f"there is no python{version}")
    folder = str(Path(cachannel.__file__).parent)
    printed = subprocess.run([python, "-c", FORMATS, folder], stdout=subprocess.PIPE, text=True, timeout=30).stdout
    assert printed.splitlines() == [
        "3 3 3 3   3",
        "AlarmSeverity.Invalid AlarmSeverity.Invalid <AlarmSeverity.Invalid: 3> AlarmSeverity.Invalid"
        " AlarmSeverity.Invalid ECA.TIMEOUT",
    ]


def test_there_are_no_other_members() -> None:
    for kind, members in ENUMS.items():
        assert dict(getattr(ca, kind).__members__) == members


def test_names_of_shared_values() -> None:
    for (kind, value), names in CANONICAL.items():
        assert getattr(ca, kind)(value).name in names


def test_severity_of_a_status() -> None:
    for status in ca.ECA:
        assert ca.CA_EXTRACT_MSG_SEVERITY(status) == status.severity() == int(status) % 8
        assert ca.CA_EXTRACT_MSG_NO(status) == int(status) // 8
    assert ca.ECA.NORMAL.severity() is ca.CA_K.SUCCESS
    assert ca.ECA.BADTYPE.severity() is ca.CA_K.ERROR
    assert ca.ECA.INTERNAL.severity() is ca.CA_K.FATAL


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


@pytest.mark.parametrize("kind", [CaChannelException, CaChannelValueError, CaChannelTypeError, CaNothing])
def test_message_of_an_exception(kind: type[CaChannelException]) -> None:
    """Programs have printed a status so for twenty years."""
    error = kind(ca.ECA_TIMEOUT, "tank:level", "whatever the detail is")
    assert ca.message(error) == MESSAGE["TIMEOUT"]
    assert int(error) == operator.index(error) == 80
    # Where numbers are wanted, a status does not pass for a value.
    with pytest.raises(TypeError):
        float(error)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        np.array([1.0, error], dtype=float)


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
