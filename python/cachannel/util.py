"""Reading, writing and monitoring by name, as the command line tools of EPICS do: caget, caput, camonitor, cainfo.

>>> import time
>>> from cachannel.util import caget, caput, camonitor, cainfo
>>> caput("catest", 1.23)
>>> caget("catest")
1.23
>>> caput("cabo", "Busy")
>>> caget("cabo")
1
>>> caget("cabo", as_string=True)
'Busy'
>>> caput("cawavec", "text")
>>> caget("cawavec", as_string=True)
'text'
>>> caput("cawave", range(4))
>>> caget("cawave", count=4)
[0.0, 1.0, 2.0, 3.0]
>>> caput("catest", 1.5, wait=True)  # it is complete
>>> from cachannel.values import FORMAT_CTRL
>>> value = caget("catest", format=FORMAT_CTRL)
>>> value, value.units, value.severity.name
(1.5, 'mm', 'No')

Several PVs are read or written together, with one timeout for all:

>>> caput(["catest", "calong"], [2.5, 7])
>>> caget(["catest", "calong"])
[2.5, 7]
>>> caget(["catest", "calong"], as_string=True)
[2.5, 7]

Channels are made when they are first used, and kept for the next call. All functions may be called from any thread,
also in callbacks. Where a PV fails, :class:`CaChannelException` with its name is raised; with ``throw=False`` a
:class:`CaNothing` is returned for the PV.
"""

from __future__ import annotations

import collections
import datetime
import itertools
import numbers
import sys
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, overload

from . import _ca, ca
from ._channels import CHANNELS
from ._connections import connect
from ._constants import ECA_BADFUNCPTR
from ._errors import CaChannelException, CaChannelTypeError
from ._monitors import Monitor as Monitor
from ._monitors import MonitorCallback, MonitorConnectionCallback, start, stop_all
from ._plain_reads import describe, read_plain
from ._results import CaNothing as CaNothing
from ._results import names_of, raise_first, return_or_raise
from ._timeouts import seconds
from ._value_reads import read_values
from ._value_specs import checked_format
from ._writes import one_each, put, put_wait
from .CaChannel import CaChannel

if TYPE_CHECKING:
    from .values import Value

# What `from CaChannel.util import *` gave in 3.x, the modules that it used too.
__all__ = [
    "CaChannel",
    "ca",
    "caget",
    "cainfo",
    "camonitor",
    "caput",
    "collections",
    "datetime",
    "itertools",
    "numbers",
    "sys",
    "threading",
]

_channels_ = CHANNELS
"""The channels made so far, by name: a dict of :class:`CaChannel`, as in 3.x."""


def _deadline(timeout: float | None) -> float:
    return time.monotonic() + (CaChannel.ca_timeout if timeout is None else seconds(timeout))


def _numpy(use_numpy: bool | None) -> bool:
    return _ca.use_numpy(None if use_numpy is None else {"use_numpy": use_numpy})


