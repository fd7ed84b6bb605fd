"""The attributes of class :class:`PV`: what is known of its value, of its properties and of its connection."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

from . import ca
from ._enums import DBF, AlarmCondition, AlarmSeverity

if TYPE_CHECKING:
    from . import _ca
    from .values import Value

_TYPES = {
    DBF.STRING: "string",
    DBF.SHORT: "short",
    DBF.FLOAT: "float",
    DBF.ENUM: "enum",
    DBF.CHAR: "char",
    DBF.LONG: "long",
    DBF.DOUBLE: "double",
}
_ACCESS = {(True, True): "read/write", (True, False): "read-only", (False, True): "write-only"}


class PVAttributes(abc.ABC):
    """Each attribute waits for the connection, as long as the PV's timeout."""

    __slots__ = ()

    _chid: ca.chid

    @abc.abstractmethod
    def get(self) -> Value:
        """The value, read now."""

    @abc.abstractmethod
    def wait_connected(self, timeout: float | None = None) -> None:
        """Waits until the PV is connected."""

    @abc.abstractmethod
    def _property(self) -> _ca.Update:
        """The properties; raises AttributeError for a PV that has none."""

    # The value

    @property
    def severity(self) -> AlarmSeverity:
        """The severity of its alarm, read now; :meth:`get` gives value, alarm and time of one moment."""
        return self.get().severity

    @property
    def status(self) -> AlarmCondition:
        """What its alarm is, read now."""
        return self.get().status

    @property
    def timestamp(self) -> float | None:
        """The time of its value, seconds since 1970, read now; None for a record that was never processed."""
        return self.get().timestamp

    @property
    def datetime64(self) -> Any:
        """The time of its value as a numpy datetime64 in ns, UTC, read now.

        NaT for a record that was never processed.
        """
        return self.get().datetime64

    # Properties

    @property
    def units(self) -> str:
        """Its engineering units; kept up to date, as are all properties below.

        A PV without them raises AttributeError.
        """
        return self._property().units

    @property
    def precision(self) -> int:
        """The number of decimals that its values are shown with."""
        return self._property().precision

    @property
    def enum_strings(self) -> list[str]:
        """The names of an enum's states."""
        return self._property().enums

    @property
    def upper_disp_limit(self) -> float:
        """The highest value that displays show."""
        return self._property().upper_disp_limit

    @property
    def lower_disp_limit(self) -> float:
        """The lowest value that displays show."""
        return self._property().lower_disp_limit

    @property
    def upper_alarm_limit(self) -> float:
        """Above it the alarm HIHI."""
        return self._property().upper_alarm_limit

    @property
    def lower_alarm_limit(self) -> float:
        """Below it the alarm LOLO."""
        return self._property().lower_alarm_limit

    @property
    def upper_warning_limit(self) -> float:
        """Above it the alarm HIGH."""
        return self._property().upper_warning_limit

    @property
    def lower_warning_limit(self) -> float:
        """Below it the alarm LOW."""
        return self._property().lower_warning_limit

    @property
    def upper_ctrl_limit(self) -> float:
        """The highest value to write."""
        return self._property().upper_ctrl_limit

    @property
    def lower_ctrl_limit(self) -> float:
        """The lowest value to write."""
        return self._property().lower_ctrl_limit

    # The channel

    @property
    def type(self) -> str:
        """Its type: ``string``, ``short``, ``float``, ``enum``, ``char``, ``long`` or ``double``. See ca_field_type."""
        self.wait_connected()
        return _TYPES.get(ca.field_type(self._chid), "unknown")

    @property
    def count(self) -> int:
        """Elements that it can hold. See ca_element_count."""
        self.wait_connected()
        return ca.element_count(self._chid)

    @property
    def host(self) -> str:
        """Its server: name and port. See ca_host_name."""
        self.wait_connected()
        return ca.host_name(self._chid)

    @property
    def access(self) -> str:
        """``read/write``, ``read-only``, ``write-only`` or ``no access``. See ca_read_access, ca_write_access."""
        self.wait_connected()
        return _ACCESS.get((ca.read_access(self._chid), ca.write_access(self._chid)), "no access")
