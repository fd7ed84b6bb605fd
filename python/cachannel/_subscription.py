"""Callbacks of a :class:`PV`."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from . import _ca, ca
from ._enums import ChannelState
from ._value_specs import Deadline

if TYPE_CHECKING:
    from .values import Value

ValueCallback = Callable[["Value"], object]
"""``callback(value)``."""

_TURN = 0.02
"""Seconds for which a thread that delivers updates itself does so before it looks what has come of them."""
_LOOK = 0.1
"""Seconds after which a thread that waits for an update looks whether its PV was closed."""


class Subscription:
    """A callback of a :class:`PV`: what :meth:`PV.subscribe` returns. As a context manager it is closed at the end."""

    def __init__(self, name: str, chid: ca.chid, callback: ValueCallback, evid: ca.evid) -> None:
        self._name = name
        self._chid = chid
        self._callback = callback
        self._evid = evid
        self._closed = False

    @property
    def name(self) -> str:
        """The PV's name."""
        return self._name

    @property
    def callback(self) -> ValueCallback:
        """The function that is called."""
        return self._callback

    @property
    def closed(self) -> bool:
        """Whether it was closed, or its PV."""
        return self._closed or ca.state(self._chid) == ChannelState.CLOSED

    @property
    def dropped(self) -> int:
        """Updates that were dropped, oldest first, because the callback did not keep up."""
        return _ca.dropped(self._evid)

    def close(self) -> None:
        """Ends it: the callback does not start again after this. See ca_clear_subscription."""
        self._closed = True
        ca.clear_subscription(self._evid)
        ca.flush_io()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Subscription to {self._name!r}{' closed' if self.closed else ''}>"


class Watch:
    """The callback of a wait for a value, and what has come of it."""

    def __init__(self, is_wanted: Callable[[Value], object]) -> None:
        self._is_wanted = is_wanted
        self._news = _ca.News()
        self._found: Value | None = None
        self._error: BaseException | None = None

    def look(self, value: Value) -> None:
        if self._found is not None or self._error is not None:
            return
        try:
            if self._is_wanted(value):
                self._found = value
        except BaseException as error:
            # It belongs to the caller of the wait.
            self._error = error
        if self._found is not None or self._error is not None:
            self._news.add()

    def wait(self, deadline: Deadline, chid: ca.chid) -> Value | None:
        """The value; None where it has not come in time, or the PV was closed."""
        delivers = _ca.delivers_events(chid)
        # A PV that another thread closes brings nothing any more, and does not say so.
        while not (self._news.count or deadline.is_over() or ca.state(chid) == ChannelState.CLOSED):
            if delivers:
                # Nobody else calls `look`.
                ca.pend_event(min(deadline.left() or _TURN, _TURN))
            else:
                self._news.wait(0, min(deadline.left() or _LOOK, _LOOK))
        if self._error is not None:
            raise self._error
        return self._found
