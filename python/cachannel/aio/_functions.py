"""The functions of :mod:`cachannel.aio` that are awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from .. import _ca, ca
from .._constants import ECA_BADCOUNT, ECA_TIMEOUT
from .._enums import DBF
from .._errors import CaChannelException, CaChannelTypeError, CaChannelValueError
from .._value_specs import FORMAT_RAW, FORMAT_TIME, dbr_number, value_spec
from .._writes import text_for
from ..values import is_value
from ._loop import Channel, LoopState, state
from ._nothing import CAInfo, CANothing, raised
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


async def connected(here: LoopState, names: list[str], deadline: float | None) -> list[Channel | CANothing]:
    """The channels of the PVs, and a CANothing for each that does not connect in time."""
    channels: list[Channel | CANothing] = []
    for name in names:
        try:
            channels.append(here.channel(name))
        except (CaChannelTypeError, CaChannelValueError):
            raise
        except CaChannelException as error:
            channels.append(CANothing(name, int(error.status)))
    chids = [channel.chid for channel in channels if isinstance(channel, Channel)]
    if chids and not await here.until(_ca.wait_for_connections(chids), deadline):
        return [
            channel if isinstance(channel, CANothing) or channel.connected else CANothing(channel.name, ECA_TIMEOUT)
            for channel in channels
        ]
    return channels


def settle(results: list[Any], single: bool, throw: bool) -> Any:
    """What a caller gets: raises the first failure where `throw`."""
    if throw:
        for result in results:
            if isinstance(result, CANothing) and not result.ok:
                raise raised(result)
    return results[0] if single else results


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
        for name in names:
            here.channel(name)
        ca.flush_io()
        return settle([CANothing(name) for name in names], single, throw)
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
        return settle([CAInfo(name, here.channel(name).chid) for name in names], single, throw)
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
    :param throw: False: a PV that fails is a :class:`CANothing` among the values.
    :raises CANothing: ECA_TIMEOUT for a PV that is not found or does not answer in time, ECA_DISCONN for one whose
        server goes meanwhile, ECA_NORDACCESS.
    """
    names, single = names_of(pv)
    here, deadline = state(), deadline_of(timeout)
    specs = {spec_of(name, datatype, format, count) for name in names}
    channels = await connected(here, names, deadline)
    if throw:
        settle(channels, False, True)
    results: list[Any] = list(channels)
    # A name with a $ is asked for in another way than the others: one read for each way.
    for spec in specs:
        places = [
            place
            for place, channel in enumerate(channels)
            if isinstance(channel, Channel)
            and (len(specs) == 1 or spec_of(channel.name, datatype, format, count) is spec)
        ]
        if not places:
            continue
        reads = _ca.read_values([results[place].chid for place in places], spec)
        await here.until(reads, deadline)
        for place, result in zip(places, reads.results()):
            results[place] = result if is_value(result) else CANothing(names[place], int(result))
    return settle(results, single, throw)


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
        ECA_DISCONN, ECA_NOWTACCESS; with `wait` ECA_PUTFAIL where the server refuses the value.
    :raises CaChannelValueError: for a value that does not convert or fit. CaChannelTypeError for objects that do not
        convert at all. Nothing is sent then.
    """
    names, single = names_of(pv)
    values = [value] if single else _one_each(value, len(names), repeat_value)
    here, deadline = state(), deadline_of(timeout)
    channels = await connected(here, names, deadline)
    if throw:
        settle(channels, False, True)
    results: list[Any] = [one if isinstance(one, CANothing) else None for one in channels]
    targets = [
        (place, channel, text_for(channel.name, channel.chid, values[place]))
        for place, channel in enumerate(channels)
        if isinstance(channel, Channel)
    ]
    if targets:
        await _settle_states(here, [(channel, text) for _, channel, text in targets], deadline)
        failed = await _make_room(here, [channel for _, channel, _ in targets], deadline)
        if failed is not None:
            return settle([one or CANothing(name, ECA_TIMEOUT) for one, name in zip(results, names)], single, throw)
        number = _number_of(datatype, names[0])
        has_states = any(channel.known_properties is not None for _, channel, _ in targets)
        properties = [channel.properties for _, channel, _ in targets] if has_states else None
        writes = _ca.write_values(
            [channel.chid for _, channel, _ in targets],
            [text for _, _, text in targets],
            number,
            wait=wait,
            properties=properties,
        )
        await here.until(writes, deadline)
        for (place, channel, _), status in zip(targets, writes.results()):
            results[place] = CANothing(channel.name, int(status))
    return settle(results, single, throw)


def _number_of(datatype: Any, name: str) -> int | None:
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


async def _settle_states(here: LoopState, targets: list[tuple[Channel, Any]], deadline: float | None) -> None:
    """Awaits the names of the states of enums that get a text, where they are not known: the server compares these."""
    unknown = [
        channel
        for channel, value in targets
        if isinstance(value, (str, bytes))
        and ca.field_type(channel.chid) == DBF.ENUM
        and not channel.properties.settled
    ]
    if unknown:
        spec = value_spec(FORMAT_TIME, None, 1, aio=True)
        reads = _ca.read_values([one.chid for one in unknown], spec, [one.properties for one in unknown])
        await here.until(reads, deadline)
        reads.results()


async def _make_room(here: LoopState, channels: list[Channel], deadline: float | None) -> Channel | None:
    """Awaits that servers for which very much is queued read some of it; the channel of one that does not in time."""
    for channel in channels:
        while True:
            room = _ca.backlog(channel.chid)
            if room is None:
                break
            if not await here.until(room, deadline):
                return channel
    return None
