"""The monitors of :func:`cachannel.util.camonitor`."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from types import TracebackType
from typing import Any

from . import ca
from ._connections import Key, Request, is_connected, is_kept, keep, key, read
from ._constants import DBE_PROPERTY, ECA_DISCONN, ECA_NORMAL, POSIX_TIME_AT_EPICS_EPOCH
from ._enums import CA_OP, DBF
from ._errors import CaChannelException
from ._strings import Form, Properties, form, is_long_string

MonitorCallback = Callable[[dict[str, Any], tuple[()]], object]
"""``callback(epics_args, ())``; the second argument is there because callbacks of class CaChannel have it."""

MonitorConnectionCallback = Callable[[tuple[ca.chid, CA_OP], tuple[()]], object]
"""``callback((chid, op), ())``; ``op`` is ``ca.CA_OP_CONN_UP`` or ``ca.CA_OP_CONN_DOWN``."""

_log = logging.getLogger("cachannel")


class Monitor:
    """One callback of one PV, which :func:`camonitor` calls whenever the PV's value or alarm changes.

    A PV that is not there is subscribed to when it appears. As a context manager it stops at the end.

    :ivar pvname: the PV's name.
    :ivar callback: the function that is called.
    """

    pvname: str
    callback: MonitorCallback

    def __init__(
        self,
        name: str,
        chid: ca.chid,
        as_string: bool,
        count: int | None,
        callback: MonitorCallback | None,
        use_numpy: bool,
        connection_callback: MonitorConnectionCallback | None,
        missing: CaChannelException | None,
    ) -> None:
        self.pvname = name
        self.callback = self._print if callback is None else callback
        self._prints = callback is None
        self._connection_callback = connection_callback
        self._missing = missing
        """Why the PV is not connected, until it is for the first time."""
        self._told: CA_OP | None = None
        """What the connection callback was told last."""
        self._chid = chid
        self._as_string = as_string
        self._form = self._form_for(self._native_now())
        self._count = count
        self._use_numpy = use_numpy
        self._key = key(name)
        self._properties: Properties = {}
        self._evids: list[ca.evid] = []
        self._stopped = False

    def __repr__(self) -> str:
        return f"<Monitor of {self.pvname!r}{' stopped' if self._stopped else ''}>"

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends this callback; it does not start again after this. Others of the PV go on. See ca_clear_subscription."""
        _unregister(self)
        self._end()
        ca.flush_io()

    def _end(self) -> None:
        self._stopped = True
        evids, self._evids = self._evids, []
        for evid in evids:
            ca.clear_subscription(evid)
        if not _those_of(self._key, self._chid):
            ca.change_connection_event(self._chid, None)
            if not is_kept(self._key, self._chid):
                ca.clear_channel(self._chid)

    def properties_request(self) -> Request | None:
        """The read of what `subscribe` needs; None where it needs nothing."""
        form = self._form
        if self._missing is not None or form.convert is None:
            return None
        return Request(self.pvname, self._chid, form.plain(), 1, False)

    def subscribe(self, properties: Properties | None) -> None:
        """Asks for the updates; to be flushed."""
        form = self._form
        if form.convert is not None and properties is not None:
            self._properties = properties
            # Follows changes of the states.
            self._subscribe(self._changed, form.plain(), 1, DBE_PROPERTY, False)
        if self._may_convert():
            self._subscribe(self._update, form.base.toTIME(), self._count, None, self._use_numpy)
        else:
            self._subscribe(self.callback, form.base.toTIME(), self._count, None, self._use_numpy, native=True)

    def _may_convert(self) -> bool:
        """Whether values are made text, as the PV is now or may be once."""
        return self._as_string or is_long_string(self.pvname)

    def _native_now(self) -> tuple[DBF, int]:
        return ca.field_type(self._chid), ca.element_count(self._chid)

    def _form_for(self, native: tuple[DBF, int]) -> Form:
        self._native = native
        return form(self.pvname, *native, self._as_string)

    def _subscribe(
        self,
        callback: Callable[..., object],
        req_type: int,
        count: int | None,
        mask: int | None,
        use_numpy: bool,
        native: bool = False,
    ) -> None:
        status, evid = ca.create_subscription(
            self._chid, callback, req_type, count, mask, use_numpy, user_args=(), native=native
        )
        if evid is None or status != ECA_NORMAL:
            raise CaChannelException(status, self.pvname)
        self._evids.append(evid)

    def _changed(self, epics_args: dict[str, Any], user_args: tuple[()]) -> None:
        if not self._has_become_another() and epics_args["status"] == ECA_NORMAL:
            self._properties = epics_args

    def _update(self, epics_args: dict[str, Any], user_args: tuple[()]) -> None:
        if self._has_become_another():
            return
        if epics_args["status"] == ECA_NORMAL and self._form.convert is not None:
            if not self._properties:
                return  # they have been asked for already
            epics_args["pv_value"] = self._form.convert(epics_args["pv_value"], self._properties)
        self.callback(epics_args, user_args)

    def _has_become_another(self) -> bool:
        """Whether an update is not for the PV as it is now; the PV's present properties are asked for then."""
        native = self._native_now()
        if native == self._native or native[0] == DBF.NOTCONN:
            return False
        evids, self._evids = self._evids, []
        for evid in evids:
            ca.clear_subscription(evid)
        # Not the channel's type now: the PV may be gone again, and then has no type.
        self._form = self._form_for(native)
        # What the values need comes with the first update of the properties, before them.
        self.subscribe({})
        if self._stopped:  # meanwhile, by another thread
            self._end()
        ca.flush_io()
        return True

    def watch(self) -> None:
        """Has this monitor told of changes of the PV's connection from now on."""
        ca.change_connection_event(self._chid, _connection_changed, user_args=(self._key,))
        if self._missing is not None and is_connected(self._chid):
            self._appear()

    def tell_at_first(self) -> None:
        """Tells the state of the connection once all is started; ``_connection_changed`` tells later changes."""
        missing = self._missing
        if self._stopped:
            return
        if missing is None:
            self._tell(CA_OP.CONN_UP)
            return
        if self._prints and missing.status == ECA_DISCONN:
            self._print_disconnected()
        elif self._prints:
            self._say("*** Not connected (PV not found)")
        elif self._connection_callback is None:
            _log.warning("%s; camonitor goes on when it appears", missing)
        self._tell(CA_OP.CONN_DOWN)

    def connection_changed(self, op: CA_OP) -> None:
        """The PV has connected or disconnected."""
        if op == CA_OP.CONN_UP:
            self._appear()
        elif self._prints:
            self._print_disconnected()
        self._tell(op)

    def _appear(self) -> None:
        """The PV that was not there is connected, maybe: subscribes, unless that was done."""
        with _lock:
            if self._missing is None or self._stopped:
                return
            self._missing = None
        keep(self._key, self._chid)
        self._form = self._form_for(self._native_now())
        try:
            # Nothing can be read here, in a callback maybe: what the values need comes with the updates.
            self.subscribe({})
        except CaChannelException as error:
            _log.warning("%s; camonitor cannot subscribe to it", error)
        if self._stopped:  # meanwhile, by another thread
            self._end()
        ca.flush_io()

    def _tell(self, op: CA_OP) -> None:
        """Calls the connection callback, once for each change."""
        with _lock:
            if self._connection_callback is None or self._told == op or self._stopped:
                return
            self._told = op
        try:
            self._connection_callback((self._chid, op), ())
        except Exception:
            _log.exception("%s: the connection callback of camonitor has raised", self.pvname)

    def _print_disconnected(self) -> None:
        self._say(datetime.now().strftime("%Y-%m-%d %H:%M:%S.%f"), "*** Disconnected")

    def _print(self, epics_args: dict[str, Any], user_args: tuple[()]) -> None:
        """The callback where camonitor was given none: prints as EPICS's camonitor does, with the alarm if any."""
        if epics_args["status"] != ECA_NORMAL:
            self._say(ca.message(epics_args["status"]))
            return
        words = [local_time(epics_args["pv_seconds"], epics_args["pv_nseconds"]), str(epics_args["pv_value"])]
        status, severity = epics_args["pv_status"], epics_args["pv_severity"]
        if status or severity:
            words += [_alarm_text(ca.alarmStatusString, status), _alarm_text(ca.alarmSeverityString, severity)]
        self._say(*words)

    def _say(self, *words: str) -> None:
        # In one piece: other threads print as well.
        print(" ".join((self.pvname, *words)) + "\n", end="")


