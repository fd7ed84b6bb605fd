"""A motor's SET mode, in which its position is redefined, not moved to: entered for a moment, and always left."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from . import _ca, ca
from ._constants import CA_OP_CONN_UP, ECA_DISCONN, ECA_PUTFAIL, ECA_TIMEOUT
from ._enums import CA_OP
from ._errors import CaChannelException
from ._motion import pause
from .CaChannel import CaChannel

_LOG = logging.getLogger("cachannel")

# Seconds between two looks.
_LOOK_AGAIN = 0.02


def wait_until_taken(channel: CaChannel, wanted: float, tolerance: float) -> None:
    """Waits until a field has the value that was written to it; behind a gateway that may take a while.

    :raises CaChannelException: ECA_PUTFAIL where it has not within the channel's timeout.
    """
    deadline = time.monotonic() + channel.getTimeout()
    while True:
        value = channel.getw()
        if abs(value - wanted) <= tolerance:
            return
        if time.monotonic() > deadline:
            detail = f"it does not take {wanted:.10g} in SET mode: it has {value:.10g}"
            raise CaChannelException(ECA_PUTFAIL, channel.name(), detail)
        pause(_LOOK_AGAIN)


def _reconnected(epics_args: tuple[ca.chid, CA_OP], user_args: tuple[threading.Event]) -> None:
    """The callback of the connection: makes good what could not be written while it was lost."""
    chid, op = epics_args
    if op == CA_OP_CONN_UP and user_args[0].is_set():
        user_args[0].clear()
        ca.put(chid, 0)
        ca.flush_io()


class SetMode:
    """Switches a motor between SET and USE mode.

    :param channel: its field SET, connected.
    :param motor: its name.
    """

    def __init__(self, channel: CaChannel, motor: str) -> None:
        self._channel = channel
        self._motor = motor
        self._owed = threading.Event()
        """Set while the way back into USE mode is not known to have been taken."""
        channel.change_connection_event(_ca.Own(_reconnected), self._owed)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Has the motor in SET mode while the block runs. Whatever happens there or here, it is put back into USE mode:
        where the connection is lost, as soon as it is back, for which this waits up to the channel's timeout, and which
        it leaves to the callback of the connection after that."""
        patience = self._channel.getTimeout()
        try:
            self._channel.putw(1)
            wait_until_taken(self._channel, 1, 0)
            yield
            self._leave(patience)
        except BaseException:
            # Once more where it was just that which failed, or where Ctrl-C came in between.
            tried = self._owed.is_set()
            try:
                self._leave(0 if tried else patience)
            except CaChannelException as consequence:
                if not tried:
                    _LOG.warning("%s", consequence)
            raise

    def _leave(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        self._owed.set()
        while True:
            try:
                self._channel.putw(0)
            except CaChannelException as error:
                gone = error.status in (ECA_DISCONN, ECA_TIMEOUT)
                if not gone or time.monotonic() >= deadline:
                    prospect = ", and is put back into USE mode when it reconnects" if gone else ""
                    detail = f"it may be in SET mode still{prospect}"
                    raise CaChannelException(int(error), self._motor, detail) from error
                pause(_LOOK_AGAIN)
            else:
                self._owed.clear()
                return
