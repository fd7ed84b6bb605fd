"""Types and their texts: the macros and tables of db_access.h, and the alarm texts of alarmString.h."""

from __future__ import annotations

from ._constants import CA_M_MSG_NO, CA_M_SEVERITY, CA_V_MSG_NO, CA_V_SEVERITY
from ._enums import DBF, DBR

__all__ = [
    "CA_EXTRACT_MSG_NO",
    "CA_EXTRACT_MSG_SEVERITY",
    "DBR_TYPE_STRING",
    "alarmSeverityString",
    "alarmStatusString",
    "dbf_text",
    "dbf_text_to_type",
    "dbf_type_is_valid",
    "dbf_type_to_DBR",
    "dbf_type_to_DBR_CTRL",
    "dbf_type_to_DBR_GR",
    "dbf_type_to_DBR_STS",
    "dbf_type_to_DBR_TIME",
    "dbf_type_to_text",
    "dbr_text",
    "dbr_text_to_type",
    "dbr_type_is_CHAR",
    "dbr_type_is_CTRL",
    "dbr_type_is_DOUBLE",
    "dbr_type_is_ENUM",
    "dbr_type_is_FLOAT",
    "dbr_type_is_GR",
    "dbr_type_is_LONG",
    "dbr_type_is_SHORT",
    "dbr_type_is_STRING",
    "dbr_type_is_STS",
    "dbr_type_is_TIME",
    "dbr_type_is_plain",
    "dbr_type_is_valid",
    "dbr_type_to_text",
    "epicsAlarmConditionStrings",
    "epicsAlarmSeverityStrings",
]

DBR_TYPE_STRING = {
    DBR.STRING: "dbr_string_t",
    DBR.INT: "dbr_int_t",
    DBR.FLOAT: "dbr_float_t",
    DBR.CHAR: "dbr_char_t",
    DBR.ENUM: "dbr_enum_t",
    DBR.LONG: "dbr_long_t",
    DBR.DOUBLE: "dbr_double_t",
    DBR.PUT_ACKT: "dbr_put_ackt_t",
    DBR.PUT_ACKS: "dbr_put_acks_t",
}
"""The C type of the value of each request type that can be written."""

_ALARM_STATUS = (
    "NO_ALARM",
    "READ",
    "WRITE",
    "HIHI",
    "HIGH",
    "LOLO",
    "LOW",
    "STATE",
    "COS",
    "COMM",
    "TIMEOUT",
    "HWLIMIT",
    "CALC",
    "SCAN",
    "LINK",
    "SOFT",
    "BAD_SUB",
    "UDF",
    "DISABLE",
    "SIMM",
    "READ_ACCESS",
    "WRITE_ACCESS",
)
_ALARM_SEVERITY = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")
_DBF_TEXT = {int(member): f"DBF_{member.name}" for member in DBF if member >= 0}
_DBF_TEXT[-1] = "TYPENOTCONN"
_DBR_TEXT = {int(member): f"DBR_{member.name}" for member in DBR if member >= 0}


def _text(table: tuple[str, ...], code: int) -> str:
    if not 0 <= code < len(table):
        raise IndexError(f"{code} is out of range, 0 to {len(table) - 1}")
    return table[code]


def alarmStatusString(code: int) -> str:
    """The text of an alarm status, such as ``HIHI``. Raises IndexError for a number that is none."""
    return _text(_ALARM_STATUS, code)


def alarmSeverityString(code: int) -> str:
    """The text of an alarm severity, such as ``MAJOR``. Raises IndexError for a number that is none."""
    return _text(_ALARM_SEVERITY, code)


epicsAlarmConditionStrings = alarmStatusString
epicsAlarmSeverityStrings = alarmSeverityString


def CA_EXTRACT_MSG_NO(code: int) -> int:
    """The number of a status code's message."""
    return (code & CA_M_MSG_NO) >> CA_V_MSG_NO


def CA_EXTRACT_MSG_SEVERITY(code: int) -> int:
    """The severity of a status code: a ``CA_K``."""
    return (code & CA_M_SEVERITY) >> CA_V_SEVERITY


def dbf_type_to_text(type: int) -> str:
    """The name of a native type, such as ``DBF_DOUBLE``; ``DBF_invalid`` for a number that is none."""
    return _DBF_TEXT.get(type, "DBF_invalid")


