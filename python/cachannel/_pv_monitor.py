"""The monitor of an :class:`epicsPV`: the subscription behind reads that do not ask the server."""

from __future__ import annotations

from typing import Any, Protocol

from . import _ca, ca
from ._checks import ConnectionCallback
from ._constants import CA_OP_CONN_DOWN, DBE_VALUE, ECA_NORMAL
from ._enums import CA_OP, DBF


class Brought(Protocol):
    """What callbacks have brought of a PV: its :class:`callBack`, which also gets the fields of each update."""

    newMonitor: int
    monitorState: int


class Monitor:
    """A subscription to a PV's value in its native type, and what it brought last."""

    __slots__ = ("callBack", "chid", "count", "current", "ended", "evid", "on_connection", "type", "use_numpy", "value")

    def __init__(
        self, chid: ca.chid, state: Brought, on_connection: tuple[ConnectionCallback | None, tuple[Any, ...]]
    ) -> None:
        self.chid = chid
        self.callBack = state
        self.on_connection = on_connection
        self.use_numpy = _ca.use_numpy({})
        self.evid: ca.evid | None = None
        self.type = DBF.NOTCONN
        self.count = 0
        self.value: Any = None
        self.current = False
        """Whether the value is of the present connection, and good."""
        self.ended = False

    def subscribe(self) -> int:
        """Subscribes to the PV as it is now; gives libca's status."""
        self.type = ca.field_type(self.chid)
        self.count = ca.element_count(self.chid)
        status, self.evid = ca.create_subscription(
            self.chid, _updated, None, self.count, DBE_VALUE, self.use_numpy, user_args=(self,)
        )
        return status

    def end(self) -> None:
        """Ends the subscription."""
        self.ended = True
        ca.clear_subscription(self.evid)
        ca.flush_io()

    def forget(self) -> None:
        """What came so far is no longer the PV's value."""
        self.current = False
        if self.callBack.monitorState == 2:
            self.callBack.monitorState = 1


def _updated(epics_args: dict[str, Any], user_args: tuple[Monitor]) -> None:
    """The subscription of a monitor has brought something."""
    monitor = user_args[0]
    state = monitor.callBack
    if epics_args["status"] == ECA_NORMAL:
        monitor.value = epics_args["pv_value"]
        monitor.current = True
        if state.monitorState == 1:
            state.monitorState = 2
    else:
        monitor.forget()
    vars(state).update(epics_args)
    state.newMonitor = 1


def connection_changed(epics_args: tuple[ca.chid, CA_OP], user_args: tuple[Monitor]) -> None:
    """The connection of a monitored PV has gone or come back."""
    monitor = user_args[0]
    if epics_args[1] == CA_OP_CONN_DOWN:
        monitor.forget()
    elif (ca.field_type(monitor.chid), ca.element_count(monitor.chid)) != (monitor.type, monitor.count):
        # Another server, or a record that was changed: the subscription goes on, but with the old type and count.
        ca.clear_subscription(monitor.evid)
        monitor.forget()
        monitor.subscribe()
        ca.flush_io()
        if monitor.ended:  # meanwhile, in another thread
            monitor.end()
    callback, its_args = monitor.on_connection
    if callback is not None:
        callback(epics_args, its_args)
