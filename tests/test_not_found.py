"""What the exceptions for PVs that nobody answers for say."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from typing import Any

import pytest
from cachannel import CaChannel, CaChannelException, ChannelGroup, Recorder, ca
from cachannel.epicsMotor import epicsMotor
from cachannel.epicsPV import epicsPV
from cachannel.util import caget, cainfo, caput

MISSING = "no-such-pv:in-any-ioc"
TRY = f"is the name right, and does its IOC run? python -m cachannel {MISSING} tells more"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CaChannel, "ca_timeout", 0.2)


def searchw(name: str) -> None:
    CaChannel(name).searchw()


def search_and_pend(name: str) -> None:
    channel = CaChannel(name)
    channel.search()
    channel.pend_io()


def group(name: str) -> None:
    with ChannelGroup([name], timeout=0.2):
        pass


def record(name: str) -> None:
    with Recorder([name]):
        pass


WAYS: dict[str, Callable[[str], Any]] = {
    "searchw": searchw,
    "pend_io": search_and_pend,
    "epicsPV": epicsPV,
    "group": group,
    "recorder": record,
    "caget": caget,
    "caput": lambda name: caput(name, 1),
    "cainfo": cainfo,
}


def text(way: str, name: str) -> str:
    with pytest.raises(CaChannelException) as raised:
        WAYS[way](name)
    assert isinstance(raised.value, TimeoutError)
    assert type(raised.value).__name__ == "CaChannelException", "as in 3.x"
    assert (raised.value.status, raised.value.pvname) == (ca.ECA_TIMEOUT, name)
    assert ca.message(raised.value) == "User specified timeout on IO operation expired"
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("way", WAYS)
def test_nobody_has_it(way: str) -> None:
    assert text(way, MISSING) == f"{MISSING}: no server answered within 0.2 s: {TRY}"


@pytest.mark.parametrize("way", WAYS)
def test_a_field_that_the_record_has_not(way: str, prefix: str) -> None:
    name = prefix + "catest.XYZ"
    assert text(way, name) == f"{name}: no server answered within 0.2 s: {prefix}catest has no field 'XYZ'"


def test_a_filter_that_the_server_does_not_take(prefix: str) -> None:
    name = prefix + 'catest.VAL{"nosuch":{}}'
    assert text("searchw", name).endswith(f'{prefix}catest is there, but does not take VAL{{"nosuch":{{}}}}')


def test_a_field_of_a_record_that_is_not_there() -> None:
    name = MISSING + ".VAL"
    assert text("searchw", name).startswith(f"{name}: no server answered within 0.2 s: is the name right")


@pytest.mark.parametrize("way", WAYS)
def test_white_space_in_a_name(way: str, prefix: str) -> None:
    """With white space, as in a line that was read from a file."""
    name = prefix + "catest\n"
    assert text(way, name) == f"{name!r}: no server answered within 0.2 s: there is white space in the name"


@pytest.mark.parametrize("way", WAYS)
def test_an_empty_name(way: str) -> None:
    with pytest.raises(CaChannelException, match="a PV name must not be empty") as raised:
        WAYS[way]("")
    assert raised.value.status == ca.ECA_BADSTR


def test_several(prefix: str) -> None:
    names = [MISSING, prefix + "catest", prefix + "catest.XYZ", MISSING + "2"]
    began = time.monotonic()
    found = caget(names, timeout=0.2, throw=False)
    assert time.monotonic() - began < 2
    assert isinstance(found[1], float)
    assert [str(found[index]).partition(" s: ")[2] for index in (0, 2)] == [TRY, f"{prefix}catest has no field 'XYZ'"]
    with pytest.raises(CaChannelException) as raised:
        caget(names, timeout=0.2)
    others = f"{prefix}catest.XYZ, {MISSING}2"
    assert str(raised.value) == f"{MISSING}: no server answered within 0.2 s: also {others}; {TRY}"
    channels = [CaChannel(name) for name in names]
    for channel in channels:
        channel.search()
    with pytest.raises(CaChannelException) as raised:
        channels[0].pend_io(0.2)
    first = min(names[0], names[2], names[3])
    assert str(raised.value).startswith(f"{first}: no server answered within 0.2 s: 3 PVs did not answer: ")
    with pytest.raises(CaChannelException) as raised, ChannelGroup(names, timeout=0.2):
        pass
    assert str(raised.value).startswith(f"{MISSING}: no server answered within 0.2 s: 3 of 4 PVs failed: ")


def test_searchw_names_its_own(prefix: str) -> None:
    """Also where another search of the thread is not answered, whose name comes first."""
    other = CaChannel("a-" + MISSING)
    other.search()
    with pytest.raises(CaChannelException) as raised:
        searchw(MISSING)
    assert raised.value.pvname == MISSING
    assert f"2 PVs did not answer: a-{MISSING}, {MISSING}" in str(raised.value)


def test_a_motor() -> None:
    with pytest.raises(CaChannelException) as raised:
        epicsMotor(MISSING)
    said = "no server answered within 0.2 s: there is no connection to any of its fields; "
    assert str(raised.value) == f"{MISSING}: {said}{TRY}"


def test_what_is_connected_and_does_not_answer_is_another_matter() -> None:
    error = CaChannelException(ca.ECA_TIMEOUT, "tank:level")
    assert str(error) == "tank:level: User specified timeout on IO operation expired"
