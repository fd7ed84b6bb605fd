"""The enumerations of Channel Access, as integers that print by name.

On every Python ``str()`` and ``print`` give ``ECA.NORMAL``, and a format, the empty one too, gives the number.
"""

from enum import Enum, IntEnum

from . import _ca

__all__ = [
    "CA_K",
    "CA_OP",
    "CA_PRIORITY",
    "DBE",
    "DBF",
    "DBR",
    "ECA",
    "AlarmCondition",
    "AlarmSeverity",
    "ChannelState",
]


class _Named(IntEnum):
    # Both differ from one Python to the other: up to 3.11 a format may give the name, from 3.11 on str() the number.
    def __str__(self) -> str:
        return Enum.__str__(self)

    def __format__(self, spec: str) -> str:
        return format(int(self), spec)


class AlarmCondition(_Named):
    """Why a record is in alarm (alarm.h): its alarm status."""

    No = 0
    Read = 1
    Write = 2
    HiHi = 3
    High = 4
    Lolo = 5
    LoLo = 5  # as caffi has it
    Low = 6
    State = 7
    Cos = 8
    Comm = 9
    Timeout = 10
    HwLimit = 11
    Calc = 12
    Scan = 13
    Scam = 13  # a misspelling that shipped with 3.x; an alias
    Link = 14
    Soft = 15
    BadSub = 16
    UDF = 17
    Disable = 18
    Simm = 19
    ReadAccess = 20
    WriteAccess = 21


class AlarmSeverity(_Named):
    """How severe an alarm is (alarm.h)."""

    No = 0
    Minor = 1
    Major = 2
    Invalid = 3


class CA_K(_Named):
    """How grave a status is, as the lowest three bits of its code tell (caerr.h)."""

    INFO = 3
    ERROR = 2
    SUCCESS = 1
    WARNING = 0
    SEVERE = 4
    FATAL = 6


class CA_OP(_Named):
    """Operations, as connection and exception callbacks name them."""

    GET = 0
    PUT = 1
    CREATE_CHANNEL = 2
    ADD_EVENT = 3
    CLEAR_EVENT = 4
    OTHER = 5
    CONN_UP = 6
    CONN_DOWN = 7


class CA_PRIORITY(_Named):
    """Priorities of channels, 0 to 99: a server serves the circuits of higher ones first."""

    MAX = 99
    MIN = 0
    DEFAULT = 0
    DB_LINKS = 80
    ARCHIVE = 20
    OPI = 0


class ChannelState(_Named):
    """The state of a channel's connection (``enum channel_state``)."""

    NEVER_CONN = 0
    PREV_CONN = 1
    CONN = 2
    CLOSED = 3
    NEVER_SEARCH = 4


class DBE(_Named):
    """Events that a subscription is told of; or them for its mask."""

    VALUE = 1
    ARCHIVE = 2
    LOG = 2
    ALARM = 4
    PROPERTY = 8


class DBR(_Named):
    """Request types: a value's type on the wire, and what comes along with it (db_access.h)."""

    INVALID = -1
    STRING = 0
    SHORT = 1
    INT = 1
    FLOAT = 2
    ENUM = 3
    CHAR = 4
    LONG = 5
    DOUBLE = 6
    STS_STRING = 7
    STS_SHORT = 8
    STS_INT = 8
    STS_FLOAT = 9
    STS_ENUM = 10
    STS_CHAR = 11
    STS_LONG = 12
    STS_DOUBLE = 13
    TIME_STRING = 14
    TIME_SHORT = 15
    TIME_INT = 15
    TIME_FLOAT = 16
    TIME_ENUM = 17
    TIME_CHAR = 18
    TIME_LONG = 19
    TIME_DOUBLE = 20
    GR_STRING = 21
    GR_SHORT = 22
    GR_INT = 22
    GR_FLOAT = 23
    GR_ENUM = 24
    GR_CHAR = 25
    GR_LONG = 26
    GR_DOUBLE = 27
    CTRL_STRING = 28
    CTRL_SHORT = 29
    CTRL_INT = 29
    CTRL_FLOAT = 30
    CTRL_ENUM = 31
    CTRL_CHAR = 32
    CTRL_LONG = 33
    CTRL_DOUBLE = 34
    PUT_ACKT = 35
    PUT_ACKS = 36
    STSACK_STRING = 37
    CLASS_NAME = 38
    LAST_BUFFER_TYPE = 38

    def _is(self, base: int) -> bool:
        return self >= 0 and self % 7 == base

    def isSTRING(self) -> bool:
        return self._is(0)

    def isSHORT(self) -> bool:
        return self._is(1)

    def isFLOAT(self) -> bool:
        return self._is(2)

    def isENUM(self) -> bool:
        return self._is(3)

    def isCHAR(self) -> bool:
        return self._is(4)

    def isLONG(self) -> bool:
        return self._is(5)

    def isDOUBLE(self) -> bool:
        return self._is(6)

    def isPlain(self) -> bool:
        return DBR.STRING <= self <= DBR.DOUBLE

    def isSTS(self) -> bool:
        return DBR.STS_STRING <= self <= DBR.STS_DOUBLE

    def isTIME(self) -> bool:
        return DBR.TIME_STRING <= self <= DBR.TIME_DOUBLE

    def isGR(self) -> bool:
        return DBR.GR_STRING <= self <= DBR.GR_DOUBLE

    def isCTRL(self) -> bool:
        return DBR.CTRL_STRING <= self <= DBR.CTRL_DOUBLE


