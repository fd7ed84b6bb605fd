"""The class :class:`ChannelGroup`: many PVs as one object."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

from . import _ca
from ._constants import (
    ECA_BADCOUNT,
    ECA_BADSTR,
    ECA_DISCONN,
    ECA_NOCONVERT,
    ECA_NORMAL,
    ECA_PUTFAIL,
    ECA_TIMEOUT,
)
from ._enums import ECA
from ._errors import CaChannelException, CaChannelTypeError
from ._not_found import one_not_found
from ._write_errors import refusal_reason
from .CaChannel import CaChannel

if TYPE_CHECKING:
    # It takes a while to import, and most programs have no group: where it is used.
    import numpy
    from numpy.typing import NDArray

_READING = [("value", "f8"), ("time", "M8[ns]"), ("severity", "i2"), ("status", "i2")]
_NAMED_AT_MOST = 10


class ChannelGroup:
    """Many PVs as one object: connected, read and written together, in a small part of the time that a loop takes.

    >>> from cachannel import ChannelGroup
    >>> with ChannelGroup(["catest", "calong", "cabo"]) as group:
    ...     group.put([1.5, 7, 1], wait=True)
    ...     group.get()
    ...     group.get(as_string=True)
    array([1.5, 7. , 1. ])
    ['1.5000', '7', 'Busy']

    As a context manager it connects on entry, and is closed at the end. ``group[i]`` is the :class:`CaChannel` of a PV,
    for all that a group does not do; ``len(group)`` and iteration work as for a list of them.

    What fails raises one :class:`CaChannelException`, when all is answered or the time is over. Its ``status`` and
    ``pvname`` are those of the first PV that failed, its text names up to ten with the status of each, and
    :attr:`status` has that of every PV. With ``throw=False`` nothing is raised for PVs that fail.

    Any thread may use a group, several at once, and so may callbacks. Ctrl-C ends the waits.

    :param names: names of the PVs, in the order of all that is read and written. The search for them begins at once.
    :param timeout: seconds that the methods wait at most where they are not told otherwise, 0 for ever;
        ``CaChannel.ca_timeout`` where None.
    :raises CaChannelException: for a name that cannot be one: empty, too long.
    """

    def __init__(self, names: Iterable[str | bytes], timeout: float | None = None) -> None:
        if isinstance(names, (str, bytes)):
            raise CaChannelTypeError(ECA_BADSTR, None, f"a group takes a list of PV names, not {names!r}")
        self._channels = [CaChannel(name) for name in names]
        self._timeout = timeout
        chids = []
        for channel in self._channels:
            channel.search()
            chids.append(channel._channel())
        self._names = [channel.name() for channel in self._channels]
        self._core = _ca.ChannelGroupCore(chids)
        self._status: NDArray[numpy.int32] | None = None

    @property
    def names(self) -> list[str]:
        """The names of the PVs."""
        return list(self._names)

    @property
    def timeout(self) -> float:
        """Seconds that the methods wait at most where they are not told otherwise; 0 for ever."""
        return CaChannel.ca_timeout if self._timeout is None else self._timeout

    @property
    def connected(self) -> NDArray[numpy.bool_]:
        """Whether each PV is connected now."""
        return self._core.connected()

    @property
    def status(self) -> NDArray[numpy.int32]:
        """What the last connect, get or put came to for each PV: codes of :class:`ca.ECA`, ``ca.ECA_NORMAL`` (1) where
        it succeeded. Before the first, ECA_DISCONN for each; of several threads, that of whichever ended last."""
        import numpy

        return numpy.full(len(self), ECA_DISCONN, "i4") if self._status is None else self._status

    def __len__(self) -> int:
        return len(self._channels)

    def __iter__(self) -> Iterator[CaChannel]:
        return iter(self._channels)

    @overload
    def __getitem__(self, index: int) -> CaChannel: ...
    @overload
    def __getitem__(self, index: slice) -> list[CaChannel]: ...
    def __getitem__(self, index: int | slice) -> CaChannel | list[CaChannel]:
        return self._channels[index]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} PVs, {self.connected.sum()} connected>"

    def __enter__(self) -> ChannelGroup:
        try:
            self.connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Clears all channels. See ca_clear_channel."""
        for channel in self._channels:
            channel.clear_channel()

    def connect(self, timeout: float | None = None, *, throw: bool = True) -> None:
        """Waits until all PVs are connected. See ca_create_channel.

        :param timeout: seconds for all of them together, 0 for ever; the group's where None.
        :param throw: whether PVs that do not connect raise ECA_TIMEOUT.
        """
        limit = self._limit(timeout)
        self._settle(self._core.connect(limit), throw, _plainly, limit)

    @overload
    def get(
        self,
        timeout: float | None = None,
        *,
        as_string: Literal[False] = False,
        time: bool = False,
        throw: bool = True,
    ) -> NDArray[Any]: ...
    @overload
    def get(
        self, timeout: float | None = None, *, as_string: Literal[True], time: bool = False, throw: bool = True
    ) -> list[str]: ...
    def get(
        self, timeout: float | None = None, *, as_string: bool = False, time: bool = False, throw: bool = True
    ) -> NDArray[Any] | list[str]:
        """Reads all PVs: an array of float64 with one element a PV, in order; enums as numbers. See
        ca_array_get_callback.

        A PV that holds more than one element, and one whose type is STRING where numbers are asked for, fail with
        ECA_BADCOUNT and ECA_NOCONVERT; so does what cannot be read, is not connected (ECA_DISCONN) or does not answer
        in time (ECA_TIMEOUT).

        :param timeout: seconds for all of them together, 0 for ever; the group's where None.
        :param as_string: a list of str instead, as the servers give them: the name of an enum's state (its number where
            that has none), numbers with the record's precision; and a CHAR array's text up to its NUL.
        :param time: an array with the fields ``value`` (float64), ``time`` (datetime64[ns], UTC; NaT for a record that
            was never processed), ``severity`` and ``status`` (:class:`ca.AlarmSeverity`, :class:`ca.AlarmCondition`)
            instead.
        :param throw: whether PVs that fail raise. Where not, their values are NaN (or an empty text), their times NaT,
            their alarms INVALID and COMM, and :attr:`status` tells which they are.
        """
        limit = self._limit(timeout)
        if as_string:
            if time:
                raise CaChannelTypeError(ECA_BADSTR, None, "texts have no room for times: as_string or time, not both")
            status, texts = self._core.get_text(limit)
            self._settle(status, throw, self._unreadable)
            return texts
        if not time:
            status, values = self._core.get(limit)
            self._settle(status, throw, self._unreadable)
            return values
        status, values, stamps, severities, conditions = self._core.get_time(limit)
        import numpy

        readings = numpy.empty(len(self), _READING)
        readings["value"] = values
        readings["time"] = stamps.view("M8[ns]")
        readings["severity"] = severities
        readings["status"] = conditions
        self._settle(status, throw, self._unreadable)
        return readings

    def put(self, values: Any, wait: bool = False, timeout: float | None = None, *, throw: bool = True) -> None:
        """Writes to all PVs. See ca_array_put, ca_array_put_callback.

        A PV that can be written is written, even if others fail; but if one of the values does not convert,
        nothing is sent to any.

        :param values: one for all, or a sequence or array with one a PV; each as for :meth:`CaChannel.array_put`.
        :param wait: whether to wait until the processing that the writes started is complete. Without, a server's
            later refusal goes to the function of :meth:`CaChannel.add_exception_event`.
        :param timeout: seconds for all of them together, 0 for ever; the group's where None. Without `wait` it counts
            only where a server has stopped reading.
        :param throw: whether PVs that fail raise: ECA_DISCONN, ECA_NOWTACCESS, with `wait` ECA_TIMEOUT and ECA_PUTFAIL.
        :raises CaChannelValueError: for values that do not convert or fit, also those with more elements than the PV
            holds, whatever `throw` is, and where there are more or fewer than PVs. CaChannelTypeError for objects that
            do not convert at all.
        """
        status = self._core.put(values, bool(wait), self._limit(timeout))
        self._settle(status, throw, self._unwritable)

    def _limit(self, timeout: float | None) -> float:
        return self.timeout if timeout is None else timeout

    def _settle(
        self, status: NDArray[numpy.int32], throw: bool, reason: Callable[[int, int], str], searched: float = 0.0
    ) -> None:
        """Keeps the status, and raises what failed. `searched`: seconds, where connections were waited for."""
        self._status = status
        if not throw:
            return
        failed = (status != ECA_NORMAL).nonzero()[0].tolist()
        if failed:
            raise self._failure(failed, status, reason, searched)

    def _failure(
        self, failed: list[int], status: NDArray[numpy.int32], reason: Callable[[int, int], str], searched: float
    ) -> CaChannelException:
        first = failed[0]
        detail = reason(first, int(status[first]))
        if len(failed) > 1:
            named = ", ".join(f"{self._names[i]} {_status_name(int(status[i]))}" for i in failed[:_NAMED_AT_MOST])
            more = ", …" if len(failed) > _NAMED_AT_MOST else ""
            detail = f"{detail}; " if detail else ""
            detail += f"{len(failed)} of {len(self)} PVs failed: {named}{more}"
        if searched and status[first] == ECA_TIMEOUT:
            return one_not_found(self._names[first], searched, detail)
        return CaChannelException(int(status[first]), self._names[first], detail)

    def _unreadable(self, index: int, status: int) -> str:
        if status == ECA_BADCOUNT:
            return f"it holds {self._core.element_counts()[index]} elements, and a group reads PVs of one"
        if status == ECA_NOCONVERT:
            return "it holds a text: as_string=True reads it"
        return ""

    def _unwritable(self, index: int, status: int) -> str:
        return refusal_reason(self._names[index]) if status == ECA_PUTFAIL else ""


def _plainly(index: int, status: int) -> str:
    return ""


def _status_name(status: int) -> str:
    try:
        return ECA(status).name
    except ValueError:
        return str(status)


ChannelGroup.__module__ = "cachannel"  # where it is to be imported from
