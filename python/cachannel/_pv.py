"""The class :class:`PV`: one PV as an object that has a value."""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Union

import numpy

from . import _ca, ca
from ._constants import (
    DBE_ALARM,
    DBE_PROPERTY,
    DBE_VALUE,
    ECA_DISCONN,
    ECA_EVDISALLOW,
    ECA_NORDACCESS,
    ECA_NORMAL,
    ECA_TIMEOUT,
)
from ._enums import CA_OP, DBF, ChannelState
from ._errors import CaChannelException, CaChannelTimeout, failure, of_today
from ._not_found import one_not_found
from ._pv_attributes import PVAttributes
from ._strings import is_long_string
from ._subscription import Subscription, ValueCallback, Watch
from ._timeouts import seconds
from ._value_specs import FORMAT_TIME, Deadline, checked_mask, dbr_number, type_to_read, value_spec
from ._write_errors import write_failed
from ._writes import text_for
from .CaChannel import CaChannel
from .values import ArrayValue, is_value

if TYPE_CHECKING:
    from .values import Value

Datatype = Union[int, type, None]
"""A DBR type, int, float, str, bytes or a numpy dtype; None for the PV's own."""

_SHOWN_WITHIN = 0.1
_LATE = "it was written, and may complete later"
_NOT_READ = "the server does not read: it was not written"
_IN_PART = "the server does not read: it will be written when the server reads again"


