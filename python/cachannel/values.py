"""Values that carry what came along: numbers, texts and arrays with time, alarm, units, limits and states.

>>> from cachannel import PV
>>> value = PV("catest").get()
>>> value.name, value.severity, value.units
('catest', <AlarmSeverity.No: 0>, 'mm')
>>> isinstance(value, float), type(+value)
(True, <class 'float'>)

Class :class:`PV`, :func:`caget` with a format, and :mod:`cachannel.aio` give such values. Each is a float, int, str,
bytes or numpy array, and may be used wherever these may; ``+value`` is the plain one. What is computed from a value is
plain, too.

All have ``name``, ``ok`` (True), ``datatype`` (:class:`ca.DBR`) and ``element_count`` (of the PV). What else they have
depends on what was asked for; an attribute that did not come raises AttributeError:

* with alarm and time: ``severity`` (:class:`ca.AlarmSeverity`), ``status`` (:class:`ca.AlarmCondition`), ``timestamp``
  (seconds since 1970, to the microsecond), ``raw_stamp`` (seconds since 1970 and nanoseconds), ``datetime`` (local
  time), ``datetime64`` (numpy, UTC, to the nanosecond)
* a number with properties, or the text of one: ``units``, ``upper_disp_limit``, ``lower_disp_limit``,
  ``upper_alarm_limit``, ``lower_alarm_limit``, ``upper_warning_limit``, ``lower_warning_limit``, ``upper_ctrl_limit``,
  ``lower_ctrl_limit``, and ``precision`` (FLOAT and DOUBLE)
* an enum with properties: ``enums``, the names of its states

The time of a record that was never processed is None (``datetime64``: NaT); in :mod:`cachannel.aio` it is 1990-01-01
UTC, as in aioca.
"""

from __future__ import annotations

import datetime as _datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Union

import numpy

from . import _ca
from ._value_specs import FORMAT_CTRL, FORMAT_RAW, FORMAT_TIME

if TYPE_CHECKING:
    from ._enums import DBR, AlarmCondition, AlarmSeverity

    _Attributes = Union[_ca.Update, SimpleNamespace]


__all__ = [
    "FORMAT_CTRL",
    "FORMAT_RAW",
    "FORMAT_TIME",
    "ArrayValue",
    "BytesValue",
    "FloatValue",
    "IntValue",
    "StrValue",
    "Value",
]

if TYPE_CHECKING:

    class _Base(Any):  # type: ignore[misc]
        """For type checkers a value is whatever the program takes it for, as none can know the PV's type."""

        def __pos__(self) -> Any: ...
        def __neg__(self) -> Any: ...
        def __abs__(self) -> Any: ...
        def __add__(self, other: Any) -> Any: ...
        def __radd__(self, other: Any) -> Any: ...
        def __sub__(self, other: Any) -> Any: ...
        def __rsub__(self, other: Any) -> Any: ...
        def __mul__(self, other: Any) -> Any: ...
        def __rmul__(self, other: Any) -> Any: ...
        def __truediv__(self, other: Any) -> Any: ...
        def __rtruediv__(self, other: Any) -> Any: ...
        def __floordiv__(self, other: Any) -> Any: ...
        def __rfloordiv__(self, other: Any) -> Any: ...
        def __mod__(self, other: Any) -> Any: ...
        def __rmod__(self, other: Any) -> Any: ...
        def __pow__(self, other: Any) -> Any: ...
        def __rpow__(self, other: Any) -> Any: ...
        def __and__(self, other: Any) -> Any: ...
        def __or__(self, other: Any) -> Any: ...
        def __xor__(self, other: Any) -> Any: ...
        def __lshift__(self, other: Any) -> Any: ...
        def __rshift__(self, other: Any) -> Any: ...
        def __lt__(self, other: Any) -> Any: ...
        def __le__(self, other: Any) -> Any: ...
        def __gt__(self, other: Any) -> Any: ...
        def __ge__(self, other: Any) -> Any: ...
        def __float__(self) -> float: ...
        def __int__(self) -> int: ...
        def __index__(self) -> int: ...
        def __len__(self) -> int: ...
        def __iter__(self) -> Any: ...
        def __getitem__(self, index: Any) -> Any: ...
        def __getattr__(self, name: str) -> Any: ...

else:

    class _Base:
        __slots__ = ()


_NAMES = (
    "name",
    "datatype",
    "element_count",
    "severity",
    "status",
    "raw_stamp",
    "timestamp",
    "nanoseconds",
    "units",
    "precision",
    "enums",
    "upper_disp_limit",
    "lower_disp_limit",
    "upper_alarm_limit",
    "lower_alarm_limit",
    "upper_warning_limit",
    "lower_warning_limit",
    "upper_ctrl_limit",
    "lower_ctrl_limit",
    "ackt",
    "acks",
)


