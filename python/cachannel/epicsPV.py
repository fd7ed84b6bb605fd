"""The class :class:`epicsPV`: a :class:`~cachannel.CaChannel` that connects at once, and that a monitor can serve."""

from __future__ import annotations

import threading
from typing import Any

from . import _ca, ca
from ._checks import ConnectionCallback
from ._constants import ECA_BADTYPE, ECA_IOINPROGRESS, ECA_NORMAL
from ._enums import CA_PRIORITY, DBF, DBR
from ._errors import CaChannelException
from ._pv_monitor import Monitor, connection_changed
from ._write_errors import write_failed
from .CaChannel import CaChannel

# What `from epicsPV import *` gave in 3.x.
__all__ = ["CaChannel", "ca", "callBack", "epicsPV", "getCallback", "putCallBack"]

_NOTHING: Any = object()


class callBack:
    """What callbacks have brought of a PV: ``pv.callBack``.

    It also has the fields of the last update or :meth:`epicsPV.getControl`, under the names that
    :meth:`CaChannel.array_get_callback` lists: ``chid, type, count, status, pv_value, pv_severity, pv_units,
    pv_upctrllim``, …
    """

    newMonitor: int
    """1 once something has come since the last read, or the last :meth:`epicsPV.checkMonitor`; else 0."""

    putComplete: int
    """1 once the last :meth:`epicsPV.putWait` is complete; else 0."""

    monitorState: int
    """0: not monitored; 1: monitored, but nothing has come since it connected; 2: monitored, and up to date."""

    pv_value: Any
    """The value that came last."""

    def __init__(self) -> None:
        self.newMonitor = 0
        self.putComplete = 0
        self.monitorState = 0
        self.pv_value = None

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"{name}: no callback has brought it so far; getControl() brings limits, units and the like"
        )


def _arrived(epics_args: dict[str, Any], user_args: tuple[callBack]) -> None:
    """What getControl(wait=0) asked for has come."""
    state = user_args[0]
    vars(state).update(epics_args)
    state.newMonitor = 1


def getCallback(epics_args: dict[str, Any], user_args: tuple[callBack]) -> None:
    """A callback for reads and subscriptions of a program: the :class:`callBack` in ``user_args`` gets what came."""
    if user_args[0].monitorState == 1:
        user_args[0].monitorState = 2
    _arrived(epics_args, user_args)


def putCallBack(epics_args: dict[str, Any], user_args: tuple[callBack]) -> None:
    """A callback for writes of a program: the :class:`callBack` in ``user_args`` learns that one is complete."""
    user_args[0].putComplete = 1