def local_time(seconds: int, nanoseconds: int) -> str:
    """A time stamp as text; the nanoseconds may be more than a second. A record that was never processed has none."""
    if not seconds and not nanoseconds:
        return "<undefined>"
    more, nanoseconds = divmod(nanoseconds, 1_000_000_000)
    stamp = datetime.fromtimestamp(seconds + more + POSIX_TIME_AT_EPICS_EPOCH)
    return stamp.replace(microsecond=nanoseconds // 1000).strftime("%Y-%m-%d %H:%M:%S.%f")


def _alarm_text(texts: Callable[[int], str], code: int) -> str:
    """The text of an alarm; the number of one that EPICS does not know."""
    try:
        return texts(code)
    except IndexError:
        return str(int(code))


def _connection_changed(epics_args: tuple[ca.chid, CA_OP], user_args: tuple[Key]) -> None:
    """The connection of a channel with monitors has changed."""
    chid, op = epics_args
    for monitor in _those_of(user_args[0], chid):
        monitor.connection_changed(op)


_monitors: dict[Key, list[Monitor]] = {}
_lock = threading.Lock()


def _forked() -> None:
    global _lock
    _lock = threading.Lock()
    _monitors.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _those_of(its_key: Key, chid: ca.chid) -> list[Monitor]:
    """The monitors of a PV that have this channel."""
    with _lock:
        return [monitor for monitor in _monitors.get(its_key, []) if monitor._chid is chid]


def _unregister(monitor: Monitor) -> None:
    with _lock:
        monitors = _monitors.get(monitor._key, [])
        with contextlib.suppress(ValueError):
            monitors.remove(monitor)
        if not monitors:
            _monitors.pop(monitor._key, None)


def _register(monitor: Monitor, add: bool) -> None:
    """Lists a monitor; unless `add`, those that the PV had until now end."""
    with _lock:
        replaced = [] if add else _monitors.pop(monitor._key, [])
        _monitors.setdefault(monitor._key, []).append(monitor)
    for one in replaced:
        one._end()


def start(
    monitors: list[Monitor | CaChannelException], deadline: float, add: bool
) -> list[Monitor | CaChannelException]:
    """Starts monitors; gives them, with exceptions for those that fail."""
    properties = read([one.properties_request() if isinstance(one, Monitor) else one for one in monitors], deadline)
    results: list[Monitor | CaChannelException] = []
    for monitor, found in zip(monitors, properties):
        if not isinstance(monitor, Monitor) or isinstance(found, CaChannelException):
            results.append(found)
            continue
        if monitor._missing is None:
            try:
                monitor.subscribe(found)
            except CaChannelException as error:
                monitor.stop()
                results.append(error)
                continue
        # The subscription is not sent yet: the callback starts after those that it replaces have ended.
        _register(monitor, add)
        monitor.watch()
        results.append(monitor)
    for result in results:
        if isinstance(result, Monitor):
            result.tell_at_first()
    # At the very end: as a rule the caller goes on before the first update comes, as with 3.x.
    ca.flush_io()
    return results


def stop_all(names: Iterable[str]) -> None:
    """Ends all monitors of the PVs."""
    for name in names:
        with _lock:
            monitors = _monitors.pop(key(name), [])
        for monitor in monitors:
            monitor._end()
    ca.flush_io()