class Value(_Base):
    """What all values are, beside numbers, texts and arrays: what came along, read when it is asked for."""

    __slots__ = ()

    if TYPE_CHECKING:
        _update: _Attributes

    ok = True
    """True: it is a value. What stands for a PV that failed has False."""

    @property
    def name(self) -> str:
        """The PV's name."""
        return self._update.name

    @property
    def datatype(self) -> DBR:
        """The DBR type of the value alone."""
        return self._update.datatype

    @property
    def element_count(self) -> int:
        """Elements that the PV can hold."""
        return self._update.element_count

    @property
    def severity(self) -> AlarmSeverity:
        """The severity of the PV's alarm."""
        return self._update.severity

    @property
    def status(self) -> AlarmCondition:
        """What the alarm is."""
        return self._update.status

    @property
    def raw_stamp(self) -> tuple[int, int] | None:
        """Seconds since 1970 and nanoseconds; None for a record that was never processed."""
        return self._update.raw_stamp

    @property
    def timestamp(self) -> float | None:
        """Seconds since 1970, to the microsecond; None for a record that was never processed."""
        return self._update.timestamp

    @property
    def units(self) -> str:
        """The engineering units."""
        return self._update.units

    @property
    def precision(self) -> int:
        """The number of decimals that the value is shown with."""
        return self._update.precision

    @property
    def enums(self) -> list[str]:
        """The names of an enum's states."""
        return self._update.enums

    @property
    def upper_disp_limit(self) -> float:
        """The highest value that displays show."""
        return self._update.upper_disp_limit

    @property
    def lower_disp_limit(self) -> float:
        """The lowest value that displays show."""
        return self._update.lower_disp_limit

    @property
    def upper_alarm_limit(self) -> float:
        """Above it the alarm HIHI."""
        return self._update.upper_alarm_limit

    @property
    def lower_alarm_limit(self) -> float:
        """Below it the alarm LOLO."""
        return self._update.lower_alarm_limit

    @property
    def upper_warning_limit(self) -> float:
        """Above it the alarm HIGH."""
        return self._update.upper_warning_limit

    @property
    def lower_warning_limit(self) -> float:
        """Below it the alarm LOW."""
        return self._update.lower_warning_limit

    @property
    def upper_ctrl_limit(self) -> float:
        """The highest value to write."""
        return self._update.upper_ctrl_limit

    @property
    def lower_ctrl_limit(self) -> float:
        """The lowest value to write."""
        return self._update.lower_ctrl_limit

    @property
    def ackt(self) -> int:
        """Whether transient alarms have to be acknowledged; of DBR_STSACK_STRING."""
        return self._update.ackt

    @property
    def acks(self) -> AlarmSeverity:
        """The highest severity to acknowledge; of DBR_STSACK_STRING."""
        return self._update.acks

    @property
    def datetime(self) -> _datetime.datetime | None:
        """The time as a datetime without a time zone, in local time."""
        timestamp = self._update.timestamp
        return None if timestamp is None else _datetime.datetime.fromtimestamp(timestamp)

    @property
    def datetime64(self) -> numpy.datetime64:
        """The time as numpy has it, in UTC, to the nanosecond."""
        return numpy.datetime64(self._update.nanoseconds, "ns")

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        update = getattr(self, "_update", None)
        known = {name: getattr(update, name) for name in _NAMES if hasattr(update, name)}
        return _restored, (type(self), +self, known)


class _Known(SimpleNamespace):
    """What came along with a value that was in a pickle, or was copied."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the value came without {name}")


def is_value(result: Any) -> bool:
    """Whether it is a value, and not the status of a failure."""
    return isinstance(result, Value)


class FloatValue(Value, float):  # type: ignore[misc]  # of its operators type checkers see those of Value
    """A float with what came along."""

    __slots__ = ("_update",)

    def __pos__(self) -> float:
        return float(self)


class IntValue(Value, int):  # type: ignore[misc]  # of its operators type checkers see those of Value
    """An int with what came along; of an enum the number of its state."""

    def __pos__(self) -> int:
        return int(self)


class StrValue(Value, str):
    """A str with what came along."""

    __slots__ = ("_update",)

    def __pos__(self) -> str:
        return str.__str__(self)


class BytesValue(Value, bytes):
    """Bytes with what came along."""

    def __pos__(self) -> bytes:
        return bytes(self)


class ArrayValue(Value, numpy.ndarray):  # type: ignore[misc]  # of its operators type checkers see those of Value
    """A numpy array with what came along.

    Its slices and copies have that, too; what is computed from it is a plain array.
    """

    __slots__ = ("_update",)

    def __array_finalize__(self, source: Any) -> None:
        update = getattr(source, "_update", None)
        if update is not None:
            self._update = update

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        plain = numpy.asarray(array)
        return plain[()] if return_scalar or plain.ndim == 0 else plain

    def __pos__(self) -> Any:
        return numpy.array(self)

    # As all arrays.
    __hash__ = None


def _restored(kind: Any, plain: Any, known: dict[str, Any]) -> Any:
    """A value from a pickle, or a copy."""
    value = plain.view(kind) if issubclass(kind, numpy.ndarray) else kind(plain)
    value._update = _Known(**known)
    return value