class PV(PVAttributes):
    """One PV as an object that has a value.

    >>> from cachannel import PV
    >>> test = PV("catest")
    >>> test.put(2.5, wait=True)
    >>> test.value + 1
    3.5
    >>> test.units
    'mm'

    It connects by itself, in the background, and again whenever its IOC comes back. What needs the connection waits
    for it: :meth:`get`, :meth:`put` and the attributes, `timeout` seconds at most (not in a callback, where nothing
    waits for a connection). All methods may be called from any thread.

    Its values are those of :mod:`cachannel.values`: a float, int, str or array that has ``timestamp``, ``severity``,
    ``status``, ``units``, ``precision``, ``enums`` and limits. Of an enum the value is the number of its state.

    :param name: name of the PV. The search for it begins at once. See ca_create_channel.
    :param timeout: seconds that methods wait where they are not told otherwise, 0 to give up at once, ``math.inf`` for
        ever; ``CaChannel.ca_timeout`` (3 s) where None.
    :param connection_callback: ``connection_callback(pv, connected)``, called whenever the PV connects or disconnects;
        it keeps the PV alive until :meth:`close`.
    :raises CaChannelException: for a name that cannot be one: empty, too long.
    """

    # A misspelt attribute is no new one: what is written to it would reach no server.
    __slots__ = ("__weakref__", "_chid", "_known_properties", "_name", "_process", "_timeout")

    def __init__(
        self,
        name: str,
        *,
        timeout: float | None = None,
        connection_callback: Callable[[PV, bool], object] | None = None,
    ) -> None:
        self._timeout = None if timeout is None else seconds(timeout, name)
        self._known_properties: _ca.Properties | None = None
        self._process = os.getpid()
        if connection_callback is None:
            self._chid = _ca.watch_channel(name, _ca.Own(_nothing))
        else:
            tell = connection_callback

            def changed(epics_args: tuple[ca.chid, CA_OP], user_args: tuple[()]) -> None:
                tell(self, epics_args[1] == CA_OP.CONN_UP)

            self._chid = _ca.watch_channel(name, changed)
        self._name = _ca.name(self._chid)
        ca.flush_io()

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def timeout(self) -> float:
        """Seconds that methods wait where they are not told otherwise."""
        return CaChannel.ca_timeout if self._timeout is None else self._timeout

    @property
    def connected(self) -> bool:
        """Whether it is connected now. See ca_state."""
        return ca.state(self._chid) == ChannelState.CONN

    def wait_connected(self, timeout: float | None = None) -> None:
        """Waits until it is connected.

        :param timeout: seconds; the PV's where None.
        :raises CaChannelTimeout: where no server has answered in time.
        """
        self._connect(Deadline(self._limit(timeout)))

    # Values

    def get(
        self,
        *,
        timeout: float | None = None,
        as_string: bool = False,
        count: int | None = None,
        datatype: Datatype = None,
    ) -> Value:
        """Reads the value. See ca_array_get_callback.

        :param timeout: seconds for all of it, connecting included; the PV's where None.
        :param as_string: an enum as the name of its state (its number where that has none), a CHAR array as the text in
            it up to its NUL; all other values come as they do without it.
        :param count: elements to read at most, and 1 gives a scalar; as many as there are where None.
        :param datatype: another type than the PV's own, to which the server converts: float, str (the record's text), a
            numpy dtype of floats; or ``ca.DBR_LONG``, …: to integers the server cuts, without a word.
        :returns: a value of :mod:`cachannel.values`, with time, alarm and properties.
        :raises CaChannelException: ECA_TIMEOUT (:class:`CaChannelTimeout`) where no server is found or the answer does
            not come in time, ECA_DISCONN where the server goes meanwhile, ECA_NORDACCESS where the PV may not be read.
        """
        deadline = Deadline(self._limit(timeout))
        self._connect(deadline)
        return self._read(self._spec(datatype, count, as_string), deadline)

    def _read(self, spec: _ca.ValueSpec, deadline: Deadline) -> Value:
        reads = _ca.read_values([self._chid], spec, [self._properties()])
        if not reads.wait(deadline.left()):
            reads.cancel()
        result: Any = reads.results()[0]
        if is_value(result):
            return result  # type: ignore[no-any-return]  # to checkers, a Value is Any
        if result == ECA_TIMEOUT:
            what = f"the server did not answer within {abs(round(deadline.limit, 3)):g} s"
            raise failure(result, self._name, what=what)
        raise failure(result, self._name)

    def put(self, value: Any, *, wait: bool = False, timeout: float | None = None, datatype: Datatype = None) -> None:
        """Writes the value. See ca_array_put and ca_array_put_callback.

        :param value: a number, str, bytes, sequence, or numpy array; what is read may be written back. To an enum the
            name of a state, or its number. It is sent as it is, or not at all.
        :param wait: wait until the processing that the write started is complete: the motor has arrived.
        :param timeout: seconds for all of it; where None, the PV's for the connection, and no limit for the completion.
        :param datatype: another type to send than the PV's own.
        :raises CaChannelException: ECA_TIMEOUT (:class:`CaChannelTimeout`) where no server is found, and with `wait`
            where the processing is not complete in time (it goes on); without, where the server has stopped reading,
            and the write could not be handed over (it is withdrawn, unless libca has it in part). ECA_NOWTACCESS,
            ECA_PUTFAIL where the server refuses the value, which is known with `wait`, and always of the name of a
            state. ECA_DISCONN where the server goes meanwhile.
        :raises CaChannelValueError: for a value that does not convert or fit. CaChannelTypeError for objects that do
            not convert at all. Nothing is sent then.
        """
        deadline = Deadline(self._limit(timeout))
        self._connect(deadline)
        value = text_for(self._name, self._chid, value)
        if ca.field_type(self._chid) == DBF.ENUM and isinstance(value, (str, bytes)):
            # The server compares the text with its states: their bytes have to be known.
            self._settle(deadline)
            if not wait:
                self._put_checked(value, deadline)
                return
        number = dbr_number(datatype, self._name)
        properties = None if self._known_properties is None else [self._known_properties]
        self._make_room(deadline)
        writes = _ca.write_values([self._chid], [value], number, wait=wait, properties=properties)
        limit = math.inf if wait and timeout is None else deadline.left()
        if not writes.wait(0.0 if limit == math.inf else limit):
            writes.cancel()
        status = writes.results()[0]
        if status == ECA_TIMEOUT:
            # What is done has been withdrawn.
            detail = _NOT_READ if writes.done else _LATE if wait else _IN_PART
            raise CaChannelTimeout(ECA_TIMEOUT, self._name, detail)
        if status != ECA_NORMAL:
            raise write_failed(status, self._name, value)

    def _put_checked(self, value: Any, deadline: Deadline) -> None:
        try:
            _ca.put_checked(self._chid, value, None, deadline.left())
        except CaChannelException as error:
            if isinstance(error, ValueError):
                raise
            if error.status == ECA_TIMEOUT:
                raise CaChannelTimeout(ECA_TIMEOUT, self._name, _LATE) from None
            raise write_failed(error.status, self._name, value) from None

    def _make_room(self, deadline: Deadline) -> None:
        """Waits while very much is queued for the server already."""
        while True:
            room = _ca.backlog(self._chid)
            if room is None:
                return
            if not room.wait(deadline.left()):
                room.cancel()
                raise CaChannelTimeout(ECA_TIMEOUT, self._name, _NOT_READ)

    @property
    def value(self) -> Value:
        """The value, read now; setting it is :meth:`put`."""
        return self.get()

    @value.setter
    def value(self, value: Any) -> None:
        self.put(value)

    # Updates

    def subscribe(
        self,
        callback: ValueCallback,
        *,
        mask: int = DBE_VALUE | DBE_ALARM | DBE_PROPERTY,
        count: int | None = None,
        as_string: bool = False,
        datatype: Datatype = None,
        latest_only: bool = False,
        first: bool = True,
    ) -> Subscription:
        """Has `callback` called with the value now, and whenever it changes. See ca_create_subscription.

        >>> subscription = PV("cacalc").subscribe(lambda value: None)
        >>> subscription.close()

        The PV need not be connected. The subscription goes on after each reconnect, and lives until it is closed, also
        where nobody refers to it or to the PV. A PV may have any number of subscriptions. The callbacks of all PVs run
        on one thread of their own, in the order in which the updates came; what a callback raises is logged.

        :param callback: ``callback(value)``, with a value of :mod:`cachannel.values` that has time, alarm and the
            properties as they are then.
        :param mask: which changes call back: ``ca.DBE_VALUE``, ``DBE_LOG``, ``DBE_ALARM``, ``DBE_PROPERTY``, added.
        :param count: elements at most, and 1 gives a scalar; as many as there are where None.
        :param as_string: as for :meth:`get`.
        :param datatype: as for :meth:`get`.
        :param latest_only: of the updates that come while callbacks run, only the newest is kept. Without, up to
            32,768, or 96 MiB, are; ``dropped`` counts what was dropped.
        :param first: whether the value at the time of the subscription calls back.
        """
        self._check_open()
        spec = self._spec(datatype, count, as_string)
        evid = _ca.subscribe_values(
            self._chid,
            callback,
            spec,
            checked_mask(mask, self._name),
            self._properties(),
            latest_only=latest_only,
            skips_first=not first,
        )
        ca.flush_io()
        return Subscription(self._name, self._chid, callback, evid)

    def wait_for(self, wanted: Callable[[Value], object] | object, timeout: float | None = None) -> Value:
        """Waits until the value is what is wanted. Each update is looked at.

        :param wanted: a value, or a function of one that says whether it is. A str is compared with the text of the
            value, as of :meth:`get` with ``as_string``; an array, or another sequence, with all of an array.
        :param timeout: seconds for all of it; the PV's where None, ``math.inf`` for ever.
        :returns: the value that was wanted.
        :raises CaChannelException: ECA_TIMEOUT (:class:`CaChannelTimeout`) where it has not come in time, ECA_DISCONN
            where the PV is closed meanwhile. What the function raises.
        """
        if _ca.in_callback():
            raise CaChannelException(ECA_EVDISALLOW, self._name, "in a callback no value comes: subscribe to it")
        limit = self._limit(timeout)
        deadline = Deadline(limit)
        is_wanted = wanted if callable(wanted) else lambda value: _is_equal(value, wanted)
        watch = Watch(is_wanted)
        with self.subscribe(watch.look, as_string=isinstance(wanted, str)):
            self._connect(deadline)
            found = watch.wait(deadline, self._chid)
        if found is None:
            self._check_open()
            awaited = "the value that is wanted" if callable(wanted) else reprlib.repr(wanted)
            what = f"{awaited} did not come within {abs(round(limit, 3)):g} s"
            raise CaChannelTimeout(ECA_TIMEOUT, self._name, what=what)
        return found

    def close(self) -> None:
        """Ends its subscriptions and its connection; it is of no use after this. See ca_clear_channel."""
        ca.clear_channel(self._chid)
        ca.flush_io()

    def __enter__(self) -> PV:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if ca.state(self._chid) == ChannelState.CLOSED:
            return f"<PV {self._name!r} closed>"
        if not self.connected:
            return f"<PV {self._name!r} not connected>"
        return f"<PV {self._name!r}{self._shown()}, connected to {ca.host_name(self._chid)}>"

    def _shown(self) -> str:
        """The value as the PV is shown with: read now, unless that takes long."""
        if ca.element_count(self._chid) != 1:
            return f" of {ca.element_count(self._chid)} elements"
        if _ca.in_callback():
            return ""
        try:
            value = self.get(timeout=_SHOWN_WITHIN, as_string=True)
        except CaChannelException:
            return ""
        shown = value if isinstance(value, str) else +value
        units = getattr(value, "units", "")
        return f" {shown} {units}" if units else f" {shown}"

    def _spec(self, datatype: Any, count: int | None, as_string: bool) -> _ca.ValueSpec:
        texts = as_string or is_long_string(self._name)
        number = type_to_read(datatype, self._name)
        return value_spec(FORMAT_TIME, number, count, texts=texts, state_texts=as_string)

    def _limit(self, timeout: float | None) -> float:
        return self.timeout if timeout is None else seconds(timeout, self._name)

    def _connect(self, deadline: Deadline) -> None:
        if ca.state(self._chid) == ChannelState.CONN:
            return
        self._check_open()
        if _ca.in_callback():
            raise CaChannelException(ECA_DISCONN, self._name, "in a callback nothing waits for a connection")
        waiting = _ca.wait_for_connections([self._chid])
        if not waiting.wait(deadline.left()):
            waiting.cancel()
            raise of_today(one_not_found(self._name, deadline.limit, ""))
        self._check_open()

    def _check_open(self) -> None:
        if ca.state(self._chid) == ChannelState.CLOSED:
            was = "closed" if self._process == os.getpid() else "made in another process, which has forked this one"
            raise CaChannelException(ECA_DISCONN, self._name, f"the PV was {was}")

    def _properties(self) -> _ca.Properties:
        """Its properties; the server is asked for them when they are wanted first, and has to tell of changes."""
        if self._known_properties is None:
            self._known_properties = _ca.Properties(self._chid)
            ca.flush_io()
        return self._known_properties

    def _settle(self, deadline: Deadline) -> None:
        """Waits until the properties are known."""
        if not self._properties().settled:
            self._read(self._spec(None, 1, False), deadline)

    def _property(self) -> _ca.Update:
        deadline = Deadline(self.timeout)
        if not _ca.in_callback() or self.connected:
            self._connect(deadline)
            self._settle(deadline)
        latest = self._properties().latest
        if latest is None and self.connected and not ca.read_access(self._chid):
            raise CaChannelException(ECA_NORDACCESS, self._name)
        if latest is None:
            raise AttributeError(f"{self._name} has no properties: {self.type if self.connected else 'not connected'}")
        return latest


def _is_equal(value: Value, wanted: Any) -> bool:
    if not isinstance(value, ArrayValue):
        return bool(value == wanted)
    return numpy.array_equal(value, wanted)


def _nothing(epics_args: Any, user_args: Any) -> None:
    """What is called at changes of a connection that nobody wants to hear of."""


for _class in (PV, Subscription):
    _class.__module__ = "cachannel"  # where they are to be imported from
