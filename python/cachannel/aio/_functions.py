"""The functions of :mod:`cachannel.aio` that are awaited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from .. import _ca, ca
from .._constants import ECA_BADCOUNT, ECA_TIMEOUT
from .._enums import DBF
from .._errors import CaChannelValueError
from .._strings import is_long_string
from .._value_specs import FORMAT_RAW, FORMAT_TIME, dbr_number, value_spec
from .._writes import text_for
from ..values import is_value
from ._connecting import Places, channels_of, connected, settle, when_connected
from ._loop import Channel, LoopState, state
from ._nothing import CAInfo, CANothing
from ._requests import (
    DBR_CHAR_BYTES,
    DBR_CHAR_STR,
    DBR_CHAR_UNICODE,
    DEFAULT_TIMEOUT,
    Names,
    Timeout,
    deadline_of,
    names_of,
    spec_of,
)

if TYPE_CHECKING:
    from ..values import Value


@overload
async def connect(pv: str, wait: bool = ..., *, timeout: Timeout = ..., throw: bool = ...) -> CANothing: ...
@overload
async def connect(pv: Names, wait: bool = ..., *, timeout: Timeout = ..., throw: bool = ...) -> list[CANothing]: ...
async def connect(
    pv: str | Names,
    wait: bool = True,
    *,
    timeout: Timeout = DEFAULT_TIMEOUT,
    throw: bool = True,
) -> Any:
    """Connects to a PV, or to several. The other functions do so by themselves. See ca_create_channel.

    :param pv: name of a PV, or several names.
    :param wait: False: only begins to search.
    :param timeout: seconds for all of it, None for no limit, ``(deadline,)`` in seconds since 1970.
    :param throw: False: a PV that does not connect is a :class:`CANothing` that is false, and nothing is raised.
    :returns: a :class:`CANothing`, which is true; a list of them for several names.
    :raises CANothing: ECA_TIMEOUT for a PV that no server has answered for in time.
    """
    names, single = names_of(pv)
    here = state()
    if not wait:
        channels = channels_of(here, names)
        ca.flush_io()
        results = [one if isinstance(one, CANothing) else CANothing(one.name) for one in channels]
        return settle(results, single, throw)
    channels = await connected(here, names, deadline_of(timeout))
    results = [channel if isinstance(channel, CANothing) else CANothing(channel.name) for channel in channels]
    return settle(results, single, throw)


@overload
async def cainfo(pv: str, wait: bool = ..., *, timeout: Timeout = ..., throw: Literal[True] = ...) -> CAInfo: ...
@overload
async def cainfo(pv: str, wait: bool = ..., *, timeout: Timeout = ..., throw: bool) -> CAInfo | CANothing: ...
@overload
async def cainfo(
    pv: Names, wait: bool = ..., *, timeout: Timeout = ..., throw: Literal[True] = ...
) -> list[CAInfo]: ...
@overload
async def cainfo(pv: Names, wait: bool = ..., *, timeout: Timeout = ..., throw: bool) -> list[CAInfo | CANothing]: ...
async def cainfo(
    pv: str | Names,
    wait: bool = True,
    *,
    timeout: Timeout = DEFAULT_TIMEOUT,
    throw: bool = True,
) -> Any:
    """What is known of a PV, or of several, and of their connections: a :class:`CAInfo`.

    :param pv: name of a PV, or several names.
    :param wait: False: as it is now, connected or not.
    :param timeout: as for :func:`connect`, and so is `throw`.
    :returns: a :class:`CAInfo`; a list of them for several names.
    """
    names, single = names_of(pv)
    here = state()
    if not wait:
        channels = channels_of(here, names)
        ca.flush_io()
    else:
        channels = await connected(here, names, deadline_of(timeout))
    results = [one if isinstance(one, CANothing) else CAInfo(one.name, one.chid) for one in channels]
    return settle(results, single, throw)


@overload
async def caget(
    pv: str,
    datatype: Any = ...,
    format: int = ...,
    count: int = ...,
    *,
    timeout: Timeout = ...,
    throw: Literal[True] = ...,
) -> Value: ...
@overload
async def caget(
    pv: str, datatype: Any = ..., format: int = ..., count: int = ..., *, timeout: Timeout = ..., throw: bool
) -> Value | CANothing: ...
@overload
async def caget(
    pv: Names,
    datatype: Any = ...,
    format: int = ...,
    count: int = ...,
    *,
    timeout: Timeout = ...,
    throw: Literal[True] = ...,
) -> list[Value]: ...
@overload
async def caget(
    pv: Names,
    datatype: Any = ...,
    format: int = ...,
    count: int = ...,
    *,
    timeout: Timeout = ...,
    throw: bool,
) -> list[Value | CANothing]: ...
async def caget(
    pv: str | Names,
    datatype: Any = None,
    format: int = FORMAT_RAW,
    count: int = 0,
    *,
    timeout: Timeout = DEFAULT_TIMEOUT,
    throw: bool = True,
) -> Any:
    """Reads a PV, or several at once. See ca_array_get_callback.

    :param pv: name of a PV, or several names.
    :param datatype: another type than the PV's own: ``DBR_DOUBLE``, …, int, float, str, a numpy dtype;
        ``DBR_ENUM_STR`` for the text of an enum's state, ``DBR_CHAR_STR`` and ``DBR_CHAR_BYTES`` for what a CHAR array
        spells.
    :param format: what comes along: ``FORMAT_RAW`` nothing, ``FORMAT_TIME`` alarm and time, ``FORMAT_CTRL`` alarm and
        properties. See :mod:`cachannel.values`.
    :param count: elements to read at most; 0 for as many as there are, -1 for as many as the PV can hold.
    :param timeout: seconds for all of it, connecting included; None for no limit, ``(deadline,)`` in seconds since
        1970.
    :param throw: False: a PV that fails is a :class:`CANothing` among the values, and takes no time from the others,
        each of which is read as soon as it is connected.
    :raises CANothing: ECA_TIMEOUT for a PV that is not found or does not answer in time, ECA_DISCONN for one whose
        server goes meanwhile, ECA_NORDACCESS.
    """
    names, single = names_of(pv)
    here, deadline = state(), deadline_of(timeout)
    plain, long = spec_of("", datatype, format, count), spec_of("$", datatype, format, count)
    has_long = "$" in "".join(names)  # sooner than to look at each
    sent: list[tuple[Places, _ca.Reads]] = []

    async def send(places: Places, channels: list[Channel]) -> None:
        if not has_long:
            sent.append((places, _ca.read_values([channel.chid for channel in channels], plain)))
            return
        # A name with a $ is asked for in another way than the others: one read for each way.
        for spec, is_long in ((plain, False), (long, True)):
            some = [pair for pair in zip(places, channels) if is_long_string(pair[1].name) == is_long]
            if some:
                reads = _ca.read_values([channel.chid for _, channel in some], spec)
                sent.append(([place for place, _ in some], reads))

    try:
        results = await when_connected(here, names, deadline, throw, send)
        for _, reads in sent:
            await here.until(reads, deadline)
    finally:
        _forget(sent)
    for places, reads in sent:
        for place, result in zip(places, reads.results()):
            results[place] = result if is_value(result) else CANothing(names[place], int(result))
    return settle(results, single, throw)


def _forget(sent: Sequence[tuple[Any, _ca.Wait]]) -> None:
    """Nobody waits for what is not done."""
    for _, wait in sent:
        if not wait.done:
            wait.cancel()


@overload
async def caput(
    pv: str, value: Any, *, datatype: Any = ..., wait: bool = ..., timeout: Timeout = ..., throw: bool = ...
) -> CANothing: ...
@overload
async def caput(
    pv: Names,
    value: Any,
    *,
    repeat_value: bool = ...,
    datatype: Any = ...,
    wait: bool = ...,
    timeout: Timeout = ...,
    throw: bool = ...,
) -> list[CANothing]: ...
async def caput(
    pv: str | Names,
    value: Any,
    *,
    repeat_value: bool = False,
    datatype: Any = None,
    wait: bool = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
    throw: bool = True,
) -> Any:
    """Writes to a PV, or to several at once. See ca_array_put and ca_array_put_callback.

    :param pv: name of a PV, or several names.
    :param value: a number, str, bytes, sequence or numpy array; for several names one value each, or one for all where
        it is a str or no sequence. It is sent as it is, or not at all.
    :param repeat_value: one value for all, also where it is a sequence.
    :param datatype: another type to send than the PV's own.
    :param wait: waits until the processing that the write started is complete.
    :param timeout: seconds for all of it; None for no limit, ``(deadline,)`` in seconds since 1970. Without `wait` it
        counts for connecting, and for handing the value over where the server has stopped reading.
    :param throw: False: a PV that fails is a :class:`CANothing` that is false, and nothing is raised.
    :returns: a :class:`CANothing`, which is true; a list of them for several names.
    :raises CANothing: ECA_TIMEOUT for a PV that is not found, with `wait` for processing that is not complete in time
        (it goes on), without for a value that could not be handed over (it is withdrawn, unless libca has it in part).
        ECA_DISCONN, ECA_NOWTACCESS; with `wait` ECA_PUTFAIL where the server refuses the value; without, its refusal
        is logged.
    :raises CaChannelValueError: for a value that does not convert or fit. CaChannelTypeError for objects that do not
        convert at all. Nothing is sent then; without `throw`, nothing to PVs that were found at the same time.
    """
    names, single = names_of(pv)
    values = [value] if single else _one_each(value, len(names), repeat_value)
    here, deadline = state(), deadline_of(timeout)
    number = _number_of(datatype, names[0] if names else None)
    sent: list[tuple[Places, _ca.Writes]] = []

    def write(places: Places, channels: list[Channel], texts: list[Any]) -> None:
        if places:
            chids = [channel.chid for channel in channels]
            properties = [channel.known_properties for channel in channels]
            sent.append((places, _ca.write_values(chids, texts, number, wait=wait, properties=properties)))

    async def send(places: Places, channels: list[Channel]) -> None:
        texts = [text_for(names[place], channel.chid, values[place]) for place, channel in zip(places, channels)]
        await _settle_states(here, channels, texts, deadline)
        targets = list(zip(places, channels, texts))
        full = [target for target in targets if _ca.backlog(target[1].chid) is not None]
        if not full:
            write(places, channels, texts)
            return
        for place, channel, text in [target for target in targets if target not in full] + full:
            if await _has_room(here, channel, deadline):
                write([place], [channel], [text])

    try:
        results = await when_connected(here, names, deadline, throw, send)
        for _, writes in sent:
            await here.until(writes, deadline)
    finally:
        _forget(sent)
    for places, writes in sent:
        for place, status in zip(places, writes.results()):
            results[place] = CANothing(names[place], int(status))
    # What is a channel still has had no room.
    results = [one if isinstance(one, CANothing) else CANothing(one.name, ECA_TIMEOUT) for one in results]
    return settle(results, single, throw)


def _number_of(datatype: Any, name: str | None) -> int | None:
    if isinstance(datatype, int) and datatype in (DBR_CHAR_BYTES, DBR_CHAR_UNICODE, DBR_CHAR_STR):
        return None  # a text goes to a CHAR array as one
    return dbr_number(datatype, name)


def _one_each(value: Any, number: int, repeat_value: bool) -> list[Any]:
    """A value for each of so many PVs."""
    if repeat_value or isinstance(value, (str, bytes)):
        return [value] * number
    try:
        values = list(value)
    except TypeError:
        return [value] * number
    if len(values) != number:
        detail = f"{number} PVs need {number} values, not {len(values)}"
        raise CaChannelValueError(ECA_BADCOUNT, None, detail)
    return values


async def _settle_states(here: LoopState, channels: list[Channel], values: list[Any], deadline: float | None) -> None:
    """Awaits the names of the states of enums that get a text, where they are not known: the server compares these."""
    unknown = [
        channel
        for channel, value in zip(channels, values)
        if isinstance(value, (str, bytes))
        and ca.field_type(channel.chid) == DBF.ENUM
        and not channel.properties.settled
    ]
    if unknown:
        spec = value_spec(FORMAT_TIME, None, 1, aio=True)
        reads = _ca.read_values([one.chid for one in unknown], spec, [one.properties for one in unknown])
        await here.until(reads, deadline)
        reads.results()


async def _has_room(here: LoopState, channel: Channel, deadline: float | None) -> bool:
    """Awaits that a server for which very much is queued reads some of it; False where it does not in time."""
    while True:
        room = _ca.backlog(channel.chid)
        if room is None:
            return True
        if not await here.until(room, deadline):
            return False
