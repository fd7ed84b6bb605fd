"""Results for several PVs at once: values, and exceptions for the PVs that failed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ._constants import ECA_BADSTR
from ._errors import CaChannelException, CaChannelTypeError, CaChannelValueError

_NAMED_AT_MOST = 10


class CaNothing(CaChannelException):
    """Stands for a PV that failed, where a function of :mod:`cachannel.util` was called with ``throw=False``.

    It is false, and not None, so that ``if value is None`` and ``if not value`` tell different things apart. It may be
    raised.

    :ivar status: what it came to (:class:`ca.ECA`).
    :ivar pvname: the PV's name.
    :ivar ok: False, which is True of all values of :mod:`cachannel.values`.
    """

    ok = False

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"<CaNothing {self.pvname!r} {self.status!s}>"


def names_of(name: Any) -> tuple[list[str], bool]:
    """The names in what was given as `name`, and whether it was one name rather than several."""
    single = isinstance(name, (str, bytes))
    if not single and not isinstance(name, Iterable):
        raise CaChannelTypeError(ECA_BADSTR, None, f"a PV name is a str, not {name!r}")
    return [_name(one) for one in ([name] if single else name)], single


def _name(name: Any) -> str:
    if isinstance(name, bytes):
        return name.decode()
    if isinstance(name, str):
        return name
    raise CaChannelTypeError(ECA_BADSTR, None, f"a PV name is a str, not {name!r}")


def failures(results: Iterable[Any]) -> list[CaChannelException]:
    """The exceptions among the results."""
    return [result for result in results if isinstance(result, CaChannelException)]


def raise_first(results: Iterable[Any]) -> None:
    """Raises the first exception among the results; its text names the other PVs that failed."""
    failed = failures(results)
    if not failed:
        return
    first = failed[0]
    others = list(dict.fromkeys(str(error.pvname) for error in failed[1:]))
    if not others or isinstance(first, (CaChannelValueError, CaChannelTypeError)):
        raise first
    shown = ", ".join(others[:_NAMED_AT_MOST])
    if len(others) > _NAMED_AT_MOST:
        shown += f" and {len(others) - _NAMED_AT_MOST} more"
    raise first._with(f"also {shown}")


def return_or_raise(results: list[Any], single: bool, throw: bool) -> Any:
    """The results as a caller gets them: the one, or the list."""
    if throw:
        raise_first(results)
    else:
        results = [nothing(result) if isinstance(result, CaChannelException) else result for result in results]
    return results[0] if single else results


def nothing(error: CaChannelException) -> CaNothing:
    """The exception as a value."""
    return CaNothing(error.status, error.pvname, error._detail, error._what)
