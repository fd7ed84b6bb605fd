"""The class :class:`CaChannel`: one PV as an object, with a method for each function of Channel Access."""

from __future__ import absolute_import, annotations, print_function

import itertools
import numbers
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

import cachannel as PACKAGE

from . import _ca, ca
from ._checks import ChannelChecks, with_user_args
from ._checks import ConnectionCallback as ConnectionCallback
from ._checks import EventCallback as EventCallback
from ._enums import CA_PRIORITY, DBF, ECA, ChannelState
from ._errors import CaChannelException, CaChannelTypeError
from ._timeouts import seconds
from ._version import __version__
from ._write_errors import put_checked

if TYPE_CHECKING:
    from typing_extensions import Self

# What `from CaChannel.CaChannel import *` gave in 3.x, the modules that it used too; programs rely on some of them.
__all__ = [
    "PACKAGE",
    "CaChannel",
    "CaChannelException",
    "Sequence",
    "absolute_import",
    "ca",
    "itertools",
    "numbers",
    "print_function",
    "sys",
    "traceback",
    "wraps",
]


class CaChannel(ChannelChecks):
    """A process variable.

    Methods that end in "w" wait until what they do is done. The others only ask; :meth:`pend_io`, :meth:`flush_io`,
    :meth:`pend_event` or :meth:`poll` send what was asked for, many requests in one message.

    Every method raises :class:`CaChannelException`, with the PV's name and the status of libca, where it fails.
    Values and arguments that do not convert or fit raise :class:`CaChannelValueError` or
    :class:`CaChannelTypeError`, which are CaChannelExceptions too, before anything is sent.

    As a context manager it connects (unless it has been searched for) and is cleared at the end:

    >>> with CaChannel("catest") as chan:
    ...     chan.putw(1)
    ...     chan.getw()
    1.0

    :param pvName: name of the PV; it may also be given to the search methods.
    """

    ca_timeout: ClassVar[float] = 3.0
    """Timeout of the waiting methods in seconds, for channels that have none of their own (:meth:`setTimeout`)."""

    def __init__(self, pvName: str | bytes | None = None) -> None:
        self._pvname = pvName
        self._chid: ca.chid | None = None
        self._evid: ca.evid | None = None
        self._timeout: float | None = None
        self._dbrvalue: ca.DBRValue | None = None

    def __enter__(self) -> Self:
        if self._chid is None:
            self.searchw()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.clear_channel()

    def __repr__(self) -> str:
        if self._chid is None:
            return f"<{type(self).__name__} {self._name()!r} not searched>"
        state = ca.state(self._chid)
        if state != ChannelState.CONN:
            return f"<{type(self).__name__} {self._name()!r} {state.name.lower()}>"
        kind = f"{self.field_type().name}[{self.element_count()}]"
        return f"<{type(self).__name__} {self._name()!r} connected to {self.host_name()} {kind}>"

    @staticmethod
    def version() -> str:
        """The package's version."""
        return __version__

    #
    # Timeouts
    #
    def setTimeout(self, timeout: float | None) -> None:
        """Sets this channel's timeout, in seconds; None goes back to the class's :attr:`ca_timeout`.

        :raises ValueError: for a negative number or NaN.
        :raises TypeError: for what is no number; a text is none.
        """
        self._timeout = None if timeout is None else seconds(timeout, self._name())

    def getTimeout(self) -> float:
        """This channel's timeout in seconds, or the class's where it has none of its own."""
        return self.ca_timeout if self._timeout is None else self._timeout

    #
    # Context-wide handlers
    #
    @classmethod
    def replace_printf_handler(
        cls, callback: Callable[[str, Any], object] | None = None, user_args: Any = None
    ) -> None:
        """Has libca's diagnostics given to ``callback(message, user_args)`` instead of the logger ``cachannel.libca``.

        Anything that is not callable restores the logger. See ca_replace_printf_handler.
        """
        if callable(callback):
            ca.replace_printf_handler(with_user_args(callback, user_args), user_args=())
        else:
            ca.replace_printf_handler(None)

    @classmethod
    def add_exception_event(
        cls, callback: Callable[[dict[str, Any], Any], object] | None = None, user_args: Any = None
    ) -> None:
        """Has errors that belong to no callback given to ``callback(epics_args, user_args)`` instead of the logger
        ``cachannel.libca``: a write that the server refuses, for one.

        ``epics_args`` is a dict: chid (or None), type, count, state (ECA), op (CA_OP), ctx, file, lineNo.
        Anything that is not callable restores the logger. See ca_add_exception_event.
        """
        if callable(callback):
            ca.add_exception_event(with_user_args(callback, user_args), user_args=())
        else:
            ca.add_exception_event(None)

    def replace_access_rights_event(
        self, callback: Callable[[dict[str, Any], Any], object] | None = None, user_args: Any = None
    ) -> None:
        """Has changes of the access rights given to ``callback(epics_args, user_args)``.

        Where the channel is connected, this thread calls it before this returns; then it is called whenever the channel
        connects, just before the connection callback, whenever it disconnects, just after that, with False and False,
        and whenever the rights change.
        ``epics_args`` is a dict: chid, read_access, write_access (bool). Anything that is not callable removes the
        callback. See ca_replace_access_rights_event.
        """
        function = with_user_args(callback, user_args) if callable(callback) else None
        self._check(ca.replace_access_rights_event(self._channel(), function, user_args=()))

    #
    # Connection
    #
    def _create(
        self,
        pvName: str | bytes | None,
        callback: ConnectionCallback | None,
        user_args: tuple[Any, ...],
        priority: int,
    ) -> None:
        if self._chid is not None:
            self.clear_channel()
        if pvName is not None:
            self._pvname = pvName
        if self._pvname is None:
            raise CaChannelTypeError(ca.ECA_BADSTR, None, "a PV name is needed, and None was given")
        _ca.open_channel(self, self._pvname, callback, priority, user_args)

    def search(self, pvName: str | bytes | None = None, *, priority: int = CA_PRIORITY.DEFAULT) -> None:
        """Starts to connect to the PV; :meth:`pend_io` waits for it. See ca_create_channel.

        :param pvName: name of the PV; the constructor's where None.
        :param priority: 0 to 99; servers serve the circuits of higher ones first.
        """
        self._create(pvName, None, (), priority)

    def search_and_connect(
        self,
        pvName: str | bytes | None,
        callback: ConnectionCallback,
        *user_args: Any,
        priority: int = CA_PRIORITY.DEFAULT,
    ) -> None:
        """Starts to connect to the PV, and tells the callback of its connection whenever that changes.

        ``callback((chid, op), user_args)``, with op ``ca.CA_OP_CONN_UP`` or ``ca.CA_OP_CONN_DOWN``.
        :meth:`pend_io` does not wait for it. See ca_create_channel.
        """
        self._check_callback(callback)
        self._create(pvName, callback, user_args, priority)

    def searchw(self, pvName: str | bytes | None = None, *, priority: int = CA_PRIORITY.DEFAULT) -> None:
        """Connects to the PV: :meth:`search`, then waits, at most this channel's timeout."""
        self.search(pvName, priority=priority)
        _ca.wait_connected(self.getTimeout(), self._channel())

    def clear_channel(self) -> None:
        """Closes the channel, with its subscriptions; no callback of it starts after this. See ca_clear_channel."""
        if self._chid is not None:
            chid, self._chid = self._chid, None
            self._evid = None
            self._dbrvalue = None
            ca.clear_channel(chid)

    def change_connection_event(self, callback: ConnectionCallback | None, *user_args: Any) -> None:
        """Replaces the connection callback; what is not callable removes it. See ca_change_connection_event."""
        function = callback if callable(callback) else None
        self._check(ca.change_connection_event(self._channel(), function, user_args=user_args))

    #
    # Write; array_put is _ca.ChannelCore'
    #
    def array_put_callback(
        self,
        value: Any,
        req_type: int | None,
        count: int | None,
        callback: EventCallback,
        *user_args: Any,
    ) -> None:
        """Writes, and calls back when the write, and the processing that it started, is complete.

        ``callback(epics_args, user_args)``, with the dict chid, type, count, status (ECA). Any number may be in flight.
        See :meth:`array_put` for the parameters, and ca_array_put_callback.
        """
        self._check_callback(callback)
        self._check(ca.put(self._chid, value, req_type, count, callback, user_args=user_args), req_type)

    def putw(self, value: Any, req_type: int | None = None) -> None:
        """Writes and flushes, without waiting for the record to process. See :meth:`array_put` for the parameters.

        For an ENUM it waits, at most this channel's timeout, for the server to accept the state: one that the PV
        does not have raises.
        """
        put_checked(self._channel(), self._name(), value, req_type, self.getTimeout())

    #
    # Read; array_get and getValue are _ca.ChannelCore'
    #
    def array_get_callback(
        self,
        req_type: int | None,
        count: int | None,
        callback: EventCallback,
        *user_args: Any,
        **keywords: Any,
    ) -> None:
        """Asks for the value and has it given to ``callback(epics_args, user_args)``. Any number may be in flight.

        ``epics_args`` is a dict: chid, type (DBR), count, status (ECA), pv_value (None where the read failed), and

        * STS, TIME, GR, CTRL: pv_status (AlarmCondition), pv_severity (AlarmSeverity)
        * TIME: pv_seconds (since the EPICS epoch, 1990), pv_nseconds
        * GR, CTRL of an ENUM: pv_nostrings, pv_statestrings (tuple)
        * GR, CTRL of a number: pv_units, pv_updislim, pv_lodislim, pv_upalarmlim, pv_upwarnlim, pv_loalarmlim,
          pv_lowarnlim (in these units), FLOAT and DOUBLE also pv_precision (decimal places)
        * CTRL of a number: pv_upctrllim, pv_loctrllim
        * STSACK_STRING: pv_ackt (bool), pv_acks (AlarmSeverity)

        See :meth:`array_get` for the parameters, and ca_array_get_callback.
        """
        self._check_callback(callback)
        status, _ = ca.get(self._chid, req_type, count, callback, _ca.use_numpy(keywords), user_args=user_args)
        self._check(status, req_type)

    def getw(self, req_type: int | None = None, count: int | None = None, **keywords: Any) -> Any:
        """Reads the value: :meth:`array_get`, then waits for it, at most this channel's timeout.

        Parameters as for :meth:`array_get`; result as for :meth:`getValue`.
        """
        # Other threads may read too: the value is this call's own. If the read fails, no older value is taken for it.
        self._dbrvalue = None
        self._dbrvalue = answer = _ca.read_wait(
            self._channel(), req_type, count, _ca.use_numpy(keywords), self.getTimeout()
        )
        return answer.get()

    #
    # Monitor
    #
    def add_masked_array_event(
        self,
        req_type: int | None,
        count: int | None,
        mask: int | None,
        callback: EventCallback,
        *user_args: Any,
        **keywords: Any,
    ) -> None:
        """Calls ``callback(epics_args, user_args)`` with the value now, and whenever it changes.

        A channel has one such subscription: the one before is cleared. It goes on after a reconnect by itself; where
        the PV has another type or element count then, so have the updates, as far as None was given for them. Where
        the callback does not keep up the oldest updates are dropped, never the newest (:meth:`dropped_events`).
        See ca_create_subscription.

        :param req_type: request type (``ca.DBR_XXXX``); the native type where None.
        :param count: elements at most; the PV's element count where None, as many as it holds at each update where 0.
        :param mask: what to tell of: ``ca.DBE_VALUE | ca.DBE_ALARM`` where None; also ``ca.DBE_LOG``,
            ``ca.DBE_PROPERTY``.
        :param callback: gets a dict as for :meth:`array_get_callback`.
        :param use_numpy: as for :meth:`array_get`.
        """
        self._check_callback(callback)
        status, evid = ca.create_subscription(
            self._chid, callback, req_type, count, mask, _ca.use_numpy(keywords), user_args=user_args
        )
        self._check(status, req_type, mask)  # if this fails, the earlier subscription stays
        before, self._evid = self._evid, evid
        if before is not None:
            self._check(ca.clear_subscription(before))

    def clear_event(self) -> None:
        """Ends the subscription; its callback does not start after this. See ca_clear_subscription."""
        if self._evid is not None:
            evid, self._evid = self._evid, None
            self._check(ca.clear_subscription(evid))

    def dropped_events(self) -> int:
        """Updates of the present subscription that were dropped because its callback did not keep up."""
        return 0 if self._evid is None else ca.dropped(self._evid)

    #
    # Execute
    #
    def pend_io(self, timeout: float | None = None) -> None:
        """Flushes, and waits until what was searched for and asked for has come.

        It waits for requests of the calling thread, through whichever channel, and for those of other threads that wait
        for nothing themselves. What has not come in time is not waited for again. See ca_pend_io.

        :param timeout: seconds, 0 for ever; this channel's timeout where None.
        :raises CaChannelException: ECA_TIMEOUT, with the PVs that did not answer; or what the first failed read came
            to.
        """
        _ca.wait_io(self.getTimeout() if timeout is None else timeout, self._chid)

    def pend_event(self, timeout: float | None = None) -> ECA:
        """Flushes, waits out the timeout, and returns when every callback due by then has run. See ca_pend_event.

        :param timeout: seconds, 0 for ever; 0.1 where None.
        :returns: ``ca.ECA_TIMEOUT``; in a callback, where it does not wait, ``ca.ECA_EVDISALLOW``
        """
        return ca.pend_event(0.1 if timeout is None else timeout)

    def poll(self) -> ECA:
        """Flushes, and returns when every callback due by now has run. See ca_poll.

        :returns: ``ca.ECA_TIMEOUT``; in a callback, where it does not wait, ``ca.ECA_EVDISALLOW``
        """
        return ca.poll()

    def flush_io(self) -> None:
        """Sends what was asked for, and does not wait. See ca_flush_io."""
        self._check(ca.flush_io())

    #
    # Information
    #
    def field_type(self) -> DBF:
        """The PV's native type; DBF.NOTCONN while it is not connected. See ca_field_type."""
        return ca.field_type(self._channel())

    def element_count(self) -> int:
        """Elements that the PV can hold; 0 while it is not connected. See ca_element_count."""
        return ca.element_count(self._channel())

    def name(self) -> str:
        """The name that was searched for. See ca_name."""
        return ca.name(self._channel())

    def state(self) -> ChannelState:
        """The state of the connection. See ca_state."""
        return ca.state(self._chid)

    def host_name(self) -> str:
        """Name and port of the server; ``<disconnected>`` where there is none. See ca_host_name."""
        return ca.host_name(self._channel())

    def read_access(self) -> bool:
        """Whether the PV can be read; False while it is not connected. See ca_read_access."""
        return ca.read_access(self._channel())

    def write_access(self) -> bool:
        """Whether the PV can be written; False while it is not connected. See ca_write_access."""
        return ca.write_access(self._channel())
