"""The exceptions of the package."""

from __future__ import annotations

import errno
from typing import Any

from . import _ca
from ._constants import ECA_TIMEOUT
from ._enums import ECA


def _status(status: int) -> ECA | int:
    try:
        return ECA(status)
    except ValueError:
        return status


class CaChannelException(Exception):
    """A Channel Access operation failed.

    :ivar status: what it came to (:class:`ca.ECA`); also ``int(exception)``, and ``ca.message(exception)`` is its text.
    :ivar pvname: the PV it was about, or None.
    """

    status: ECA | int
    pvname: str | None

    def __new__(cls, status: int, *args: Any, **keywords: Any) -> CaChannelException:
        if cls is CaChannelException and status == ECA_TIMEOUT:
            cls = _Timeout
        # OSError, which TimeoutError is, would take these for its own.
        return super().__new__(cls) if not issubclass(cls, OSError) else OSError.__new__(cls)

    def __init__(self, status: int, pvname: str | None = None, detail: str = "", what: str = "") -> None:
        # `what` tells it better than libca's text for the status.
        super().__init__()
        self.args = (status, pvname, detail, *([what] if what else []))
        self.status = _status(status)
        self.pvname = pvname
        self._detail = detail
        self._what = what

    def __int__(self) -> int:
        return int(self.status)

    # `ca.message(exception)` is what programs for 3.x print.
    __index__ = __int__

    def __float__(self) -> float:
        # Otherwise it would be that of the index: a status that passes for a value.
        raise TypeError(f"an exception is no number: {self!r}")

    def _text(self) -> str:
        text = self._what or _ca.message(int(self.status))
        return f"{text}: {self._detail}" if self._detail else text

    def __str__(self) -> str:
        if not self.pvname:
            return self._text()
        # White space in a name is what one does not see.
        shown = repr(self.pvname) if any(map(str.isspace, self.pvname)) else self.pvname
        return f"{shown}: {self._text()}"

    def _with(self, more: str) -> CaChannelException:
        """The same with more to say."""
        detail = f"{more}; {self._detail}" if self._detail else more
        return CaChannelException(self.status, self.pvname, detail, self._what)


class CaChannelTimeout(CaChannelException, TimeoutError):
    """No answer came in time: a :class:`CaChannelException` with ECA_TIMEOUT, and a TimeoutError.

    Wherever such a status raises, it raises this class. (That of a call of CaChannel 3.x goes by the name that it had
    there.)
    """

    def __init__(self, status: int = ECA_TIMEOUT, pvname: str | None = None, detail: str = "", what: str = "") -> None:
        super().__init__(status, pvname, detail, what)
        self.errno = errno.ETIMEDOUT
        self.strerror = self._text()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args


class _Timeout(CaChannelTimeout):
    """The same, of the calls that CaChannel 3.x had, and by the name that such an exception has there.

    Programs, and the examples of 3.x, look at the name of the class that a traceback shows.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return CaChannelException, self.args


_Timeout.__name__ = _Timeout.__qualname__ = CaChannelException.__name__


def failure(status: int, pvname: str | None, detail: str = "", what: str = "") -> CaChannelException:
    """An exception of the classes of today, for a status."""
    kind = CaChannelTimeout if status == ECA_TIMEOUT else CaChannelException
    return kind(status, pvname, detail, what)


def of_today(error: CaChannelException) -> CaChannelException:
    """The same, where a time-out goes by its own name."""
    return CaChannelTimeout(*error.args) if type(error) is _Timeout else error


class _Misuse(CaChannelException):
    """What the caller gave was wrong, which the detail tells better than the status."""

    def _text(self) -> str:
        return self._detail or super()._text()


class CaChannelValueError(_Misuse, ValueError):
    """A value, or another argument, that does not convert or fit. Nothing was sent."""


class CaChannelTypeError(_Misuse, TypeError):
    """An object of a type that does not convert. Nothing was sent."""


for _class in (CaChannelException, CaChannelTimeout, _Timeout, CaChannelValueError, CaChannelTypeError):
    _class.__module__ = "cachannel"  # where they are to be imported from
