"""The class CaChannel: every method, what it returns, and what it raises."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Callable

import cachannel
import numpy as np
import pytest
from cachannel import CaChannel, CaChannelException, CaChannelTypeError, CaChannelValueError, ChannelGroup, ca
from cachannel.util import caget, camonitor
from helpers import MakeChannel, RunScript, assert_quiet, read
from server_process import wait_for


@pytest.fixture
def use_numpy() -> Iterator[None]:
    cachannel.USE_NUMPY = True
    yield
    cachannel.USE_NUMPY = False


def test_version() -> None:
    assert CaChannel.version() == cachannel.__version__
    assert cachannel.__version__.startswith("4.0.0a1")
    assert CaChannel("x").version() == cachannel.__version__


def test_a_channel_that_was_never_searched(prefix: str) -> None:
    channel = CaChannel(prefix + "catest")
    assert channel.state() is ca.ChannelState.NEVER_SEARCH
    calls: list[Callable[[], Any]] = [
        lambda: channel.getw(),
        lambda: channel.putw(1),
        lambda: channel.array_get(),
        lambda: channel.array_put(1),
        lambda: channel.array_get_callback(None, None, lambda args, user: None),
        lambda: channel.array_put_callback(1, None, None, lambda args, user: None),
        lambda: channel.add_masked_array_event(None, None, None, lambda args, user: None),
        lambda: channel.field_type(),
        lambda: channel.element_count(),
        lambda: channel.name(),
        lambda: channel.host_name(),
        lambda: channel.read_access(),
        lambda: channel.write_access(),
        lambda: channel.change_connection_event(lambda args, user: None),
        lambda: channel.replace_access_rights_event(lambda args, user: None),
    ]
    for call in calls:
        with pytest.raises(CaChannelException) as caught:
            call()
        assert caught.value.status is ca.ECA.BADCHID
        assert caught.value.pvname == prefix + "catest"
    assert channel.getValue() is None
    channel.clear_event()
    channel.clear_channel()


def test_a_channel_that_is_cleared(make_channel: MakeChannel, prefix: str) -> None:
    channel = make_channel("catest")
    channel.clear_channel()
    assert channel.state() is ca.ChannelState.NEVER_SEARCH
    for call in (channel.getw, lambda: channel.putw(1), channel.name, channel.field_type):
        with pytest.raises(CaChannelException) as caught:
            call()
        assert caught.value.status is ca.ECA.BADCHID
        assert prefix + "catest" in str(caught.value)
    # It can be searched again.
    channel.searchw()
    assert isinstance(channel.getw(), float)


def test_a_channel_that_is_not_connected() -> None:
    channel = CaChannel("no-such-pv:in-any-ioc")
    channel.search()
    for call in (
        channel.getw,
        channel.array_get,
        lambda: channel.putw(1),
        lambda: channel.array_put(1),
        lambda: channel.array_get_callback(None, None, lambda args, user: None),
        lambda: channel.array_put_callback(1, None, None, lambda args, user: None),
    ):
        with pytest.raises(CaChannelException) as caught:
            call()
        assert caught.value.status is ca.ECA.DISCONN
        assert caught.value.pvname == "no-such-pv:in-any-ioc"
    assert channel.state() is ca.ChannelState.NEVER_CONN
    assert channel.field_type() is ca.DBF.NOTCONN
    assert channel.element_count() == 0
    assert channel.read_access() is False
    assert channel.write_access() is False
    channel.clear_channel()


def test_searchw_of_what_is_not_there() -> None:
    channel = CaChannel("no-such-pv:in-any-ioc")
    channel.setTimeout(0.1)
    with pytest.raises(CaChannelException) as caught:
        channel.searchw()
    assert caught.value.status is ca.ECA.TIMEOUT
    assert int(caught.value) == ca.ECA_TIMEOUT
    assert str(caught.value).startswith("no-such-pv:in-any-ioc: no server answered within 0.1 s: ")
    assert ca.message(caught.value) == "User specified timeout on IO operation expired"
    assert caught.value.pvname == "no-such-pv:in-any-ioc"
    channel.clear_channel()


def test_search_and_pend_io(prefix: str) -> None:
    channel = CaChannel()
    assert channel.search(prefix + "catest") is None
    assert channel.pend_io() is None
    assert channel.state() is ca.ChannelState.CONN
    assert channel.name() == prefix + "catest"
    channel.clear_channel()


def test_several_at_once(many: list[str]) -> None:
    channels = [CaChannel(name) for name in many]
    for channel in channels:
        channel.search()
    channels[0].pend_io(10)
    for channel in channels:
        channel.array_get()
    channels[7].pend_io(10)
    assert [channel.getValue() for channel in channels] == [float(name[-1]) for name in many]
    for channel in channels:
        channel.clear_channel()


def test_search_another_name(make_channel: MakeChannel, prefix: str) -> None:
    channel = make_channel("catest")
    channel.searchw(prefix + "cabo")
    assert channel.name() == prefix + "cabo"
    assert channel.field_type() is ca.DBF.ENUM
    # The name stays with the object.
    channel.clear_channel()
    channel.searchw()
    assert channel.name() == prefix + "cabo"


def test_the_name_may_be_bytes(prefix: str) -> None:
    channel = CaChannel((prefix + "catest").encode())
    channel.searchw()
    assert channel.name() == prefix + "catest"
    channel.clear_channel()
    channel.searchw((prefix + "calong").encode())
    assert channel.name() == prefix + "calong"
    channel.clear_channel()


@pytest.mark.parametrize("name", ["", b"", "a\0b", b"a\0b", "x" * 501, b"x" * 501, None, 5])
def test_a_bad_name(name: Any) -> None:
    for call in (
        lambda: CaChannel(name).search(),
        lambda: CaChannel(name).searchw(),
        lambda: CaChannel(name).search_and_connect(None, lambda args, user: None),
    ):
        with pytest.raises((CaChannelException, TypeError)):
            call()


MISTAKES = {
    "empty name": (lambda channel: channel.search(""), "empty"),
    "long name": (lambda channel: channel.search("x" * 501), "x{501}.*500 bytes"),
    "NUL in the name": (lambda channel: channel.search("a\0b"), "NUL"),
    "priority": (lambda channel: channel.search(priority=100), "0 to 99"),
    "empty sequence": (lambda channel: channel.putw([]), "catest.*empty sequence"),
    "empty sequence with array_put": (lambda channel: channel.array_put(()), "catest.*empty sequence"),
    "surrogate": (lambda channel: channel.putw("\udc80"), "castr.*surrogate"),
    "read type": (lambda channel: channel.getw(77), "catest.*77"),
    "read type of array_get": (lambda channel: channel.array_get(77), "catest.*77"),
    "write type": (lambda channel: channel.putw(1, 77), "catest.*77"),
    "type that is not written": (lambda channel: channel.putw(1, ca.DBR_STS_DOUBLE), "catest.*can be written"),
    "timeout": (lambda channel: channel.setTimeout("x"), "catest.*'x'"),
    "text for a read type": (lambda channel: channel.getw("DBR_LONG"), "catest.*'DBR_LONG'"),
    "text for a count": (lambda channel: channel.getw(count="x"), "catest.*'x'"),
    "negative count": (lambda channel: channel.getw(count=-3), "catest.*-3"),
    "huge count": (lambda channel: channel.getw(count=1 << 70), "catest.*1180591620717411303424"),
    "count of 0 for a write": (lambda channel: channel.array_put(1, None, 0), "catest.*count of 0"),
    "text for a mask": (lambda channel: channel.add_masked_array_event(None, None, "v", print), "catest.*'v'"),
    "mask": (lambda channel: channel.add_masked_array_event(None, None, 64, print), "catest.*64 is none of"),
    "read type with a callback": (lambda channel: channel.array_get_callback(77, None, print), "catest.*77"),
    "write type with a callback": (lambda channel: channel.array_put_callback(1, 77, None, print), "catest.*77"),
    "type of a subscription": (lambda channel: channel.add_masked_array_event(77, None, None, print), "catest.*77"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_explained(make_channel: MakeChannel, mistake: str) -> None:
    make, explanation = MISTAKES[mistake]
    channel = make_channel("castr" if mistake == "surrogate" else "catest")
    with pytest.raises(CaChannelException, match=explanation) as caught:
        make(channel)
    # The exception names the PV, though the name is invalid.
    assert str(caught.value.pvname) in str(caught.value)
    assert caught.value.pvname is not None


def test_a_search_callback_that_is_not_callable(prefix: str) -> None:
    channel = CaChannel(prefix + "catest")
    with pytest.raises(TypeError, match="callable"):
        channel.search_and_connect(None, "callback")
    assert channel.state() is ca.ChannelState.NEVER_SEARCH


@pytest.mark.parametrize("priority", [0, ca.CA_PRIORITY_ARCHIVE, 99])
def test_priority(prefix: str, priority: int) -> None:
    channel = CaChannel(prefix + "calong")
    channel.searchw(priority=priority)
    assert isinstance(channel.getw(), int)
    channel.search(priority=priority)
    channel.pend_io()
    assert isinstance(channel.getw(), int)
    channel.clear_channel()


@pytest.mark.parametrize("priority", [-1, 100])
def test_bad_priority(prefix: str, priority: int) -> None:
    channel = CaChannel(prefix + "calong")
    with pytest.raises(CaChannelException) as caught:
        channel.searchw(priority=priority)
    assert caught.value.status is ca.ECA.BADPRIORITY


def test_a_context_manager(prefix: str) -> None:
    with CaChannel(prefix + "catest") as channel:
        assert channel.state() is ca.ChannelState.CONN
        channel.putw(4)
        assert channel.getw() == 4.0
    assert channel.state() is ca.ChannelState.NEVER_SEARCH
    with pytest.raises(RuntimeError, match="inside"), CaChannel(prefix + "catest") as channel:
        raise RuntimeError("inside")
    assert channel.state() is ca.ChannelState.NEVER_SEARCH


def test_a_context_manager_of_what_is_not_there() -> None:
    channel = CaChannel("no-such-pv:in-any-ioc")
    channel.setTimeout(0.05)
    with pytest.raises(CaChannelException), channel:
        pytest.fail("not reached")


def test_repr(prefix: str) -> None:
    channel = CaChannel(prefix + "cawave")
    assert prefix + "cawave" in repr(channel)
    channel.searchw()
    text = repr(channel)
    assert text.startswith(f"<CaChannel '{prefix}cawave' connected to ")
    assert text.endswith(" DOUBLE[5]>")
    assert channel.host_name() in text
    channel.clear_channel()
    assert "connected to" not in repr(channel)
    assert "CaChannel" in repr(CaChannel())
    unconnected = CaChannel("no-such-pv:in-any-ioc")
    unconnected.search()
    assert "no-such-pv:in-any-ioc" in repr(unconnected)
    unconnected.clear_channel()


# Values


def test_putw_and_getw(make_channel: MakeChannel) -> None:
    channel = make_channel("catest")
    assert channel.putw(12.5) is None
    assert channel.getw() == 12.5
    assert channel.getw(ca.DBR_STRING) == "12.5000"
    assert channel.getw(ca.DBR_LONG) == 12
    assert channel.getw(req_type=ca.DBR.SHORT, count=1) == 12
    assert channel.putw("7.5", ca.DBR_STRING) is None
    assert channel.getw() == 7.5


def test_enum(make_channel: MakeChannel) -> None:
    channel = make_channel("states")
    channel.putw("eleven")
    assert channel.getw() == 11
    assert channel.getw(ca.DBR_STRING) == "eleven"
    channel.putw(3)
    assert channel.getw(ca.DBR_STRING) == "three"
    channel.putw(b"four")
    assert channel.getw() == 4


def test_putw_of_a_bad_state_raises(make_channel: MakeChannel, prefix: str) -> None:
    channel = make_channel("cabo")
    channel.putw(1)
    for text in ("Nonsense", b"Nonsense", ""):
        with pytest.raises(CaChannelException) as caught:
            channel.putw(text)
        assert caught.value.status is ca.ECA.PUTFAIL
        assert caught.value.pvname == prefix + "cabo"
        assert str(caught.value).endswith(f"the server does not take {text!r}")
        assert channel.getw() == 1
    with pytest.raises(CaChannelException):
        channel.putw("Nonsense", ca.DBR_STRING)
    assert channel.getw() == 1


def test_no_access(make_channel: MakeChannel) -> None:
    readonly, hidden = make_channel("readonly"), make_channel("hidden")
    for call in (
        lambda: readonly.putw(1),
        lambda: readonly.array_put(1),
        lambda: readonly.array_put_callback(1, None, None, lambda args, user: None),
    ):
        with pytest.raises(CaChannelException) as caught:
            call()
        assert caught.value.status is ca.ECA.NOWTACCESS
    assert readonly.getw() == 3.0
    for call in (hidden.getw, hidden.array_get):
        with pytest.raises(CaChannelException) as caught:
            call()
        assert caught.value.status is ca.ECA.NORDACCESS
    assert (readonly.read_access(), readonly.write_access()) == (True, False)
    assert (hidden.read_access(), hidden.write_access()) == (False, False)


def test_a_read_that_the_server_refuses(make_channel: MakeChannel, prefix: str) -> None:
    channel = make_channel("castr")
    channel.putw("hello")
    with pytest.raises(CaChannelException) as caught:
        channel.getw(ca.DBR_DOUBLE)
    assert caught.value.status is ca.ECA.GETFAIL
    assert caught.value.pvname == prefix + "castr"
    channel.array_get(ca.DBR_DOUBLE)
    with pytest.raises(CaChannelException) as caught:
        channel.pend_io()
    assert caught.value.status is ca.ECA.GETFAIL
    with pytest.raises(CaChannelException):
        channel.getValue()
    assert channel.getw() == "hello"


@pytest.mark.parametrize(
    ("name", "value", "error", "status"),
    [
        ("catest", None, CaChannelTypeError, "NOCONVERT"),
        ("catest", "x", CaChannelValueError, "NOCONVERT"),
        ("cawave", [1, "x", 3], CaChannelValueError, "NOCONVERT"),
        ("calong", float("nan"), CaChannelValueError, "NOCONVERT"),
        ("calong", float("inf"), CaChannelValueError, "NOCONVERT"),
        ("calong", 2**40, CaChannelValueError, "NOCONVERT"),
        ("cawavec", [300], CaChannelValueError, "NOCONVERT"),
        ("oneSHORT", 70000, CaChannelValueError, "NOCONVERT"),
        ("castr", "x" * 40, CaChannelValueError, "STRTOBIG"),
        ("castr", "a\0b", CaChannelValueError, None),
        ("catest", [], CaChannelException, "BADCOUNT"),
    ],
)
def test_bad_values(
    make_channel: MakeChannel, prefix: str, name: str, value: Any, error: type[Exception], status: str | None
) -> None:
    channel = make_channel(name)
    channel.putw("before" if name == "castr" else 1)
    before = channel.getw()
    for call in (
        lambda: channel.putw(value),
        lambda: channel.array_put(value),
        lambda: channel.array_put_callback(value, None, None, lambda args, user: pytest.fail("sent")),
    ):
        with pytest.raises(error) as caught:
            call()
        assert isinstance(caught.value, CaChannelException)
        assert caught.value.pvname == prefix + name
        assert prefix + name in str(caught.value)
        if status is not None:
            assert caught.value.status is ca.ECA[status]
    assert channel.getw() == before


@pytest.mark.parametrize("req_type", [39, -1, 1000])
def test_unknown_type(make_channel: MakeChannel, req_type: int) -> None:
    channel = make_channel("catest")
    channel.putw(1)
    for call in (
        lambda: channel.getw(req_type),
        lambda: channel.array_get(req_type),
        lambda: channel.array_get_callback(req_type, None, lambda args, user: None),
        lambda: channel.add_masked_array_event(req_type, None, None, lambda args, user: None),
        lambda: channel.putw(2, req_type),
        lambda: channel.array_put(2, req_type),
        lambda: channel.array_put_callback(2, req_type, None, lambda args, user: None),
    ):
        with pytest.raises(CaChannelException) as caught:
            call()
        assert caught.value.status is ca.ECA.BADTYPE
    assert channel.getw() == 1.0


def test_negative_count(make_channel: MakeChannel) -> None:
    channel = make_channel("cawave")
    for call in (
        lambda: channel.getw(count=-1),
        lambda: channel.array_get(None, -1),
        lambda: channel.array_get_callback(None, -1, lambda args, user: None),
        lambda: channel.add_masked_array_event(None, -1, None, lambda args, user: None),
        lambda: channel.array_put([1], None, -1),
        lambda: channel.array_put_callback([1], None, -1, lambda args, user: None),
    ):
        with pytest.raises(CaChannelException, match="count"):
            call()


@pytest.mark.parametrize("callback", [None, 5, "callback"])
def test_a_callback_that_is_not_callable(make_channel: MakeChannel, callback: Any) -> None:
    channel = make_channel("catest")
    channel.putw(1)
    for call in (
        lambda: channel.array_get_callback(None, None, callback),
        lambda: channel.array_put_callback(2, None, None, callback),
        lambda: channel.add_masked_array_event(None, None, None, callback),
    ):
        with pytest.raises(TypeError):
            call()
    assert channel.getw() == 1.0
    # These take None as "no callback", as the manual says.
    channel.change_connection_event(callback)
    channel.replace_access_rights_event(callback)


def test_waveforms(make_channel: MakeChannel) -> None:
    channel = make_channel("cawave")
    channel.putw([1, 2, 3])
    assert channel.getw() == [1.0, 2.0, 3.0, 0.0, 0.0]
    assert channel.getw(count=2) == [1.0, 2.0]
    assert channel.getw(ca.DBR_LONG, 4) == [1, 2, 3, 0]
    value = channel.getw(use_numpy=True)
    assert isinstance(value, np.ndarray)
    assert value.tolist() == [1.0, 2.0, 3.0, 0.0, 0.0]
    channel.putw((7, 8))
    channel.putw(np.array([[1, 2], [3, 4]], ">i2"))
    assert channel.getw() == [1.0, 2.0, 3.0, 4.0, 0.0]


def test_use_numpy_of_the_package(make_channel: MakeChannel, use_numpy: None) -> None:
    channel = make_channel("cawave")
    assert isinstance(channel.getw(), np.ndarray)
    assert isinstance(channel.getw(use_numpy=False), list)
    channel.array_get()
    channel.pend_io()
    assert isinstance(channel.getValue(), np.ndarray)
    assert isinstance(channel.getw(ca.DBR_TIME_DOUBLE)["pv_value"], np.ndarray)
    got: list[Any] = []
    channel.array_get_callback(None, None, lambda args, user: got.append(args["pv_value"]))
    channel.add_masked_array_event(None, None, None, lambda args, user: got.append(args["pv_value"]))
    channel.flush_io()
    wait_for(lambda: len(got) == 2)
    assert [type(value) for value in got] == [np.ndarray, np.ndarray]


def test_strings(make_channel: MakeChannel) -> None:
    channel = make_channel("cawaves")
    channel.putw(["string 1", "string 2"])
    assert channel.getw() == ["string 1", "string 2", ""]


TEXTS = ["abc", "", "é", "12345", "x"]


@pytest.mark.parametrize("text", TEXTS)
def test_char_waveform_as_text(make_channel: MakeChannel, text: str) -> None:
    channel = make_channel("cawavec")
    channel.putw([1, 1, 1, 1, 1])
    channel.putw(text)
    assert channel.getw(ca.DBR_STRING) == text
    for kind in ("STS", "TIME", "GR", "CTRL"):
        value = channel.getw(ca.DBR[f"{kind}_STRING"])
        assert value["pv_value"] == text
        assert value["pv_status"] is ca.AlarmCondition.No
    assert channel.getw(ca.DBR_STRING, use_numpy=True) == text
    assert channel.getw(ca.DBR_STRING, count=2) == text.encode()[:2].decode(errors="ignore") or text == "é"


def test_char_waveform_that_is_not_utf8(make_channel: MakeChannel) -> None:
    channel = make_channel("cawavec")
    channel.putw(b"\xff\xfe\x41")
    assert channel.getw(ca.DBR_STRING) == "ÿþA"
    channel.putw("cafés".encode()[:4] + b"\0")
    assert channel.getw(ca.DBR_STRING) == "cafÃ"
    channel.putw(b"cafe" + b"\xc3")
    assert channel.getw(ca.DBR_STRING) == "cafe"  # cut by the array's end
    channel.putw("é".encode() * 2)
    assert channel.getw(ca.DBR_STRING, 3) == "é"  # cut by the count


def test_long_text(make_channel: MakeChannel) -> None:
    channel = make_channel("text")
    text = "longer than the 40 bytes of a DBR_STRING: " * 20
    channel.putw(text)
    assert channel.getw(ca.DBR_STRING) == text


def every_way(channel: CaChannel, req_type: int | None, count: int | None = None, **keywords: Any) -> list[Any]:
    """What each way of reading of the class gives for a PV."""
    seen: list[Any] = []

    def came(args: dict[str, Any], user_args: tuple[Any, ...]) -> None:
        assert args["type"] == (channel.field_type() if req_type is None else req_type)
        seen.append(args["pv_value"])

    plain = channel.getw(req_type, count, **keywords)
    channel.array_get(req_type, count, **keywords)
    channel.pend_io(10)
    values = [plain, channel.getValue()]
    values = [value["pv_value"] if isinstance(value, dict) else value for value in values]
    channel.array_get_callback(req_type, count, came, **keywords)
    channel.add_masked_array_event(req_type, count, None, came, **keywords)
    channel.flush_io()
    wait_for(lambda: len(seen) == 2)
    channel.clear_event()
    return values + seen


STRINGS = [ca.DBR_STRING, ca.DBR_STS_STRING, ca.DBR_TIME_STRING, ca.DBR_GR_STRING, ca.DBR_CTRL_STRING]


@pytest.mark.parametrize("req_type", STRINGS)
def test_text_in_every_way(make_channel: MakeChannel, req_type: int) -> None:
    channel = make_channel("cawavec")
    channel.putw("abc")
    assert every_way(channel, req_type) == ["abc"] * 4
    assert every_way(channel, req_type, use_numpy=True) == ["abc"] * 4
    assert every_way(channel, req_type, 2) == ["ab"] * 4
    assert every_way(channel, req_type, 1) == ["a"] * 4
    assert every_way(channel, req_type, 0) == ["abc"] * 4


@pytest.mark.parametrize("req_type", [None, *STRINGS])
def test_one_char_is_a_number(make_channel: MakeChannel, req_type: int | None) -> None:
    channel = make_channel("oneCHAR")
    for number in (65, 0):
        channel.putw(number)
        expected = number if req_type is None else str(number)
        assert every_way(channel, req_type) == [expected] * 4
        assert every_way(channel, req_type, 1, use_numpy=True) == [expected] * 4


@pytest.mark.parametrize("req_type", STRINGS)
def test_a_state_without_a_name_has_its_number(make_channel: MakeChannel, prefix: str, req_type: int) -> None:
    channel = make_channel("gaps")
    for number, text in ((2, "2"), (9, "9"), (3, "three"), (1, " one ")):
        channel.putw(number)
        assert every_way(channel, req_type) == [text] * 4
        assert caget(prefix + "gaps", as_string=True) == text
        with ChannelGroup([prefix + "gaps", prefix + "states", prefix + "gaps"], timeout=10) as group:
            states = group.get(as_string=True)
        assert states[::2] == [text] * 2
        assert states[1] != ""
        seen: list[str] = []
        with camonitor(
            prefix + "gaps", as_string=True, callback=lambda args, _, seen=seen: seen.append(args["pv_value"]), add=True
        ):
            wait_for(lambda seen=seen: seen)
        assert seen == [text]
    # In module ca it is as in C.
    channel.putw(2)
    told = read(channel._chid, req_type)
    assert (told["value"] if isinstance(told, dict) else told) == ""


@pytest.mark.parametrize("text", ["  blanks ", "", "\t"])
def test_texts_are_the_servers_to_the_letter(make_channel: MakeChannel, prefix: str, text: str) -> None:
    channel = make_channel("castr")
    channel.putw(text)
    assert every_way(channel, ca.DBR_STRING) == [text] * 4
    with ChannelGroup([prefix + "castr"], timeout=10) as group:
        assert group.get(as_string=True) == [text]


ARRAYS: dict[str, list[Any]] = {
    "wfDOUBLE": [2.5, 3.5],
    "wfLONG": [7, 8],
    "wfCHAR": [9, 10],
    "wfENUM": [1, 2],
    "wfSTRING": ["one", "two"],
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_stays_an_array(make_channel: MakeChannel, name: str) -> None:
    """However many elements it holds; with the zeros that 3.2.0 gave where no count was given."""
    channel = make_channel(name)
    value = ARRAYS[name]
    nothing = type(value[0])()
    for held in (1, 2):
        channel.putw(value[:held])
        padded = value[:held] + [nothing] * (5 - held)
        expected: dict[int | None, Any] = {
            None: padded, 5: padded, 9: padded, 3: padded[:3], 0: value[:held], 1: value[0]
        }  # fmt: skip
        for count, wanted in expected.items():
            for came in every_way(channel, None, count):
                assert (type(came), came) == (type(wanted), wanted)
            for came in every_way(channel, None, count, use_numpy=True):
                if count == 1 or name == "wfSTRING":
                    assert (type(came), came) == (type(wanted), wanted)
                else:
                    assert isinstance(came, np.ndarray)
                    assert came.tolist() == wanted


def test_counts_in_callbacks(make_channel: MakeChannel) -> None:
    channel = make_channel("wfDOUBLE")
    channel.putw([2.5])
    for count, told in {None: 5, 5: 5, 9: 5, 3: 3, 1: 1, 0: 1}.items():
        counts: list[int] = []

        def came(args: dict[str, Any], user_args: tuple[list[int]]) -> None:
            user_args[0].append(args["count"])

        channel.array_get_callback(None, count, came, counts)
        channel.add_masked_array_event(None, count, None, came, counts)
        channel.flush_io()
        wait_for(lambda counts=counts: len(counts) == 2)
        channel.clear_event()
        assert counts == [told, told]


META = {"pv_value", "pv_status", "pv_severity"}
LIMITS = {"pv_units", "pv_updislim", "pv_lodislim", "pv_upalarmlim", "pv_loalarmlim", "pv_upwarnlim", "pv_lowarnlim"}
CONTROL = {"pv_upctrllim", "pv_loctrllim"}


@pytest.mark.parametrize(
    ("name", "req_type", "keys"),
    [
        ("catest", "STS_DOUBLE", META),
        ("catest", "TIME_DOUBLE", META | {"pv_seconds", "pv_nseconds"}),
        ("catest", "GR_DOUBLE", META | LIMITS | {"pv_precision"}),
        ("catest", "CTRL_DOUBLE", META | LIMITS | CONTROL | {"pv_precision"}),
        ("catest", "CTRL_FLOAT", META | LIMITS | CONTROL | {"pv_precision"}),
        ("catest", "GR_LONG", META | LIMITS),
        ("catest", "CTRL_CHAR", META | LIMITS | CONTROL),
        ("catest", "CTRL_STRING", META),
        ("cabo", "GR_ENUM", META | {"pv_nostrings", "pv_statestrings"}),
        ("cabo", "CTRL_ENUM", META | {"pv_nostrings", "pv_statestrings"}),
        ("cabo", "TIME_STRING", META | {"pv_seconds", "pv_nseconds"}),
        ("cabo", "STSACK_STRING", META | {"pv_ackt", "pv_acks"}),
    ],
)
def test_keys(make_channel: MakeChannel, name: str, req_type: str, keys: set[str]) -> None:
    channel = make_channel(name)
    dbr = ca.DBR[req_type]
    assert set(channel.getw(dbr)) == keys
    channel.array_get(dbr)
    channel.pend_io()
    assert set(channel.getValue()) == keys
    got: list[dict[str, Any]] = []
    channel.array_get_callback(dbr, None, lambda args, user: got.append(args))
    channel.add_masked_array_event(dbr, None, None, lambda args, user: got.append(args))
    channel.flush_io()
    wait_for(lambda: len(got) == 2)
    for args in got:
        assert set(args) == keys | {"chid", "type", "count", "status"}
        assert args["type"] is dbr
        assert args["count"] == 1
        assert args["status"] is ca.ECA.NORMAL
        assert ca.name(args["chid"]) == channel.name()


def test_plain_types_in_callbacks(make_channel: MakeChannel) -> None:
    channel = make_channel("catest")
    channel.putw(2)
    got: list[dict[str, Any]] = []
    channel.array_get_callback(None, None, lambda args, user: got.append(args))
    channel.flush_io()
    wait_for(lambda: got)
    assert set(got[0]) == {"chid", "type", "count", "status", "pv_value"}
    assert got[0]["pv_value"] == 2.0


def test_seconds_are_since_1990(make_channel: MakeChannel) -> None:
    channel = make_channel("catest")
    channel.putw(1)
    seconds = channel.getw(ca.DBR_TIME_DOUBLE)["pv_seconds"]
    _, value = ca.get(channel._chid, ca.DBR_TIME_DOUBLE)
    ca.pend_io(10)
    assert seconds == value.get()["stamp"]["seconds"] - ca.POSIX_TIME_AT_EPICS_EPOCH


def test_get_value_before_pend_io(make_channel: MakeChannel) -> None:
    channel = make_channel("catest")
    assert channel.getValue() is None
    channel.array_get()
    with pytest.raises(CaChannelException):
        channel.getValue()
    channel.pend_io()
    assert isinstance(channel.getValue(), float)


def test_array_put(make_channel: MakeChannel) -> None:
    channel = make_channel("cawavec")
    assert channel.array_put("1234", count=3) is None
    assert channel.flush_io() is None
    assert channel.getw(count=4) == [49, 50, 51, 0]
    channel.array_put([1, 2, 3], ca.DBR_LONG, 2)
    assert channel.getw(count=0) == [1, 2]


# Waiting


def test_timeouts(make_channel: MakeChannel, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = CaChannel()
    assert channel.getTimeout() == CaChannel.ca_timeout == 3.0
    channel.setTimeout(10.0)
    assert channel.getTimeout() == 10.0
    channel.setTimeout(5)
    assert channel.getTimeout() == 5
    channel.setTimeout(None)
    assert channel.getTimeout() == CaChannel.ca_timeout
    channel.setTimeout(0)
    assert channel.getTimeout() == 0
    monkeypatch.setattr(CaChannel, "ca_timeout", 4.5)
    channel.setTimeout(None)
    assert channel.getTimeout() == 4.5
    for bad in (-1, -0.5, float("nan")):
        with pytest.raises(ValueError, match="timeout"):
            channel.setTimeout(bad)
    with pytest.raises((TypeError, ValueError)):
        channel.setTimeout("soon")
    assert channel.getTimeout() == 4.5


@pytest.mark.parametrize("bad", [-1, float("nan")])
def test_bad_timeouts_of_the_waits(make_channel: MakeChannel, bad: float) -> None:
    channel = make_channel("catest")
    with pytest.raises(ValueError, match="timeout"):
        channel.pend_io(bad)
    with pytest.raises(ValueError, match="timeout"):
        channel.pend_event(bad)


def test_the_class_timeout_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CaChannel, "ca_timeout", 0.05)
    channel = CaChannel("no-such-pv:in-any-ioc")
    with pytest.raises(CaChannelException):
        channel.searchw()
    channel.clear_channel()


def test_a_subclass_may_have_its_own_timeout(prefix: str) -> None:
    class Patient(CaChannel):
        ca_timeout = 20.0

    assert Patient(prefix + "catest").getTimeout() == 20.0
    assert CaChannel(prefix + "catest").getTimeout() == 3.0


def test_waits_return_as_the_manual_says(make_channel: MakeChannel) -> None:
    channel = make_channel("catest")
    assert channel.pend_io() is None
    assert channel.pend_io(1) is None
    assert channel.pend_event(0.01) is ca.ECA.TIMEOUT
    assert channel.pend_event(timeout=0.01) is ca.ECA.TIMEOUT
    assert channel.pend_event() is ca.ECA.TIMEOUT
    assert channel.poll() is ca.ECA.TIMEOUT
    assert channel.flush_io() is None


def test_waits_of_an_object_without_a_channel() -> None:
    channel = CaChannel()
    assert channel.pend_io(0.1) is None
    assert channel.pend_event(0.001) is ca.ECA.TIMEOUT
    assert channel.poll() is ca.ECA.TIMEOUT
    assert channel.flush_io() is None


def test_pend_io_that_times_out_names_what_is_missing(prefix: str) -> None:
    there, missing = CaChannel(prefix + "catest"), CaChannel("no-such-pv:in-any-ioc")
    there.search()
    missing.search()
    with pytest.raises(CaChannelException) as caught:
        there.pend_io(0.5)
    assert caught.value.status is ca.ECA.TIMEOUT
    assert "no-such-pv:in-any-ioc" in str(caught.value)
    assert there.state() is ca.ChannelState.CONN
    missing.clear_channel()
    there.clear_channel()


# Information


def test_information(make_channel: MakeChannel, prefix: str) -> None:
    channel = make_channel("cawaves")
    assert channel.field_type() is ca.DBF.STRING
    assert channel.element_count() == 3
    assert channel.name() == prefix + "cawaves"
    assert channel.state() is ca.ChannelState.CONN
    assert channel.host_name().endswith(":" + os.environ["EPICS_CA_SERVER_PORT"])
    assert channel.read_access() is True
    assert channel.write_access() is True


# Exceptions


def test_the_exception() -> None:
    error = CaChannelException(ca.ECA_TIMEOUT)
    assert error.status == ca.ECA_TIMEOUT
    assert isinstance(error.status, ca.ECA)
    assert int(error) == 80
    assert str(error) == "User specified timeout on IO operation expired"
    assert error.pvname is None
    assert isinstance(error, Exception)
    assert not isinstance(error, (ValueError, TypeError))


def test_the_exception_pickles() -> None:
    import pickle

    with pytest.raises(CaChannelException) as caught:
        CaChannel("some:pv").getw()
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is type(caught.value)
    assert (copy.status, copy.pvname, str(copy)) == (caught.value.status, caught.value.pvname, str(caught.value))


# Objects that go away


def test_a_channel_that_is_dropped_is_cleared(run_script: RunScript) -> None:
    result = run_script(
        """
        import gc, weakref
        anchor = connect("calong")  # libca is slow to search for what comes as it ends a circuit
        channel = CaChannel(P + "fast")
        channel.searchw()
        gone = weakref.ref(channel._chid)
        del channel
        print(gone())
        """
    )
    assert_quiet(result, "None\n")


def test_callbacks_are_let_go_after_their_call(run_script: RunScript) -> None:
    result = run_script(
        """
        import gc, weakref
        channel = CaChannel(P + "calong")
        channel.searchw()
        class Callback:
            def __call__(self, args, user_args):
                done.append(1)
        done = []
        gets, puts = Callback(), Callback()
        references = [weakref.ref(gets), weakref.ref(puts)]
        channel.array_get_callback(None, None, gets, gets)
        channel.array_put_callback(5, None, None, puts, puts)
        channel.flush_io()
        wait_for(lambda: len(done) == 2)
        event = Callback()
        references.append(weakref.ref(event))
        channel.add_masked_array_event(None, None, None, event, event)
        channel.flush_io()
        wait_for(lambda: len(done) == 3)
        channel.clear_event()
        del gets, puts, event
        channel.poll()
        gc.collect()
        wait_for(lambda: [reference() for reference in references] == [None, None, None])
        print("all gone")
        """
    )
    assert_quiet(result, "all gone\n")


def test_a_class_may_derive_from_others_too(prefix: str) -> None:
    class Error(CaChannel, ValueError):
        pass

    class Table(dict, CaChannel):  # type: ignore[type-arg]
        def __init__(self, name: str) -> None:
            dict.__init__(self, a=1)
            CaChannel.__init__(self, name)

    for channel in (Error(prefix + "calong"), Table(prefix + "calong")):
        channel.searchw()
        channel.putw(5)
        channel.array_get()
        channel.pend_io()
        assert channel.getValue() == 5
        channel.clear_channel()
