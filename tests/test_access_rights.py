"""Access rights handlers: told at once in the thread that sets them, then of each change, in order."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import Any

import pytest
from cachannel import CaChannel, ca
from helpers import Connect, MakeChannel, RunScript, assert_quiet, write
from ioc import Ioc
from server_process import wait_for

LONG = 60.0


def rights(args: dict[str, Any]) -> tuple[bool, bool]:
    return args["read_access"], args["write_access"]


def test_it_is_told_before_the_call_returns(make_channel: MakeChannel) -> None:
    """By the calling thread, once: the dispatcher does not repeat it."""
    told: list[Any] = []
    channel = make_channel("readonly")
    channel.replace_access_rights_event(
        lambda args, user_args: told.append((rights(args), args["chid"], user_args, threading.get_ident())), ["mine"]
    )
    expected = [((True, False), channel._chid, ["mine"], threading.get_ident())]
    assert told == expected
    channel.poll()
    channel.getw()
    channel.poll()
    assert told == expected
    channel.replace_access_rights_event(lambda args, user_args: told.append(args))
    assert len(told) == 2


def test_it_is_told_while_another_callback_runs(connect: Connect) -> None:
    chid = connect("catest")
    began, release = threading.Event(), threading.Event()

    def callback(args: Any) -> None:
        began.set()
        release.wait(20)

    ca.get(chid, callback=callback)
    ca.flush_io()
    try:
        assert began.wait(10)
        told: list[Any] = []
        ca.replace_access_rights_event(chid, lambda args: told.append(rights(args)))
        assert told == [(True, True)]
    finally:
        release.set()
        ca.replace_access_rights_event(chid)


@pytest.mark.parametrize("preemptive", [True, False])
def test_it_is_told_in_a_callback(run_script: RunScript, preemptive: bool) -> None:
    result = run_script(
        f"""
        ca.create_context({preemptive})
        chid, told = connect("readonly"), []
        def callback(args):
            ca.replace_access_rights_event(chid, lambda args: told.append(args["write_access"]))
            told.append("returned")
        ca.get(chid, callback=callback)
        wait_for(lambda: ca.poll() and len(told) >= 2)
        ca.poll()
        print(told)
        """
    )
    assert_quiet(result, "[False, 'returned']\n")


@pytest.mark.parametrize("preemptive", [True, False])
def test_it_is_in_a_callback_when_it_is_told_at_once(run_script: RunScript, preemptive: bool) -> None:
    """No wait in it runs another callback. When it has returned, or raised, waits are what they were before."""
    result = run_script(
        f"""
        ca.create_context({preemptive})
        logging.disable()  # of what it raises
        chid, number, order, others = connect("readonly"), connect("calong"), [], []
        def changed(args):
            began = time.monotonic()
            ca.get(number, callback=others.append)
            order.append([ca.pend_event(30).name, ca.poll().name, ca.pend(30, False).name, read(number)])
            assert time.monotonic() - began < 10
            if {preemptive}:
                wait_for(lambda: others)  # in the dispatcher
            order.append(len(others))
            raise ValueError
        ca.replace_access_rights_event(chid, changed)
        order.append(ca.poll().name)
        print(order, len(others))
        order.clear()
        others.clear()
        def callback(args):
            ca.replace_access_rights_event(chid, changed_in_a_callback)
            order.append(ca.poll().name)
        def changed_in_a_callback(args):
            order.append(ca.poll().name)
            raise ValueError
        ca.get(number, callback=callback)
        wait_for(lambda: ca.poll() and len(order) == 2)
        print(order, ca.poll().name)
        """
    )
    order = [["EVDISALLOW", "EVDISALLOW", "EVDISALLOW", 5], int(preemptive), "TIMEOUT"]
    assert_quiet(result, f"{order} 1\n['EVDISALLOW', 'EVDISALLOW'] TIMEOUT\n")


def test_a_channel_that_is_not_connected_is_told_of_later(make_channel: MakeChannel) -> None:
    told: list[Any] = []
    channel = make_channel("readonly", search=False)
    channel.search()
    channel.replace_access_rights_event(lambda args, user_args: told.append(rights(args)))
    assert told == []
    channel.pend_io(10)
    assert told == [(True, False)]
    channel.poll()
    assert told == [(True, False)]


@pytest.mark.parametrize("preemptive", [True, False])
def test_it_is_told_before_the_wait_for_the_connection_returns(run_script: RunScript, preemptive: bool) -> None:
    """As in 3.2.0, where libca's thread called it before it let the waiter go on: 3.2.0's own tests look at once."""
    result = run_script(
        f"""
        ca.create_context({preemptive})
        told = []
        for number in range(100):
            status, chid = ca.create_channel(P + f"fast{{number % 20}}")
            ca.replace_access_rights_event(chid, lambda args: told.append(args["write_access"]))
            assert ca.pend_io(10) == ca.ECA_NORMAL
            assert len(told) == number + 1, number
            ca.clear_channel(chid)
            channel = CaChannel(P + f"fast{{number % 20}}")
            channel.search()
            channel.replace_access_rights_event(lambda args, user_args: told.append(args["write_access"]))
            channel.pend_io(10)
            assert told.pop(), number
            channel.clear_channel()
        print(set(told))
        """
    )
    assert_quiet(result, "{True}\n")


def test_a_wait_for_a_connection_does_not_wait_for_ever_for_other_callbacks(run_script: RunScript) -> None:
    result = run_script(
        """
        chid, release, told = connect("calong"), threading.Event(), []
        ca.get(chid, callback=lambda args: release.wait(20))
        ca.flush_io()
        read(chid)
        channel = CaChannel(P + "catest")
        channel.search()
        channel.replace_access_rights_event(lambda args, user_args: told.append(args["write_access"]))
        began = time.monotonic()
        channel.pend_io(10)
        print(time.monotonic() - began < 5, told)
        release.set()
        wait_for(lambda: told)
        """
    )
    assert_quiet(result, "True []\n")


def test_changes_meanwhile_come_later_and_in_order(connect: Connect) -> None:
    """The rights change while the function is told what they were: it is told of the change when it has returned."""
    switch, chid = connect("rights"), connect("guarded")
    told: list[Any] = []

    def has_write_access(wanted: bool) -> bool:
        return ca.write_access(chid) is wanted

    def changed(args: dict[str, Any]) -> None:
        told.append(args["write_access"])
        if len(told) == 1:
            for value in (0, 1, 0):
                assert ca.put(switch, value) == ca.ECA_NORMAL
                ca.flush_io()
                wait_for(partial(has_write_access, bool(value)))
            ca.poll()  # whatever is due has come
            told.append("returns")

    try:
        ca.replace_access_rights_event(chid, changed)
        wait_for(lambda: len(told) >= 5)
    finally:
        write(switch, 1)
    wait_for(lambda: len(told) >= 6)
    assert told == [True, "returns", False, True, False, True]
    ca.replace_access_rights_event(chid)


def test_the_function_may_replace_itself(connect: Connect) -> None:
    chid = connect("readonly")
    told: list[str] = []

    def first(args: Any) -> None:
        told.append("first begins")
        ca.replace_access_rights_event(chid, second)
        told.append("first ends")

    def second(args: Any) -> None:
        told.append("second")
        ca.replace_access_rights_event(chid, None)

    ca.replace_access_rights_event(chid, first)
    ca.poll()
    assert told == ["first begins", "second", "first ends"]


def test_a_handler_set_while_the_channel_connects_misses_nothing(bunch: Any, prefix: str) -> None:
    """At whichever moment the handler is set: one thread or the other tells it of the connection."""
    for _ in range(10):
        names = [f"{prefix}many{tens}_{ones}" for tens in range(10) for ones in range(10)]
        channels = [CaChannel(name) for name in names]
        told: list[list[Any]] = [[] for _ in names]
        for channel in channels:
            channel.search()
        channels[0].flush_io()
        for channel, heard in zip(channels, told):
            channel.replace_access_rights_event(lambda args, heard: heard.append(rights(args)), heard)
        channels[0].pend_io(10)
        channels[0].poll()
        assert [heard for heard in told if heard != [(True, True)]] == []
        for channel in channels:
            channel.clear_channel()


def test_connects_and_disconnects_tell_it_again(own_ioc: Ioc) -> None:
    """Before the connection callback as it connects, after that as it disconnects: as the manual has it."""
    order: list[Any] = []
    channel = CaChannel(own_ioc.prefix + "catest")
    channel.search_and_connect(None, lambda args, user_args: order.append(args[1]))
    channel.replace_access_rights_event(lambda args, user_args: order.append(rights(args)))
    channel.flush_io()
    up, down = [(True, True), ca.CA_OP.CONN_UP], [ca.CA_OP.CONN_DOWN, (False, False)]
    wait_for(lambda: len(order) >= 2)
    assert order == up
    own_ioc.kill()
    wait_for(lambda: len(order) >= 4)
    assert order == up + down
    late: list[Any] = []
    channel.replace_access_rights_event(lambda args, user_args: late.append(rights(args)))
    assert late == []
    own_ioc.start()
    wait_for(lambda: len(order) >= 5 and late, LONG)
    channel.poll()
    assert (order[4:], late) == (up[1:], [(True, True)])
    channel.clear_channel()


def test_what_it_raises_is_logged(make_channel: MakeChannel, caplog: pytest.LogCaptureFixture) -> None:
    channel = make_channel("catest")
    with caplog.at_level(logging.ERROR, "cachannel"):
        channel.replace_access_rights_event(lambda args, user_args: 1 / 0)
    assert f"exception in an access rights callback of {channel.name()}" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_an_interrupt_ends_the_call(make_channel: MakeChannel) -> None:
    """The handler is told of later changes of the rights nevertheless."""
    channel, switch = make_channel("guarded"), make_channel("rights")
    told: list[bool] = []

    def changed(args: dict[str, Any], user_args: Any) -> None:
        told.append(args["write_access"])
        if len(told) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        channel.replace_access_rights_event(changed)
    try:
        switch.putw(0)
        wait_for(lambda: told == [True, False])
    finally:
        switch.putw(1)
    wait_for(lambda: told == [True, False, True])