@overload
def caget(
    name: str,
    as_string: bool = ...,
    count: int | None = ...,
    *,
    use_numpy: bool | None = ...,
    timeout: float | None = ...,
    throw: bool = ...,
    format: None = ...,
) -> Any: ...
@overload
def caget(
    name: str,
    as_string: bool = ...,
    count: int | None = ...,
    *,
    timeout: float | None = ...,
    throw: Literal[True] = ...,
    format: int,
) -> Value: ...
@overload
def caget(  # type: ignore[overload-overlap]  # a str is an Iterable of str
    name: str, as_string: bool = ..., count: int | None = ..., *, timeout: float | None = ..., throw: bool, format: int
) -> Value | CaNothing: ...
@overload
def caget(
    name: Iterable[str],
    as_string: bool = ...,
    count: int | None = ...,
    *,
    use_numpy: bool | None = ...,
    timeout: float | None = ...,
    throw: bool = ...,
    format: None = ...,
) -> list[Any]: ...
@overload
def caget(
    name: Iterable[str],
    as_string: bool = ...,
    count: int | None = ...,
    *,
    timeout: float | None = ...,
    throw: Literal[True] = ...,
    format: int,
) -> list[Value]: ...
@overload
def caget(
    name: Iterable[str],
    as_string: bool = ...,
    count: int | None = ...,
    *,
    timeout: float | None = ...,
    throw: bool,
    format: int,
) -> list[Value | CaNothing]: ...
def caget(
    name: str | Iterable[str],
    as_string: bool = False,
    count: int | None = None,
    *,
    use_numpy: bool | None = None,
    timeout: float | None = None,
    throw: bool = True,
    format: int | None = None,
) -> Any:
    """Reads a PV: its value, or for several names the list of their values. See ca_array_get.

    A value is an int, float or str; of a PV of more than one element, a list or numpy array; for a name with ``$``
    behind the field (an IOC's long strings: ``record.DESC$``, ``lso.VAL$``, also ``lso.VAL$[0:9]``), a str.

    :param name: name of a PV, or several names.
    :param as_string: an enum as the name of its state (its number where that has none), a CHAR array of more than one
        element as the text in it up to its NUL. All other values come as without ``as_string``; ``getw(ca.DBR_STRING)``
        and :class:`ChannelGroup` give numbers as texts.
    :param count: elements to read at most; the PV's element count where None, as many as it holds now where 0.
    :param use_numpy: whether more than one element come as a numpy array; the package's ``USE_NUMPY`` where None.
    :param timeout: seconds for all of it, connecting included, 0 to give up at once; :attr:`CaChannel.ca_timeout` where
        None.
    :param throw: False: the value of a PV that fails is a :class:`CaNothing`. Where a PV does not connect in time, the
        others still get a second to answer.
    :param format: with ``FORMAT_RAW``, ``FORMAT_TIME`` or ``FORMAT_CTRL`` of :mod:`cachannel.values` each value is one
        of that module: by itself, with alarm and time, or with alarm and properties. Arrays are numpy arrays then.
    :raises CaChannelException: ECA_TIMEOUT for a PV that is not found or does not answer in time, ECA_DISCONN for one
        whose IOC is gone, ECA_NORDACCESS for one that must not be read.
    """
    names, single = names_of(name)
    if format is not None:
        format = checked_format(format)
    deadline = _deadline(timeout)
    channels = connect(names, deadline)
    if throw:
        raise_first(channels.values())
    if format is not None:
        return return_or_raise(read_values(names, channels, format, as_string, count, deadline), single, throw)
    results = read_plain(names, channels, as_string, count, _numpy(use_numpy), deadline)
    return return_or_raise(results, single, throw)