def dbr_type_to_text(type: int) -> str:
    """The name of a request type, such as ``DBR_TIME_DOUBLE``; ``DBR_invalid`` for a number that is none."""
    if type == DBR.LAST_BUFFER_TYPE + 1:
        return "DBF_invalid"  # what libca's table has behind its last type
    return _DBR_TEXT.get(type, "DBR_invalid")


dbf_text = dbf_type_to_text
dbr_text = dbr_type_to_text


def dbf_text_to_type(text: str) -> DBF:
    """The native type with this name; ``DBF.NOTCONN`` where there is none."""
    return next((DBF(number) for number, name in _DBF_TEXT.items() if name == text), DBF.NOTCONN)


def dbr_text_to_type(text: str) -> DBR:
    """The request type with this name; ``DBR.INVALID`` where there is none."""
    return next((DBR(number) for number, name in _DBR_TEXT.items() if name == text), DBR.INVALID)


def dbf_type_is_valid(type: int) -> bool:
    """Whether the number is a native type, 0 to 6."""
    return DBF.STRING <= type <= DBF.DOUBLE


def dbr_type_is_valid(type: int) -> bool:
    """Whether the number is a request type, 0 to 38."""
    return DBR.STRING <= type <= DBR.LAST_BUFFER_TYPE


def _dbr(type: int) -> DBR:
    return DBR(type) if dbr_type_is_valid(type) else DBR.INVALID


def _dbf(type: int) -> DBF:
    return DBF(type) if dbf_type_is_valid(type) else DBF.INVALID


def dbr_type_is_plain(type: int) -> bool:
    """Whether a request type is plain: the value alone."""
    return _dbr(type).isPlain()


def dbr_type_is_STS(type: int) -> bool:
    """Whether a request type comes with alarm status and severity."""
    return _dbr(type).isSTS()


def dbr_type_is_TIME(type: int) -> bool:
    """Whether a request type comes with alarm and time stamp."""
    return _dbr(type).isTIME()


def dbr_type_is_GR(type: int) -> bool:
    """Whether a request type comes with alarm, units, display and alarm limits."""
    return _dbr(type).isGR()


def dbr_type_is_CTRL(type: int) -> bool:
    """Whether a request type comes with alarm, units and all limits."""
    return _dbr(type).isCTRL()


def dbr_type_is_STRING(type: int) -> bool:
    """Whether a request type has values of type STRING."""
    return _dbr(type).isSTRING()


def dbr_type_is_SHORT(type: int) -> bool:
    """Whether a request type has values of type SHORT."""
    return _dbr(type).isSHORT()


def dbr_type_is_FLOAT(type: int) -> bool:
    """Whether a request type has values of type FLOAT."""
    return _dbr(type).isFLOAT()


def dbr_type_is_ENUM(type: int) -> bool:
    """Whether a request type has values of type ENUM."""
    return _dbr(type).isENUM()


def dbr_type_is_CHAR(type: int) -> bool:
    """Whether a request type has values of type CHAR."""
    return _dbr(type).isCHAR()


def dbr_type_is_LONG(type: int) -> bool:
    """Whether a request type has values of type LONG."""
    return _dbr(type).isLONG()


def dbr_type_is_DOUBLE(type: int) -> bool:
    """Whether a request type has values of type DOUBLE."""
    return _dbr(type).isDOUBLE()


def dbf_type_to_DBR(type: int) -> DBR:
    """The plain request type for a native type; ``DBR.INVALID`` for a number that is none."""
    return DBR(type) if dbf_type_is_valid(type) else DBR.INVALID


def dbf_type_to_DBR_STS(type: int) -> DBR:
    """The STS request type for a native type; ``DBR.INVALID`` for a number that is none."""
    return _dbf(type).toSTS()


def dbf_type_to_DBR_TIME(type: int) -> DBR:
    """The TIME request type for a native type; ``DBR.INVALID`` for a number that is none."""
    return _dbf(type).toTIME()


def dbf_type_to_DBR_GR(type: int) -> DBR:
    """The GR request type for a native type; ``DBR.INVALID`` for a number that is none."""
    return _dbf(type).toGR()


def dbf_type_to_DBR_CTRL(type: int) -> DBR:
    """The CTRL request type for a native type; ``DBR.INVALID`` for a number that is none."""
    return _dbf(type).toCTRL()