class epicsPV(CaChannel):
    """A process variable that connects when it is made and that, monitored, is read without asking its server.

    After :meth:`setMonitor` reads return what the server sent last, within a microsecond or so. Where there is no such
    value, because the first update has not come yet or because the PV is disconnected, a read asks the server: then it
    waits, at most the timeout, and it raises where the IOC is gone. An old value is never passed off as the present.
    (A callback that reads in a loop sees no update until it returns: updates come in callbacks, one after the other.)

    >>> pv = epicsPV("catest")
    >>> pv.putw(12.5)
    >>> pv.getw()
    12.5
    >>> pv.getControl()
    >>> pv.callBack.pv_units, pv.callBack.pv_precision, pv.callBack.pv_updislim
    ('mm', 4, 20.0)

    :param pvName: name of the PV; where None, it is given to a search method later.
    :param wait: True: wait for the connection, at most :attr:`ca_timeout` (:meth:`searchw`). False: only start to
        connect (:meth:`search`); a :meth:`pend_io` of this or any other channel then waits.
    :raises CaChannelException: ECA_TIMEOUT where it did not connect in time.
    """

    callBack: callBack
    """What callbacks have brought: the fields of :meth:`getControl`, and ``newMonitor, putComplete, monitorState``."""

    def __init__(self, pvName: str | bytes | None = None, wait: bool = True) -> None:
        self.callBack = callBack()
        self._monitor: Monitor | None = None
        self._asked: tuple[int | None, int | None, dict[str, Any]] = (None, None, {})
        self._on_connection: tuple[ConnectionCallback | None, tuple[Any, ...]] = (None, ())
        self._set = threading.Lock()  # setMonitor and clearMonitor of several threads
        super().__init__()
        if pvName is not None:
            if wait:
                self.searchw(pvName)
            else:
                self.search(pvName)

    #
    # Connection
    #
    def _create(
        self,
        pvName: str | bytes | None,
        callback: ConnectionCallback | None,
        user_args: tuple[Any, ...],
        priority: int = CA_PRIORITY.DEFAULT,
    ) -> None:
        self._on_connection = (callback, user_args)
        super()._create(pvName, callback, user_args, priority)

    def change_connection_event(self, callback: ConnectionCallback | None, *user_args: Any) -> None:
        """Replaces the connection callback; what is not callable removes it. See ca_change_connection_event."""
        self._on_connection = (callback if callable(callback) else None, user_args)
        if self._monitor is None:
            super().change_connection_event(callback, *user_args)
        else:
            self._monitor.on_connection = self._on_connection

    def clear_channel(self) -> None:
        """Closes the channel, with its subscriptions and its monitor. See ca_clear_channel."""
        self._monitor = None
        self.callBack.monitorState = 0
        super().clear_channel()

    #
    # Monitor
    #
    def setMonitor(self) -> None:
        """Has the server send the value now and whenever it changes; reads then return what it sent last.

        Nothing happens where it is monitored already. The PV must be connected. A disconnect ends a monitor only for as
        long as it lasts. It is independent of :meth:`add_masked_array_event`. See ca_create_subscription.

        Whether more than one element come as a numpy array is decided here, by the package's ``USE_NUMPY``.

        :raises CaChannelException: ECA_DISCONN where it is not connected, ECA_BADCHID where it was not searched for.
        """
        with self._set:
            if self._monitor is not None:
                return
            monitor = Monitor(self._channel(), self.callBack, self._on_connection)
            self._check(ca.change_connection_event(monitor.chid, connection_changed, user_args=(monitor,)))
            self.callBack.monitorState = 1
            status = monitor.subscribe()
            if status != ECA_NORMAL:
                self.callBack.monitorState = 0
                self._restore_connection_event(monitor.chid)
                self._check(status)
            self._asked = (None, None, {})
            self._dbrvalue = None
            self._monitor = monitor
        self.flush_io()

    def clearMonitor(self) -> None:
        """Ends what :meth:`setMonitor` began: reads ask the server again. See ca_clear_subscription."""
        with self._set:
            monitor, self._monitor = self._monitor, None
            self.callBack.monitorState = 0
            if monitor is not None:
                self._restore_connection_event(monitor.chid)
        if monitor is not None:
            monitor.end()

    def _restore_connection_event(self, chid: ca.chid) -> None:
        callback, user_args = self._on_connection
        ca.change_connection_event(chid, callback, user_args=user_args)

    def checkMonitor(self) -> int:
        """1 where an update, or the answer to ``getControl(wait=0)``, has come since the last read or the last call
        of this; else 0.

        It delivers what is due (:meth:`poll`), and does not wait; in a callback nothing comes. It stays 0 while the IOC
        is gone; a read tells that.
        """
        state = self.callBack
        if not state.newMonitor:
            self.poll()
        new, state.newMonitor = state.newMonitor, 0
        return new

    def _current(self, req_type: int | None, count: int | None, keywords: dict[str, Any]) -> Any:
        """What the monitor has for such a read; `_NOTHING` where only the server can tell."""
        monitor = self._monitor
        if monitor is None:
            return _NOTHING
        # In a non-preemptive context nobody else delivers updates: the last value would stay for ever.
        _ca.deliver_due(monitor.chid)
        if not monitor.current or not _ca.read_access(monitor.chid):
            return _NOTHING
        if req_type is not None and req_type != monitor.type:
            return _NOTHING
        # Before the value, so that an update in between counts as new.
        self.callBack.newMonitor = 0
        value = monitor.value
        elements = monitor.count
        if count is not None:
            if not isinstance(count, int) or count <= 0:
                # 0, as many as there are now, is for the server to tell, and anything else for the core to judge.
                return _NOTHING
            elements = min(count, elements)
        other_container = bool(keywords) and _ca.use_numpy(keywords) != monitor.use_numpy
        if elements == 1:
            first = value if monitor.count == 1 else value[0]
            return first.item() if monitor.use_numpy and hasattr(first, "item") else first
        if other_container:
            return _NOTHING
        # A copy: changes that its caller makes must not show in the next read.
        return value[:elements].copy()

    #
    # Read
    #
    def array_get(self, req_type: int | None = None, count: int | None = None, **keywords: Any) -> Any:
        """Monitored, the value that came last, which :meth:`getValue` gives too; else as :meth:`CaChannel.array_get`.

        See :meth:`getw` for what a monitor serves. Where it cannot, this returns None: :meth:`getValue` then has what
        was asked for once :meth:`pend_io` has succeeded.
        """
        if self._monitor is not None:
            self._asked = (req_type, count, keywords)
            value = self._current(req_type, count, keywords)
            if value is not _NOTHING:
                self._dbrvalue = None
                return value
        super().array_get(req_type, count, **keywords)
        return None

    def getValue(self) -> Any:
        """Monitored, the value that came last; else, and after an :meth:`array_get` that the monitor cannot serve,
        as :meth:`CaChannel.getValue`.

        It waits only where the PV is monitored and nothing has come yet.

        :raises CaChannelException: as :meth:`getw`.
        """
        if self._monitor is None:
            return super().getValue()
        req_type, count, keywords = self._asked
        value = self._current(req_type, count, keywords)
        if value is not _NOTHING:
            # An answer that was asked for before the first update must not come after the last update.
            self._dbrvalue = None
            return value
        if self._dbrvalue is not None:
            try:
                return super().getValue()
            except CaChannelException as error:
                # A program that monitors a PV need not wait for it.
                if error.status != ECA_IOINPROGRESS:
                    raise
        return super().getw(req_type, count, **keywords)

    def getw(self, req_type: int | None = None, count: int | None = None, **keywords: Any) -> Any:
        """Monitored, the value that came last, at once; else as :meth:`CaChannel.getw`.

        Asked for in another type than the native one, with a count of 0 or with another ``use_numpy``, a monitored PV
        is read from its server, as it is before the first update and while it is disconnected.

        :raises CaChannelException: ECA_DISCONN while the IOC is gone, monitored or not; ECA_TIMEOUT where it does not
            answer in time.
        """
        value = self._current(req_type, count, keywords)
        if value is not _NOTHING:
            return value
        return super().getw(req_type, count, **keywords)

    def getControl(
        self,
        req_type: int | None = None,
        count: int | None = None,
        wait: int = 1,
        poll: float = 0.01,
        timeout: float | None = None,
    ) -> None:
        """Reads the value with its alarm, units, precision and limits into the attributes of :attr:`callBack`.

        Those are ``chid, type, count, status`` and what :meth:`CaChannel.array_get_callback` lists for CTRL; limits are
        in the units of the PV. ``newMonitor`` becomes 1. See ca_array_get_callback.

        :param req_type: a plain type (``ca.DBR_DOUBLE``); its CTRL type is asked for. The native one where None.
        :param count: elements to read at most; the PV's element count where None, as many as it holds now where 0.
        :param wait: 1: wait for the answer. 0: only ask; :meth:`checkMonitor` tells when it has come, and
            ``callBack.status`` what it came to.
        :param poll: ignored; there is nothing to poll.
        :param timeout: seconds to wait; 0 for ever; this channel's timeout where None.
        :raises CaChannelException: ECA_DISCONN where the IOC is gone, or goes meanwhile; ECA_TIMEOUT.
        """
        chid = self._channel()
        if self.state() != ca.ChannelState.CONN:
            self._check(ca.ECA_DISCONN)
        plain = self.field_type() if req_type is None else req_type
        control = ca.dbf_type_to_DBR_CTRL(plain)
        if control == DBR.INVALID:
            detail = f"getControl takes a plain type such as DBR_DOUBLE, not {plain!r}"
            raise CaChannelException(ECA_BADTYPE, self._name(), detail)
        self.callBack.newMonitor = 0
        if not wait:
            self.array_get_callback(control, count, _arrived, self.callBack)
            self.flush_io()
            return
        limit = self.getTimeout() if timeout is None else timeout
        fields = _ca.read_wait(chid, control, count, _ca.use_numpy({}), limit).get()
        value = fields["pv_value"]
        number = len(value) if hasattr(value, "__len__") and not isinstance(value, str) else 1
        if isinstance(value, str) and self.field_type() == DBF.CHAR:
            number = min(count or self.element_count(), self.element_count())
        fields.update(chid=chid, type=control, count=number, status=ca.ECA.NORMAL)
        _arrived(fields, (self.callBack,))

    #
    # Write
    #
    def putWait(
        self,
        value: Any,
        req_type: int | None = None,
        count: int | None = None,
        poll: float = 0.01,
        timeout: float | None = None,
    ) -> None:
        """Writes, and waits until the write, and the processing that it started, is complete.

        See :meth:`array_put` for the first three parameters, and ca_array_put_callback.

        :param poll: ignored; there is nothing to poll.
        :param timeout: seconds to wait; for ever where None or 0, as processing may rightly take long (a motor's move).
            Ctrl-C ends the wait, and so does a disconnect.
        :raises CaChannelException: ECA_TIMEOUT where it was not complete in time (what the IOC, or libca, has may be
            complete later), ECA_PUTFAIL where the server refused it, ECA_DISCONN where the IOC is gone, or goes
            meanwhile.
        """
        self.callBack.putComplete = 0
        seconds = 0.0 if timeout is None else timeout
        status = _ca.put_wait(self._channel(), value, req_type, count, timeout=seconds)
        if status != ECA_NORMAL:
            raise write_failed(status, self._name(), value)
        self.callBack.putComplete = 1