@overload
def caput(
    name: str | Iterable[str],
    value: Any,
    wait: bool = ...,
    timeout: float | None = ...,
    *,
    throw: Literal[True] = ...,
) -> None: ...
@overload
def caput(
    name: str, value: Any, wait: bool = ..., timeout: float | None = ..., *, throw: bool
) -> Literal[True] | CaNothing | None: ...
@overload
def caput(
    name: Iterable[str], value: Any, wait: bool = ..., timeout: float | None = ..., *, throw: bool
) -> list[Literal[True] | CaNothing] | None: ...
def caput(
    name: str | Iterable[str],
    value: Any,
    wait: bool = False,
    timeout: float | None = None,
    *,
    throw: bool = True,
) -> Any:
    """Writes to a PV, or to several at once. See ca_array_put and ca_array_put_callback.

    Connecting may take :attr:`CaChannel.ca_timeout`, or `timeout` where that is longer. Nothing is written before all
    PVs are connected; with ``throw=False``, before all are connected or that time is over.

    :param name: name of a PV, or several names.
    :param value: as for :meth:`CaChannel.array_put`. For several names a list, tuple or array of as many values, one
        for each, or a single value (a str is one) for all. A name that ends in ``$`` takes a str of any length that the
        record can hold. What any other array has no room for is cut, with a warning in the log.
    :param wait: wait until the write, and the processing that it started, is complete.
    :param timeout: seconds to wait for the completion of all, 0 not to wait; for ever where None.
    :param throw: False: a :class:`CaNothing` is returned for a PV that failed.
    :returns: None. With ``throw=False`` True where it was written (with ``wait=True``: where it is complete), a
        CaNothing where it failed; for several names a list of these.
    :raises CaChannelException: ECA_TIMEOUT for a PV that is not found, and with ``wait=True`` for a write that is not
        complete in time (it was written, and may complete later); ECA_DISCONN for a PV whose IOC is gone or goes
        meanwhile; ECA_NOWTACCESS for one that must not be written; ECA_PUTFAIL where the server refuses the write,
        which is known with ``wait=True``, and of an ENUM always. What was written to some of the PVs stays written
        where a later one fails.
    :raises CaChannelValueError: for a value that does not convert or fit; it is not sent.
    """
    names, single = names_of(name)
    values = [value] if single else one_each(value, len(names))
    timeout = None if timeout is None else seconds(timeout)
    limit = CaChannel.ca_timeout if timeout is None else max(timeout, CaChannel.ca_timeout)
    channels = connect(names, time.monotonic() + limit)
    if throw:
        raise_first(channels.values())
    targets = [(name, channels[name], one) for name, one in zip(names, values)]
    results = put_wait(targets, timeout, throw) if wait else put(targets, limit, throw)
    settled = return_or_raise(results, single, throw)
    return None if throw else settled


