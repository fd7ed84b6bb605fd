"""A state of an enum that has no name gives its number: never another state's name, and nothing waits for that."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest
from cachannel import CaChannel, Recorder, ca
from helpers import MakeChannel, RunScript, assert_quiet
from server_process import wait_for

# Of the record "gaps": states 0, 1 and 3 have names.
NAMELESS, NAMED = 9, 1
NAMES = {0: "zero", 1: " one ", 3: "three"}
STATES = [str(NAMELESS), " one ", "2", "three"]


def monitor(channel: CaChannel, req_type: int, seconds: float = 0) -> list[Any]:
    """The updates; the callback takes its time."""
    seen: list[Any] = []

    def update(args: dict[str, Any], user_args: tuple[Any, ...]) -> None:
        seen.append((args["pv_value"], args.get("pv_seconds"), args.get("pv_nseconds")))
        time.sleep(seconds)

    channel.add_masked_array_event(req_type, None, None, update)
    channel.flush_io()
    wait_for(lambda: seen)
    return seen


def switch(channel: CaChannel, rounds: int) -> None:
    """Each state is written when the server has sent the one before: it leaves none out, however busy it is.

    Its updates for the recorder come behind those for the monitors, which were there before; no callback delays them.
    """
    with Recorder(channel.name()) as sent:
        assert len(sent.read(timeout=10)) == 1
        for state in [NAMELESS, NAMED, 2, 3] * rounds:
            channel.array_put(state, ca.DBR_ENUM)
            channel.flush_io()
            assert len(sent.read(timeout=10)) == 1
    channel.putw(0)


def test_each_update_has_its_own_state(make_channel: MakeChannel) -> None:
    """Also where the PV is in another state by the time at which the callback runs."""
    texts, numbers = make_channel("gaps"), make_channel("gaps")
    texts.putw(3)
    seen = monitor(texts, ca.DBR_TIME_STRING, 0.02)
    true = monitor(numbers, ca.DBR_TIME_ENUM)
    switch(texts, 20)
    wait_for(lambda: seen[-1][0] == "zero" and true[-1][0] == 0)
    assert [number for number, *_ in true] == [3, *[NAMELESS, NAMED, 2, 3] * 20, 0]
    # The very text, of the very update.
    assert seen == [(NAMES.get(number, str(number)), *stamp) for number, *stamp in true]


@pytest.mark.parametrize("req_type", [ca.DBR_STRING, ca.DBR_STS_STRING, ca.DBR_CTRL_STRING])
def test_so_have_those_without_a_time(make_channel: MakeChannel, req_type: int) -> None:
    texts = make_channel("gaps")
    texts.putw(3)
    seen = monitor(texts, req_type, 0.002)
    switch(texts, 10)
    wait_for(lambda: seen[-1][0] == "zero")
    assert [text for text, *_ in seen] == ["three", *STATES * 10, "zero"]


@pytest.mark.parametrize("req_type", [ca.DBR_STRING, ca.DBR_TIME_STRING])
def test_an_answer_stays_what_it_was(make_channel: MakeChannel, req_type: int) -> None:
    channel = make_channel("gaps")
    channel.putw(NAMELESS)
    channel.array_get(req_type)
    channel.pend_io(10)
    for state in (NAMED, 0):
        channel.putw(state)
        value = channel.getValue()
        assert (value["pv_value"] if isinstance(value, dict) else value) == str(NAMELESS)


def test_the_alarm_and_the_time_come_with_the_number(make_channel: MakeChannel) -> None:
    channel = make_channel("gaps")
    channel.putw(NAMELESS)
    for classes in ("STS", "TIME", "GR", "CTRL"):
        text, number = (channel.getw(getattr(ca, f"DBR_{classes}_{base}")) for base in ("STRING", "ENUM"))
        assert text.pop("pv_value") == str(number.pop("pv_value"))
        assert text.items() <= number.items()


def test_one_subscribed_to_before_the_pv_is_there(make_channel: MakeChannel) -> None:
    make_channel("gaps").putw(NAMELESS)
    for name, expected in (("gaps", str(NAMELESS)), ("castr", None), ("cawave", None)):
        channel = make_channel(name, search=False)
        channel.search()
        seen = monitor(channel, ca.DBR_STRING)
        assert expected is None or seen[-1][0] == expected


def test_a_cleared_subscription_brings_nothing(make_channel: MakeChannel) -> None:
    channel, other = make_channel("gaps"), make_channel("gaps")
    channel.putw(NAMELESS)
    seen = monitor(channel, ca.DBR_STRING)
    channel.clear_event()
    count = len(seen)
    for state in (0, NAMELESS):
        other.putw(state)
    channel.getw()
    assert len(seen) == count


@pytest.mark.skipif(sys.platform == "win32", reason="stops a process")
def test_nothing_waits_for_a_server_that_hangs(run_script: RunScript) -> None:
    """Neither the callbacks of other PVs' events, nor a group beyond its timeout, nor getValue."""
    result = run_script(
        """
        from cachannel import ChannelGroup
        from cachannel import ca

        channel, tick = CaChannel(P + "gaps"), CaChannel(P + "gaps")
        channel.searchw()
        channel.putw(9)
        channel.array_get(ca.DBR_STRING)
        channel.pend_io(10)
        group = ChannelGroup([P + "gaps"], timeout=10).__enter__()
        group.get(as_string=True)
        seen = []

        def update(args, user_args):
            seen.append((time.monotonic(), args["pv_value"]))
            time.sleep(0.02)

        channel.add_masked_array_event(ca.DBR_STRING, None, None, update)
        channel.flush_io()
        wait_for(lambda: seen)
        for _ in range(20):
            for state in (9, 1):
                channel.array_put(state, ca.DBR_ENUM)
                channel.flush_io()
                time.sleep(0.002)
        stop_server(connect("calong"))
        began = time.monotonic()
        print(channel.getValue())
        try:
            group.get(timeout=0.2, as_string=True)
        except CaChannelException as error:
            print(error.status)
        took = time.monotonic() - began
        time.sleep(2)
        os.kill(IOC_PID, signal.SIGCONT)
        gaps = [after - before for (before, _), (after, _) in zip(seen, seen[1:])]
        print(took < 0.8, max(gaps) < 0.8, "" in [text for _, text in seen], len(seen) > 20)
        """,
        timeout=60,
    )
    assert_quiet(result, "9\nECA.TIMEOUT\nTrue True False True\n")
