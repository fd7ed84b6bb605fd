"""What the methods of :class:`CaChannel` share: how callbacks are called, and what is raised where something fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _ca, ca
from ._constants import ECA_BADCHID, ECA_BADFUNCPTR, ECA_BADMASK, ECA_BADTYPE, ECA_DISCONN, ECA_NORMAL
from ._enums import CA_OP
from ._errors import CaChannelException, CaChannelTypeError

EventCallback = Callable[[dict[str, Any], tuple[Any, ...]], object]
"""A callback of a get, put or subscription: ``callback(epics_args, user_args)``."""

ConnectionCallback = Callable[[tuple[ca.chid, CA_OP], tuple[Any, ...]], object]
"""A callback of a connection: ``callback((chid, op), user_args)``."""


def with_user_args(callback: Callable[[Any, Any], object], user_args: Any) -> Callable[[Any, Any], object]:
    """A callback that hands on ``user_args`` as they are, None included."""
    return lambda args, _: callback(args, user_args)


class ChannelChecks(_ca.ChannelCore):
    """A channel that raises :class:`CaChannelException`, with its name, where ``ca`` returns a status."""

    _pvname: str | bytes | None
    _chid: ca.chid | None

    def _name(self) -> str | None:
        name = self._pvname
        return name.decode(errors="replace") if isinstance(name, bytes) else name

    def _check(self, status: int, req_type: int | None = None, mask: int | None = None) -> None:
        if status != ECA_NORMAL:
            detail = ""
            if status == ECA_BADCHID:
                detail = "search for the PV first"
            elif status == ECA_DISCONN:
                detail = "the PV is not connected"
            elif status == ECA_BADTYPE and req_type is not None:
                detail = f"{req_type!r} is no request type that this takes"
            elif status == ECA_BADMASK:
                detail = f"{mask!r} is none of DBE_VALUE, DBE_LOG, DBE_ALARM, DBE_PROPERTY, or of their sums"
            raise CaChannelException(status, self._name(), detail)

    def _check_callback(self, callback: Any) -> None:
        if not callable(callback):
            detail = f"a callback must be callable, and {callback!r} is not"
            raise CaChannelTypeError(ECA_BADFUNCPTR, self._name(), detail)

    def _channel(self) -> ca.chid:
        if self._chid is None:
            raise CaChannelException(ECA_BADCHID, self._name(), "search for the PV first")
        return self._chid