@overload
def camonitor(
    name: str | Iterable[str],
    as_string: bool | MonitorCallback = ...,
    count: int | None = ...,
    callback: MonitorCallback | Any = ...,
    *,
    use_numpy: bool | None = ...,
    timeout: float | None = ...,
    add: Literal[False] = ...,
    throw: Literal[True] = ...,
    connection_callback: MonitorConnectionCallback | None = ...,
) -> None: ...
@overload
def camonitor(  # type: ignore[overload-overlap]  # a str is an Iterable of str
    name: str,
    as_string: bool | MonitorCallback = ...,
    count: int | None = ...,
    callback: MonitorCallback | None = ...,
    *,
    use_numpy: bool | None = ...,
    timeout: float | None = ...,
    add: Literal[True],
    throw: Literal[True] = ...,
    connection_callback: MonitorConnectionCallback | None = ...,
) -> Monitor: ...
@overload
def camonitor(
    name: Iterable[str],
    as_string: bool | MonitorCallback = ...,
    count: int | None = ...,
    callback: MonitorCallback | None = ...,
    *,
    use_numpy: bool | None = ...,
    timeout: float | None = ...,
    add: Literal[True],
    throw: Literal[True] = ...,
    connection_callback: MonitorConnectionCallback | None = ...,
) -> list[Monitor]: ...
@overload
def camonitor(
    name: str | Iterable[str],
    as_string: bool | MonitorCallback = ...,
    count: int | None = ...,
    callback: MonitorCallback | Any = ...,
    *,
    use_numpy: bool | None = ...,
    timeout: float | None = ...,
    add: bool = ...,
    throw: bool = ...,
    connection_callback: MonitorConnectionCallback | None = ...,
) -> Any: ...
def camonitor(
    name: str | Iterable[str],
    as_string: bool | MonitorCallback = False,
    count: int | None = None,
    callback: MonitorCallback | Any = None,
    *,
    use_numpy: bool | None = None,
    timeout: float | None = None,
    add: bool = False,
    throw: bool = True,
    connection_callback: MonitorConnectionCallback | None = None,
) -> Any:
    """Calls back with a PV's value now, and whenever its value or alarm changes. See ca_create_subscription.

    A PV has one callback: the next call of camonitor replaces it. With ``add=True`` the PV gets one more callback, and
    the :class:`Monitor` that is returned ends that callback alone:

    >>> monitor = camonitor("cacalc", callback=lambda epics_args, _: None, add=True)
    >>> monitor
    <Monitor of 'cacalc'>
    >>> monitor.stop()

    A monitor goes on after a reconnect by itself, with the type and element count that the PV has then. A PV that is
    not found in time is no failure: it is subscribed to when it appears. That it was not found is printed where there
    is no callback; with a callback, the `connection_callback` is told, and without that one, the log.

    :param name: name of a PV, or several names.
    :param as_string: as for :func:`caget`. A function here is the callback: ``camonitor(name, function)``.
    :param count: elements at most; the PV's element count where None, as many as it holds at each update where 0.
    :param callback: ``callback(epics_args, user_args)``, with the dict chid, type (a TIME type), count, status (ECA),
        pv_value, pv_status, pv_severity, pv_seconds (since the EPICS epoch, 1990), pv_nseconds, and an empty tuple. It
        runs on a thread of its own. None prints name, local time and value, with the alarm's status and severity where
        there is one, and when the PV disconnects. Anything else that is not callable, such as ``()``, ends all
        callbacks of the PV.
    :param use_numpy: as for :func:`caget`.
    :param timeout: seconds to wait for connections; :attr:`CaChannel.ca_timeout` where None.
    :param add: keep the callbacks that there are.
    :param throw: False: a :class:`CaNothing` is returned for a PV that failed.
    :param connection_callback: ``connection_callback((chid, op), user_args)``, with ``ca.CA_OP_CONN_UP`` or
        ``ca.CA_OP_CONN_DOWN`` and an empty tuple, as with class CaChannel. It is called before camonitor returns, with
        the state of the connection at that time, and whenever that state changes.
    :returns: None; with ``add=True`` or ``throw=False`` a :class:`Monitor`, or for several names the list of them.
    :raises CaChannelException: for what can be no monitor, such as an empty name, after the others have started.
    """
    names, single = names_of(name)
    if callable(as_string):
        if callback is not None:
            raise CaChannelTypeError(ECA_BADFUNCPTR, None, "as_string is a callback, and there is another one")
        as_string, callback = False, as_string
    if connection_callback is not None and not callable(connection_callback):
        detail = f"a connection callback is a function, not {connection_callback!r}"
        raise CaChannelTypeError(ECA_BADFUNCPTR, None, detail)
    if callback is not None and not callable(callback):
        stop_all(names)
        return None
    deadline = _deadline(timeout)
    as_numpy = _numpy(use_numpy)
    unfound: dict[str, ca.chid] = {}
    channels = connect(names, deadline, unfound)

    def make(name: str) -> Monitor | CaChannelException:
        found = channels[name]
        missing = found if isinstance(found, CaChannelException) else None
        if missing is not None and name not in unfound:
            return missing
        chid = unfound[name] if isinstance(found, CaChannelException) else found
        return Monitor(name, chid, bool(as_string), count, callback, as_numpy, connection_callback, missing)

    results = start([make(name) for name in names], deadline, add)
    settled = return_or_raise(results, single, throw)
    return settled if add or not throw else None


def cainfo(name: str | Iterable[str], *, timeout: float | None = None, throw: bool = True) -> Any:
    """Prints what is known of a PV: connection, server, type, access rights, alarm, states.

    A PV that was connected before and is not now is printed as such; it does not count as failed.

    :param name: name of a PV, or several names, which are printed one after the other.
    :param timeout: seconds for all of it; :attr:`CaChannel.ca_timeout` where None.
    :param throw: False: a :class:`CaNothing` is returned for a PV that failed.
    :returns: None; with ``throw=False`` None or a CaNothing, or for several names a list of these.
    :raises CaChannelException: ECA_TIMEOUT for a PV that is not found or does not answer in time, after the others were
        printed.
    """
    names, single = names_of(name)
    deadline = _deadline(timeout)
    channels = connect(names, deadline)
    results = describe(names, channels, deadline)
    settled = return_or_raise(results, single, throw)
    return None if throw else settled
