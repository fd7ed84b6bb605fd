"""The functions of `cachannel.aio` that are awaited, and the values that they give: names and meanings are aioca's."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import sys
import time
from typing import Any, Callable

import numpy as np
import pytest
from cachannel import CaChannelException, CaChannelTypeError, CaChannelValueError, aio, ca
from loops import run, until

MISSING = "no:such:pv"

# Each test has a loop, and so channels, of its own.
pytestmark = pytest.mark.usefixtures("circuit")


def test_a_value_is_a_number_with_what_came_along(prefix: str) -> None:
    async def main() -> None:
        name = prefix + "catest"
        await aio.caput(name, 2.5, wait=True)
        raw = await aio.caget(name)
        assert (raw, raw.ok, raw.name, raw.datatype, raw.element_count) == (2.5, True, name, ca.DBR.DOUBLE, 1)
        assert isinstance(raw, float)
        assert type(+raw) is float
        for absent in ("severity", "timestamp", "units", "precision", "enums"):
            assert not hasattr(raw, absent), absent
        timed = await aio.caget(name, format=aio.FORMAT_TIME)
        assert (timed.severity, timed.status) == (ca.AlarmSeverity.No, ca.AlarmCondition.No)
        assert abs(timed.timestamp - time.time()) < 60
        assert timed.raw_stamp[0] + timed.raw_stamp[1] * 1e-9 == pytest.approx(timed.timestamp, abs=1e-6)
        assert timed.datetime.timestamp() == pytest.approx(timed.timestamp, abs=1e-5)
        assert not hasattr(timed, "units")
        full = await aio.caget(name, format=aio.FORMAT_CTRL)
        assert (full.units, full.precision, full.severity) == ("mm", 4, 0)
        limits = (full.lower_disp_limit, full.upper_disp_limit, full.lower_ctrl_limit, full.upper_ctrl_limit)
        assert limits == (-20, 20, 0, 0)
        alarms = (full.lower_alarm_limit, full.lower_warning_limit, full.upper_warning_limit, full.upper_alarm_limit)
        assert alarms == (-20, -10, 10, 20)
        assert not hasattr(full, "timestamp")
        again = pickle.loads(pickle.dumps(full))
        assert (again, again.units, again.name) == (2.5, "mm", name)

    run(main())


def test_an_alarm_shows(prefix: str) -> None:
    async def main() -> None:
        await aio.caput(prefix + "catest", 15, wait=True)
        value = await aio.caget(prefix + "catest", format=aio.FORMAT_TIME)
        assert (value.severity, value.status) == (ca.AlarmSeverity.Minor, ca.AlarmCondition.High)
        await aio.caput(prefix + "catest", 0, wait=True)

    run(main())


def test_a_record_that_was_never_processed_has_the_epoch_of_epics(prefix: str) -> None:
    async def main() -> None:
        value = await aio.caget(prefix + "unprocessed", format=aio.FORMAT_TIME)
        assert (value.raw_stamp, value.timestamp) == ((631152000, 0), 631152000.0)

    run(main())


@pytest.mark.parametrize(
    ("datatype", "expected"),
    [
        (None, 1),
        (aio.DBR_ENUM_STR, "Busy"),
        (aio.DBR_STRING, "Busy"),
        (str, "Busy"),
        (np.dtype("U10"), "Busy"),
        (aio.DBR_LONG, 1),
        (int, 1),
        (np.int32, 1),
        (float, 1.0),
        (aio.DBR_DOUBLE, 1.0),
        (np.float64, 1.0),
        ("f4", 1.0),
        (bytes, b"Busy"),
    ],
)
def test_types_that_an_enum_is_read_as(prefix: str, datatype: Any, expected: Any) -> None:
    async def main() -> None:
        await aio.caput(prefix + "cabo", "Busy", wait=True)
        value = await aio.caget(prefix + "cabo", datatype=datatype)
        assert value == expected
        assert isinstance(value, type(expected))
        await aio.caput(prefix + "cabo", 0, wait=True)

    run(main())


def test_states_of_an_enum(prefix: str) -> None:
    async def main() -> None:
        value = await aio.caget(prefix + "cabo", format=aio.FORMAT_CTRL)
        assert (value, value.enums) == (0, ["Done", "Busy"])
        text = await aio.caget(prefix + "catest", datatype=aio.DBR_ENUM_STR)  # no enum
        assert isinstance(text, float)

    run(main())


def test_texts_in_char_arrays(prefix: str) -> None:
    async def main() -> None:
        name = prefix + "text"
        await aio.caput(name, "a text of more than forty characters, as there is none in a STRING", wait=True)
        text = await aio.caget(name, datatype=aio.DBR_CHAR_STR)
        assert text == "a text of more than forty characters, as there is none in a STRING"
        assert text == await aio.caget(name, datatype=aio.DBR_CHAR_UNICODE)
        assert text.encode() == await aio.caget(name, datatype=aio.DBR_CHAR_BYTES)
        numbers = await aio.caget(name)
        assert (numbers.dtype, bytes(numbers[:6])) == (np.uint8, b"a text")
        await aio.caput(name, "short", datatype=aio.DBR_CHAR_STR, wait=True)
        assert await aio.caget(name, datatype=aio.DBR_CHAR_STR) == "short"
        # A name with a $ is a text by itself.
        note = prefix + "note"
        assert await aio.caput(note + ".VAL$", "by another name", wait=True)
        assert await aio.caget([note + ".VAL$", note]) == ["by another name", "by another name"]

    run(main())


def test_special_types(prefix: str) -> None:
    async def main() -> None:
        assert await aio.caget(prefix + "catest", datatype=aio.DBR_CLASS_NAME) == "ao"
        name = prefix + "plain"
        value = await aio.caget(name, datatype=aio.DBR_STSACK_STRING)
        assert (value.ackt, value.acks, value.severity) == (1, 0, 0)
        await aio.caput(name, 0, datatype=aio.DBR_PUT_ACKT, wait=True)
        assert (await aio.caget(name, datatype=aio.DBR_STSACK_STRING)).ackt == 0
        await aio.caput(name, 1, datatype=aio.DBR_PUT_ACKT, wait=True)

    run(main())


def test_elements_of_an_array(prefix: str) -> None:
    async def main() -> None:
        name = prefix + "cawave"
        await aio.caput(name, [1, 2, 3], wait=True)
        for count, expected in ((0, [1, 2, 3]), (-1, [1, 2, 3, 0, 0]), (2, [1, 2]), (1, [1]), (50, [1, 2, 3, 0, 0])):
            value = await aio.caget(name, count=count)
            assert isinstance(value, np.ndarray)
            assert value.tolist() == expected, count
            assert (value.element_count, value.name, value.ok) == (5, name, True)
        full = await aio.caget(name, format=aio.FORMAT_CTRL)
        assert (full.tolist(), full.units, full.upper_disp_limit) == ([1, 2, 3], "V", 10)
        assert full[1:].units == "V"
        assert type(full + 1) is np.ndarray
        await aio.caput(name, 7, wait=True)
        assert (await aio.caget(name)).tolist() == [7]
        await aio.caput(name, [], wait=True)
        assert (await aio.caget(name)).tolist() == []
        await aio.caput(prefix + "cawaves", ["a", "b"], wait=True)
        assert (await aio.caget(prefix + "cawaves")).tolist() == ["a", "b"]

    run(main())


def test_lists_are_read_and_written_at_once(many: list[str]) -> None:
    async def main() -> None:
        for names in (many, tuple(many), iter(many)):
            assert await aio.caget(names) == [int(name[-1]) for name in many]
        results = await aio.caput(many, list(range(len(many))), wait=True)
        assert all(results)
        assert [result.name for result in results] == many
        assert await aio.caget(many) == list(range(len(many)))
        assert all(await aio.connect(many))
        infos = await aio.cainfo(many)
        assert [info.name for info in infos] == many
        assert await aio.caget([]) == []
        assert await aio.caput([], []) == []

    run(main())


def test_one_value_for_all(prefix: str) -> None:
    async def main() -> None:
        names = [prefix + "plain", prefix + "note"]
        await aio.caput(names, 43, wait=True)
        assert await aio.caget(names) == [43, "43"]
        await aio.caput(names, "44", wait=True)
        assert await aio.caget(names) == [44, "44"]
        await aio.caput(names, [45, "forty-six"], wait=True)
        assert await aio.caget(names) == [45, "forty-six"]
        waves = [prefix + "cawave", prefix + "stream"]
        await aio.caput(waves, [1, 2], repeat_value=True, wait=True)
        assert [value.tolist() for value in await aio.caget(waves)] == [[1, 2], [1, 2]]
        await aio.caput(waves, [1, 2], wait=True)
        assert [value.tolist() for value in await aio.caget(waves)] == [[1], [2]]
        with pytest.raises(CaChannelValueError, match="2 PVs need 2 values, not 3"):
            await aio.caput(names, [1, 2, 3])

    run(main())


def test_some_of_a_list_are_missing(prefix: str) -> None:
    async def main() -> None:
        names = [prefix + "calong", MISSING, prefix + "note"]
        await aio.connect([names[0], names[2]])
        await aio.caput(names[0], 5, wait=True)
        for call in (
            lambda throw: aio.caget(names, timeout=0.2, throw=throw),
            lambda throw: aio.caput(names, 5, timeout=0.2, throw=throw, wait=True),
            lambda throw: aio.connect(names, timeout=0.2, throw=throw),
            lambda throw: aio.cainfo(names, timeout=0.2, throw=throw),
        ):
            results = await call(False)
            assert [result.ok for result in results] == [True, False, True]
            missing = results[1]
            assert (missing.name, missing.errorcode, bool(missing)) == (MISSING, ca.ECA_TIMEOUT, False)
            with pytest.raises(aio.CANothing) as caught:
                await call(True)
            assert (caught.value.name, caught.value.errorcode) == (MISSING, ca.ECA_TIMEOUT)
        assert await aio.caget(names[0]) == 5

    run(main())


def test_what_is_missing_raises(prefix: str) -> None:
    async def main() -> None:
        calls: list[Callable[[], Any]] = [
            lambda: aio.caget(MISSING, timeout=0.1),
            lambda: aio.caput(MISSING, 1, timeout=0.1),
            lambda: aio.connect(MISSING, timeout=0.1),
            lambda: aio.cainfo(MISSING, timeout=0.1),
            lambda: aio.caget(MISSING, timeout=(time.time() + 0.1,)),
        ]
        for call in calls:
            began = time.monotonic()
            with pytest.raises(TimeoutError) as caught:
                await call()
            assert 0.05 < time.monotonic() - began < 3
            error = caught.value
            assert isinstance(error, aio.CANothing)
            assert isinstance(error, CaChannelException)
            assert repr(error) == f"CANothing('{MISSING}', 80)"
            assert str(error) == f"{MISSING}: User specified timeout on IO operation expired"
            assert not error
            again = pickle.loads(pickle.dumps(error))
            assert (again.name, again.errorcode, again.ok) == (MISSING, 80, False)

    run(main())


def test_time_limits(prefix: str) -> None:
    async def main() -> None:
        name = prefix + "calong"
        await aio.connect(name)
        await aio.caput(name, 5, wait=True, timeout=None)
        assert await aio.caget(name, timeout=None) == 5
        assert await aio.caget(name, timeout=(time.time() + 10,)) == 5
        # Nothing may be waited for: what is there at once is there.
        assert await aio.connect(name, timeout=0)
        for late in (0, (time.time() - 1,)):
            failed = await aio.caget(name, timeout=late, throw=False)
            assert not isinstance(failed, aio.CANothing) or failed.errorcode == ca.ECA_TIMEOUT
        began = time.monotonic()
        assert not await aio.caget(MISSING, timeout=0, throw=False)
        assert time.monotonic() - began < 1
        assert not await aio.caput(prefix + "slow", 1, wait=True, timeout=0.05, throw=False)
        await aio.caput(prefix + "slow", 1, wait=True)
        for nonsense in ("soon", [1], float("nan"), -1):
            with pytest.raises((CaChannelTypeError, CaChannelValueError)):
                await aio.caget(name, timeout=nonsense)  # type: ignore[call-overload]

    run(main())


def test_a_put_that_waits_ends_when_the_processing_does(prefix: str) -> None:
    async def main() -> None:
        began = time.monotonic()
        assert await aio.caput(prefix + "slow", 2, wait=True)
        assert time.monotonic() - began > 0.4
        began = time.monotonic()
        result = await aio.caput(prefix + "slow", 3)
        assert time.monotonic() - began < 0.4
        assert (type(result), result.ok, result.errorcode) == (aio.CANothing, True, ca.ECA_NORMAL)
        assert result == result
        await aio.caput(prefix + "slow", 4, wait=True)

    run(main())


def test_an_enum_gets_its_text_or_its_number(prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        name = prefix + "states"
        for value, number in (("fifteen", 15), (3, 3), ("4", 4), (b"two", 2), (np.int16(7), 7)):
            await aio.caput(name, value, wait=True)
            assert await aio.caget(name) == number, value
        with pytest.raises(aio.CANothing, match=name) as caught:
            await aio.caput(name, "no state", wait=True)
        assert caught.value.errorcode == ca.ECA_PUTFAIL
        # Without a wait nobody is there to be told: it is logged.
        assert await aio.caput(name, "no state")
        assert await aio.caget(name) == 7
        await until(lambda: "Channel write request failed" in caplog.text)
        failed = await aio.caput(name, "no state", wait=True, throw=False)
        assert (failed.ok, failed.errorcode) == (False, ca.ECA_PUTFAIL)
        await aio.caput(name, 0, wait=True)

    run(main())


def test_what_does_not_convert_is_not_sent(prefix: str) -> None:
    async def main() -> None:
        names = [prefix + "plain", prefix + "calong"]
        await aio.caput(names, [1, 5], wait=True)
        for value in (1.5, 2**40, "x", object()):
            with pytest.raises((CaChannelValueError, CaChannelTypeError)):
                await aio.caput(names, [2, value], wait=True)
            assert await aio.caget(names) == [1, 5], value
        with pytest.raises(CaChannelValueError):
            await aio.caput(prefix + "cawave", range(6))

    run(main())


def test_no_access(prefix: str) -> None:
    async def main() -> None:
        read_only, hidden = prefix + "readonly", prefix + "hidden"
        for wait in (False, True):
            with pytest.raises(aio.CANothing) as caught:
                await aio.caput(read_only, 1, wait=wait)
            assert caught.value.errorcode == ca.ECA_NOWTACCESS
            assert str(caught.value).endswith("Write access denied")
        failed = await aio.caget([hidden, read_only], throw=False)
        assert failed[0].errorcode == ca.ECA_NORDACCESS
        assert failed[1].ok
        info = await aio.cainfo(read_only)
        assert (info.read, info.write) == (True, False)

    run(main())


def test_what_is_known_of_a_pv(prefix: str) -> None:
    async def main() -> None:
        waves, text, number = await aio.cainfo([prefix + "cawave", prefix + "note", prefix + "calong"])
        assert (waves.datatype, waves.count) == (6, 5)
        assert (text.datatype, text.datatype_strings[text.datatype]) == (0, "string")
        assert (number.ok, number.state_strings[number.state]) == (True, "connected")
        assert number.host.count(":") == 1
        shown = f"{prefix}calong:\n    State: connected\n    Host: {number.host}\n    Access: True, True\n"
        assert str(number) == shown + "    Data type: long\n    Count: 1"
        unknown = await aio.cainfo(MISSING, wait=False)
        assert (unknown.ok, unknown.datatype, unknown.count) == (True, 7, 0)
        assert "never connected" in str(unknown)
        assert "<disconnected>" in str(unknown)

    run(main())


def test_connecting_without_waiting(prefix: str) -> None:
    async def main() -> None:
        names = [prefix + "plain", prefix + "other", MISSING]
        assert all(await aio.connect(names, wait=False))
        infos = {info.name: info for info in aio.get_channel_infos()}
        assert set(infos) == set(names)
        connected = lambda: sum(info.connected for info in aio.get_channel_infos()) == 2  # noqa: E731
        await until(connected)
        assert repr(infos[MISSING]) == f"<ChannelInfo '{MISSING}' not connected, 0 subscribers>"
        aio.purge_channel_caches()
        assert aio.get_channel_infos() == []
        assert await aio.caget(prefix + "plain") == await aio.caget(prefix + "plain")

    run(main())


def test_channels_that_are_purged_end_what_waits_for_them(prefix: str) -> None:
    async def main() -> None:
        tasks = [
            asyncio.ensure_future(aio.caget([MISSING, prefix + "plain"], throw=False, timeout=30)),
            asyncio.ensure_future(aio.connect(MISSING, throw=False, timeout=30)),
            asyncio.ensure_future(aio.caput(prefix + "slow", 5, throw=False, timeout=30, wait=True)),
        ]
        await until(lambda: any(info.name.endswith("slow") and info.connected for info in aio.get_channel_infos()))
        aio.purge_channel_caches()
        values, missing, slow = await asyncio.wait_for(asyncio.gather(*tasks), 5)
        assert not values[0].ok
        assert not missing
        assert slow.ok in (True, False)

    run(main())


def test_names_that_are_none() -> None:
    async def main() -> None:
        for nonsense in (None, 5, b"bytes", [b"bytes"], [None], ""):
            with pytest.raises((CaChannelTypeError, CaChannelException)):
                await aio.caget(nonsense, timeout=0.2)  # type: ignore[call-overload]

    run(main())


def test_what_cannot_be_asked_for(prefix: str) -> None:
    async def main() -> None:
        name = prefix + "plain"
        for arguments in ({"format": 3}, {"format": "ctrl"}, {"datatype": 99}, {"datatype": "no type"}):
            with pytest.raises((CaChannelTypeError, CaChannelValueError)):
                await aio.caget(name, **arguments)  # type: ignore[call-overload]
            with pytest.raises((CaChannelTypeError, CaChannelValueError)):
                aio.camonitor(name, print, **arguments)  # type: ignore[call-overload]
        with pytest.raises((CaChannelTypeError, CaChannelValueError)):
            aio.camonitor(name, print, events=0)
        with pytest.raises((CaChannelTypeError, CaChannelValueError)):
            aio.camonitor(name, print, events=1 << 10)

    run(main())


def test_arguments_are_aiocas() -> None:
    """As positions, names and defaults in aioca 2.1."""
    expected = {
        aio.caget: "pv datatype=None format=0 count=0 *timeout=5.0 *throw=True",
        aio.connect: "pv wait=True *timeout=5.0 *throw=True",
        aio.cainfo: "pv wait=True *timeout=5.0 *throw=True",
        aio.camonitor: "pv callback events=None datatype=None format=0 count=0 all_updates=False "
        "notify_disconnect=False connect_timeout=None",
    }
    for function, arguments in expected.items():
        shown = []
        for parameter in inspect.signature(function).parameters.values():
            star = "*" if parameter.kind is parameter.KEYWORD_ONLY else ""
            default = "" if parameter.default is parameter.empty else f"={parameter.default}"
            shown.append(star + parameter.name + default)
        assert " ".join(shown) == arguments
        assert inspect.iscoroutinefunction(function) == (function is not aio.camonitor)
    accepts = inspect.signature(aio.caput)
    accepts.bind("pv", 1, datatype=None, wait=True, timeout=1, throw=False)
    accepts.bind(["pv"], 1, repeat_value=True)


def test_nothing_is_not_iterable() -> None:
    for nothing in (aio.CANothing("fine"), aio.CANothing("not", ca.ECA_DISCONN)):
        assert bool(nothing) is nothing.ok is (nothing.name == "fine")
        with pytest.raises(TypeError):
            iter(nothing)  # type: ignore[call-overload]


def test_outside_of_a_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        aio.camonitor("x", print)
    with pytest.raises(RuntimeError, match="no running event loop"):
        aio.PV("x")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")
def test_a_time_out_of_a_missing_pv_says_where_to_look() -> None:
    async def main() -> None:
        with pytest.raises(aio.CANothing) as caught:
            await aio.caget("no-such-pv:in-any-ioc", timeout=0.1)
        (note,) = caught.value.__notes__  # type: ignore[attr-defined]
        assert "python -m cachannel no-such-pv:in-any-ioc" in note

    run(main())
