"""Texts as numbers, CHAR PVs of one element, integers of 64 bits, and states in the server's bytes."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from cachannel import CaChannel, CaChannelException, CaChannelTypeError, CaChannelValueError, ChannelGroup, ca, epicsPV
from cachannel.util import caget, caput
from helpers import Connect, MakeChannel, read, write
from server_process import wait_for

REQUESTS = [None, ca.DBR_CHAR, ca.DBR_STRING, ca.DBR_SHORT, ca.DBR_LONG, ca.DBR_ENUM, ca.DBR_DOUBLE]
ONE_CHAR = ["oneCHAR", "oneUCHAR", "calong.TPRO", "calong.DISP", "states.B0"]


def every_put(channel: CaChannel, prefix: str, name: str) -> dict[str, Any]:
    """Each way of writing a value, by its name: those with a request type take it second."""
    pv = epicsPV.epicsPV(prefix + name)
    chid = channel._chid

    def callback(value: Any, req_type: int | None = None) -> None:
        done: list[int] = []
        channel.array_put_callback(value, req_type, None, lambda args, _: done.append(args["status"]))
        channel.flush_io()
        wait_for(lambda: done)
        assert done == [ca.ECA_NORMAL]

    def sync_group(value: Any, req_type: int | None = None) -> None:
        _, gid = ca.sg_create()
        try:
            assert ca.sg_put(gid, chid, value, req_type) is ca.ECA.NORMAL
            assert ca.sg_block(gid, 10) is ca.ECA.NORMAL
        finally:
            ca.sg_delete(gid)

    def group(value: Any) -> None:
        with ChannelGroup([prefix + name]) as members:
            members.put([value], wait=True)

    return {
        "putw": channel.putw,
        "array_put": channel.array_put,
        "array_put_callback": callback,
        "ca.put": lambda value, req_type=None: ca.put(chid, value, req_type),
        "putWait": pv.putWait,
        "sg_put": sync_group,
        "caput": lambda value: caput(prefix + name, value),
        "caput(wait)": lambda value: caput(prefix + name, value, wait=True),
        "group": group,
    }


@pytest.mark.parametrize("name", ["oneCHAR", "oneUCHAR", "plain.TPRO", "plain.DISP"])
def test_one_char_is_a_number_everywhere(make_channel: MakeChannel, prefix: str, name: str) -> None:
    channel = make_channel(name)
    for way, put in every_put(channel, prefix, name).items():
        typed = way not in ("caput", "caput(wait)", "group")
        for req_type in REQUESTS if typed else [None]:
            rest = () if req_type is None else (req_type,)
            for value, number in (("1", 1), (b"0", 0), ("0x1", 1), ("0\0", 0), (["1"], 1), (" 0 ", 0), (1, 1), (0, 0)):
                put(value, *rest)
                assert channel.getw() == number, (way, req_type, value)
            for bad in ("x", b"x", "", "\0", "1_0", "1.5", "256", "-129", ["x"], bytearray(b"on")):
                if bad in ("256", "-129", "1.5") and req_type not in (None, ca.DBR_CHAR, ca.DBR_STRING):
                    continue  # numbers of that type
                with pytest.raises(CaChannelValueError) as caught:
                    put(bad, *rest)
                assert caught.value.pvname == prefix + name
                assert channel.getw() == 0, (way, req_type, bad)


@pytest.mark.parametrize("name", ["oneCHAR", "oneUCHAR"])
@pytest.mark.parametrize("req_type", [None, ca.DBR_CHAR, ca.DBR_STRING])
@pytest.mark.parametrize(
    ("value", "number"), [("255", 255), (-1, 255), ("-128", 128), (200, 200), ("65", 65), ("A", None)]
)
def test_all_numbers_of_one_char(
    connect: Connect, name: str, req_type: int | None, value: Any, number: int | None
) -> None:
    chid = connect(name)
    write(chid, 5)
    if number is None:
        with pytest.raises(CaChannelValueError):
            ca.put(chid, value, req_type)
        assert read(chid) == 5
        return
    write(chid, value, req_type)
    assert read(chid) == number


@pytest.mark.parametrize("req_type", [None, ca.DBR_CHAR, ca.DBR_STRING])
@pytest.mark.parametrize("text", ["abc", "12", "0", "", "é"])
def test_an_array_of_char_is_a_text(make_channel: MakeChannel, req_type: int | None, text: str) -> None:
    channel = make_channel("wfCHAR")
    channel.putw([9] * 5)
    rest = () if req_type is None else (req_type,)
    channel.putw(text, *rest)
    assert channel.getw(ca.DBR_STRING) == text
    channel.putw(text.encode(), *rest)
    assert channel.getw(ca.DBR_STRING) == text


@pytest.mark.parametrize(
    ("text", "count", "number"), [("ab\0", 3, 3), ("ab\0", None, 4), (b"ab\0", 3, 3), ("\0", None, 2)]
)
def test_nuls_at_the_end_of_a_text_to_char_are_elements(
    connect: Connect, text: Any, count: int | None, number: int
) -> None:
    """As in 3.2.0."""
    chid = connect("wfCHAR")
    write(chid, [9] * 5)
    write(chid, text, None, count)
    assert read(connect("wfCHAR.NORD")) == number
    raw = text if isinstance(text, bytes) else text.encode()
    assert bytes(read(chid, None, 0)) == raw.ljust(number, b"\0")


@pytest.mark.parametrize("text", ["text\0", "text\0\0\0", b"text\0", "text" + "\0" * 100, np.array(["text\0"])])
@pytest.mark.parametrize("req_type", [None, ca.DBR_STRING])
def test_nuls_at_the_end_of_a_string_are_its_end(connect: Connect, text: Any, req_type: int | None) -> None:
    chid = connect("castr")
    write(chid, "before")
    write(chid, text, req_type)
    assert read(chid) == "text"
    for empty in ("\0", b"\0\0"):
        write(chid, empty, req_type)
        assert read(chid) == ""


def test_nuls_at_the_end_of_a_state(connect: Connect) -> None:
    chid = connect("cabo")
    write(chid, 0)
    write(chid, "Busy\0")
    assert read(chid) == 1


#
# Integers
#
NO_DOUBLE = [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63) + 1]


@pytest.mark.parametrize("number", NO_DOUBLE)
@pytest.mark.parametrize("wrap", [int, str, hex, np.int64, lambda n: [n], lambda n: np.array([n]), lambda n: [str(n)]])
def test_an_integer_that_no_double_holds_is_written_exactly(
    make_channel: MakeChannel, prefix: str, number: int, wrap: Any
) -> None:
    channel = make_channel("wide")
    for way, put in every_put(channel, prefix, "wide").items():
        channel.putw(0)
        put(wrap(number))
        assert int(channel.getw(ca.DBR_STRING)) == number, way


def test_unsigned_ones_too(connect: Connect) -> None:
    chid = connect("oneUINT64")
    for number in (2**64 - 1, np.uint64(2**63 + 1)):
        write(chid, number)
        assert int(read(chid, ca.DBR_STRING)) == number


@pytest.mark.parametrize("number", [*NO_DOUBLE, 2**64 - 1])
@pytest.mark.parametrize(
    "wrap", [int, str, lambda n: [1, n], lambda n: np.array([n, n]), lambda n: [np.uint64(n % 2**64)]]
)
@pytest.mark.parametrize("name", ["wfDOUBLE", "wfINT64", "wfUINT64"])
def test_in_arrays_it_is_refused(connect: Connect, prefix: str, name: str, number: int, wrap: Any) -> None:
    chid = connect(name)
    write(chid, [4, 5])
    value = wrap(number)
    with pytest.raises(CaChannelValueError, match="is no double"):
        ca.put(chid, value)
    with ChannelGroup([prefix + name]) as group, pytest.raises(CaChannelValueError, match="is no double"):
        group.put([value])
    assert read(chid, None, 0) == [4, 5]
    # With the request type DBR_DOUBLE, doubles are sent.
    write(chid, value, ca.DBR_DOUBLE)


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (2**64, 2.0**64),
        (2**64 + 1, 2.0**64),
        (10**30, 1e30),
        (-(2**70) - 1, -(2.0**70)),
        (2**53, 2.0**53),
        (2**62, 2.0**62),
    ],
)
@pytest.mark.parametrize("name", ["plain", "wfDOUBLE"])
def test_other_integers_go_as_doubles(connect: Connect, name: str, number: int, written: float) -> None:
    chid = connect(name)
    done: list[dict[str, Any]] = []
    for value in (number, str(number)):
        ca.put(chid, value, callback=done.append)
        ca.flush_io()
        wait_for(lambda: done)
        assert (done.pop()["type"], read(chid, None, 1)) == (ca.DBR.DOUBLE, written)


def test_a_group_of_large_integers(prefix: str) -> None:
    names = [prefix + name for name in ("wide", "oneINT64", "oneUINT64", "plain", "count")]
    with ChannelGroup(names) as group:
        for values in ([2**53 + 1, -(2**53) - 1, 2**63 + 1, 2.5, 7], np.array([2**53 + 1, 3, 2**53 + 3, 4, 5])):
            group.put(values, wait=True)
            written = [int(group[index].getw(ca.DBR_STRING)) for index in range(3)]
            assert written == [int(value) for value in values[:3]]


@pytest.mark.parametrize(("name", "mask", "instead"), [("oneLONG", 0xFFFFFFFF, -1), ("oneSHORT", 0x8000, -32768)])
@pytest.mark.parametrize("wrap", [int, hex, np.uint32, lambda n: [n], lambda n: np.array([n], "u4")])
def test_a_bit_mask_is_told_how_to_be_written(connect: Connect, name: str, mask: int, instead: int, wrap: Any) -> None:
    chid = connect(name)
    write(chid, 5)
    with pytest.raises(CaChannelValueError, match=f"for the bits of 0x{mask:X} write {instead}$"):
        ca.put(chid, wrap(mask))
    assert read(chid) == 5
    write(chid, instead)
    assert read(chid) == instead


@pytest.mark.parametrize("name", ["oneLONG", "oneSHORT", "plain", "wide", "oneFLOAT"])
@pytest.mark.parametrize(("text", "number"), [("0x10", 16), ("-0x10", -16), ("0XfF", 255), ("0x7fff", 32767)])
def test_hexadecimal_texts_are_as_in_caput_of_epics(connect: Connect, name: str, text: str, number: int) -> None:
    chid = connect(name)
    write(chid, text)
    ours = read(chid)
    # EPICS's caput sends the text, and the server reads it.
    write(chid, 0)
    write(chid, text, ca.DBR_STRING)
    assert ours == read(chid) == number


def test_a_decimal_is_a_float(connect: Connect) -> None:
    chid = connect("plain")
    write(chid, Decimal("1.25"))
    assert read(chid) == 1.25


#
# States
#
LATIN = ["µA", "°C", "größer"]


@pytest.fixture
def latin(make_channel: MakeChannel) -> CaChannel:
    for field, name in zip(("ZRST", "ONST", "TWST"), LATIN):
        make_channel(f"latin.{field}").putw(name.encode("latin-1"))
    return make_channel("latin")


def test_a_state_goes_in_the_bytes_of_the_server(latin: CaChannel, prefix: str) -> None:
    for way, put in every_put(latin, prefix, "latin").items():
        for number, name in enumerate(LATIN):
            latin.putw((number + 1) % 3)
            put(name)
            assert latin.getw() == number, way
            latin.putw((number + 1) % 3)
            put([name])
            assert latin.getw() == number, way


def test_the_server_matches_and_no_index_is_kept(latin: CaChannel, make_channel: MakeChannel) -> None:
    latin.putw("µA")
    assert latin.getw() == 0
    # The states change places: read anew.
    make_channel("latin.ZRST").putw("°C".encode("latin-1"))
    make_channel("latin.ONST").putw("µA".encode("latin-1"))
    latin.putw("µA")
    assert latin.getw() == 1
    # And become UTF-8.
    make_channel("latin.TWST").putw("µA")
    make_channel("latin.ONST").putw("one")
    latin.putw("µA")
    assert latin.getw() == 2


def test_a_state_that_is_cut_in_its_last_character(latin: CaChannel, make_channel: MakeChannel) -> None:
    long = "a state of 24 characters"
    make_channel("latin.TWST").putw(f"{long}µ".encode()[:25])
    latin.putw(0)
    latin.putw(long)
    assert latin.getw() == 2
    # The text of the state is that of the list, whichever way it is read.
    latin.array_get(ca.DBR_STRING)
    latin.pend_io()
    texts = [latin.getw(ca.DBR_STRING), latin.getValue(), caget(latin.name(), as_string=True)]
    with ChannelGroup([latin.name()]) as group:
        texts += group.get(as_string=True)
    latin.add_masked_array_event(ca.DBR_TIME_STRING, None, None, lambda event, _: texts.append(event["pv_value"]))
    latin.flush_io()
    wait_for(lambda: len(texts) == 5)
    assert texts == [long] * 5


def test_a_state_that_there_is_not(latin: CaChannel) -> None:
    latin.putw(1)
    for name in ("Ω", "µ", "ÂµA"):
        with pytest.raises(CaChannelException) as caught:
            latin.putw(name)
        assert caught.value.status is ca.ECA.PUTFAIL
    assert latin.getw() == 1


def test_no_text_is_no_state(latin: CaChannel, prefix: str) -> None:
    latin.putw(1)
    for put in every_put(latin, prefix, "latin").values():
        for text in ("", b"", "\0", [""]):
            with pytest.raises(CaChannelValueError, match="names no state"):
                put(text)
    assert latin.getw() == 1


def test_what_is_no_timeout(make_channel: MakeChannel, prefix: str) -> None:
    channel = make_channel("plain")
    channel.setTimeout(2)
    with ChannelGroup([prefix + "plain"]) as group:
        for call in (
            channel.setTimeout,
            channel.pend_io,
            lambda timeout: epicsPV.epicsPV(prefix + "plain").putWait(1, timeout=timeout),
            lambda timeout: group.get(timeout),
            lambda timeout: caput(prefix + "plain", 1, True, timeout),
        ):
            for timeout in ("5", b"5", "soon"):
                with pytest.raises(TypeError):
                    call(timeout)
    with pytest.raises(CaChannelTypeError):
        channel.setTimeout("5")  # type: ignore[arg-type]
    with pytest.raises(CaChannelValueError) as caught:
        channel.setTimeout(10**400)
    assert isinstance(caught.value.__cause__, OverflowError)
    assert channel.getTimeout() == 2
    channel.setTimeout(Decimal("1.5"))  # type: ignore[arg-type]
    assert channel.getTimeout() == 1.5


#
# A record that takes no writes
#
def test_a_disabled_record_says_so(make_channel: MakeChannel, prefix: str) -> None:
    channels = {name: make_channel(name) for name in ("states", "wide", "wfLONG")}
    why = "the PV takes no writes now"
    for name, channel in channels.items():
        disable = make_channel(f"{name}.DISP")
        disable.putw(1)
        try:
            ways = [
                lambda name=name: caput(prefix + name, 1, wait=True),
                lambda name=name: epicsPV.epicsPV(prefix + name).putWait(1),
                lambda name=name: ChannelGroup([prefix + name], 10).put(1, wait=True),
            ]
            if name == "states":
                ways += [lambda channel=channel: channel.putw(1), lambda: caput(prefix + "states", "one")]
            with ChannelGroup([prefix + name]) as group:
                ways.append(lambda group=group: group.put([1], wait=True))
                del ways[2]
                for way in ways:
                    with pytest.raises(CaChannelException, match=why) as caught:
                        way()
                    assert caught.value.status is ca.ECA.PUTFAIL
                    assert f"{prefix}{name}.DISP is 1" in str(caught.value)
        finally:
            disable.putw(0)
        assert disable.getw() == 0
        caput(prefix + name, 1, wait=True)


class _Floating:
    def __float__(self) -> float:
        return 2.5


class _Indexed:
    def __index__(self) -> int:
        return 7


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (_Floating(), "2.5"),
        (_Indexed(), "7"),
        (ca.AlarmSeverity.Invalid, "3"),
        (ca.ECA.NORMAL, "1"),
        (Fraction(5, 2), "2.5"),
        (Decimal("0.10"), "0.10"),
        (np.float32(0.5), "0.5"),
        (np.bool_(True), "True"),
        (np.int8(-3), "-3"),
        (2.5, "2.5"),
        (12, "12"),
    ],
)
def test_a_number_to_a_string_goes_as_its_text(make_channel: MakeChannel, value: Any, text: str) -> None:
    channel = make_channel("castr")
    channel.putw(value)
    assert channel.getw() == text
    channel.putw([value])
    assert channel.getw() == text


def test_what_a_number_raises_for_a_string_comes_through(make_channel: MakeChannel) -> None:
    class Broken:
        def __float__(self) -> float:
            raise MemoryError("no more")

    channel = make_channel("castr")
    channel.putw("before")
    with pytest.raises(MemoryError, match="no more"):
        channel.putw(Broken())
    assert channel.getw() == "before"