class DBF(_Named):
    """Native field types: what a PV holds (db_access.h)."""

    NOTCONN = -1
    INVALID = -1
    STRING = 0
    SHORT = 1
    INT = 1
    FLOAT = 2
    ENUM = 3
    CHAR = 4
    LONG = 5
    DOUBLE = 6

    def _to(self, first: DBR) -> DBR:
        return DBR(first + self) if self >= 0 else DBR.INVALID

    def toSTS(self) -> DBR:
        return self._to(DBR.STS_STRING)

    def toTIME(self) -> DBR:
        return self._to(DBR.TIME_STRING)

    def toGR(self) -> DBR:
        return self._to(DBR.GR_STRING)

    def toCTRL(self) -> DBR:
        return self._to(DBR.CTRL_STRING)


class ECA(_Named):
    """Status codes: what an operation came to (caerr.h)."""

    NORMAL = 1
    MAXIOC = 10
    UKNHOST = 18
    UKNSERV = 26
    SOCK = 34
    CONN = 40
    ALLOCMEM = 48
    UKNCHAN = 56
    UKNFIELD = 64
    TOLARGE = 72
    TIMEOUT = 80
    NOSUPPORT = 88
    STRTOBIG = 96
    DISCONNCHID = 106
    BADTYPE = 114
    CHIDNOTFND = 123
    CHIDNOTFOUND = 123  # as caffi has it
    CHIDRETRY = 131
    INTERNAL = 142
    DBLCLFAIL = 144
    GETFAIL = 152
    PUTFAIL = 160
    ADDFAIL = 168
    BADCOUNT = 176
    BADSTR = 186
    DISCONN = 192
    DBLCHNL = 200
    EVDISALLOW = 210
    BUILDGET = 216
    NEEDSFP = 224
    OVEVFAIL = 232
    BADMONID = 242
    NEWADDR = 248
    NEWCONN = 259
    NOCACTX = 264
    DEFUNCT = 278
    EMPTYSTR = 280
    NOREPEATER = 288
    NOCHANMSG = 296
    DLCKREST = 304
    SERVBEHIND = 312
    NOCAST = 320
    BADMASK = 330
    IODONE = 339
    IOINPROGRESS = 347
    BADSYNCGRP = 354
    PUTCBINPROG = 362
    NORDACCESS = 368
    NOWTACCESS = 376
    ANACHRONISM = 386
    NOSEARCHADDR = 392
    NOCONVERT = 400
    BADCHID = 410
    BADFUNCPTR = 418
    ISATTACHED = 424
    UNAVAILINSERV = 432
    CHANDESTROY = 440
    BADPRIORITY = 450
    NOTTHREADED = 458
    ARRAY16KCLIENT = 464
    CONNSEQTMO = 472
    UNRESPTMO = 480

    def message(self) -> str:
        """The code's text (``ca_message``)."""
        return _ca.message(self)

    def severity(self) -> CA_K:
        """How grave it is (``CA_EXTRACT_SEVERITY``)."""
        return CA_K(self & 7)
