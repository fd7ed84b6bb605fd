"""Threads, callbacks and programs that share a channel or a context do not get into each other's way."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from cachannel import CaChannel, CaChannelException, ca
from helpers import Connect, MakeChannel, RunScript, assert_quiet, read, write
from server_process import wait_for


def in_threads(*works: Any) -> None:
    """Runs them side by side; raises what one of them raised."""
    errors: list[BaseException] = []

    def run(work: Any) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if errors:
        raise errors[0]


def test_getw_of_one_channel_in_two_threads(make_channel: MakeChannel) -> None:
    channel = make_channel("catest")
    channel.putw(0)

    def reads(req_type: int, kind: type) -> None:
        for _ in range(500):
            assert type(channel.getw(req_type)) is kind

    in_threads(lambda: reads(ca.DBR_DOUBLE, float), lambda: reads(ca.DBR_STRING, str))


def test_each_write_of_an_enum_hears_of_its_own_refusal(make_channel: MakeChannel) -> None:
    channel = make_channel("cabo")

    def good() -> None:
        for _ in range(200):
            channel.putw("Done")

    def bad() -> None:
        for _ in range(200):
            with pytest.raises(CaChannelException) as caught:
                channel.putw("Nonsense")
            assert caught.value.status is ca.ECA.PUTFAIL

    in_threads(good, bad)


def test_a_write_does_not_hear_of_an_earlier_refusal(make_channel: MakeChannel) -> None:
    channel = make_channel("cabo")
    for _ in range(50):
        channel.array_put("Nonsense")
        channel.putw("Busy")
        assert channel.getw() == 1


def test_a_read_does_not_wait_for_another_threads_search(make_channel: MakeChannel) -> None:
    channel = make_channel("catest")
    missing = CaChannel("no-such-pv:in-any-ioc")
    in_threads(missing.search)
    began = time.monotonic()
    channel.getw()
    other = make_channel("calong")  # searchw
    assert time.monotonic() - began < 2 < CaChannel.ca_timeout
    other.clear_channel()
    missing.clear_channel()


def test_requests_of_a_thread_are_waited_for_again_after_a_timeout(connect: Connect) -> None:
    chid = connect("catest")
    missing: list[Any] = []
    in_threads(lambda: missing.append(ca.create_channel("no-such-pv:in-any-ioc")[1]))
    assert ca.pend_io(0.2) is ca.ECA.TIMEOUT
    assert ca.pend_io(0.2) is ca.ECA.NORMAL  # forgotten
    values: list[Any] = []
    in_threads(lambda: values.append(ca.get(chid)[1]))
    assert ca.pend_io(10) is ca.ECA.NORMAL
    assert isinstance(values[0].get(), float)
    ca.clear_channel(missing[0])


def test_get_value_twice_gives_two_arrays(make_channel: MakeChannel) -> None:
    channel = make_channel("cawave")
    channel.putw([1, 2, 3, 4, 5])
    channel.array_get(use_numpy=True)
    channel.pend_io()
    first = channel.getValue()
    first *= 10
    assert np.array_equal(channel.getValue(), [1, 2, 3, 4, 5])


def test_a_group_forgets_the_failure_of_its_last_round(connect: Connect) -> None:
    chid = connect("cabo")
    status, gid = ca.sg_create()
    assert status == ca.ECA_NORMAL
    assert gid is not None
    assert ca.sg_put(gid, chid, "Nonsense") is ca.ECA.NORMAL
    ca.flush_io()
    wait_for(lambda: ca.sg_test(gid) is ca.ECA.IODONE)
    assert ca.sg_put(gid, chid, "Busy") is ca.ECA.NORMAL
    assert ca.sg_block(gid, 10) is ca.ECA.NORMAL
    ca.sg_delete(gid)


def test_a_channel_is_complete_in_its_first_callback(prefix: str) -> None:
    wrong: list[Any] = []
    seen: list[Any] = []
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            sum(range(1000))

    threads = [threading.Thread(target=busy) for _ in range(4)]
    for thread in threads:
        thread.start()
    channels = []

    def connected(args: tuple[Any, Any], user_args: tuple[Any, ...]) -> None:
        (channel,) = user_args
        seen.append(channel)
        if channel.state() is not ca.ChannelState.CONN or ca.state(args[0]) is not ca.ChannelState.CONN:
            wrong.append(channel)

    try:
        for _ in range(40):
            channel = CaChannel(prefix + "calong")
            channel.search_and_connect(None, connected, channel)
            channels.append(channel)
        channels[0].flush_io()
        wait_for(lambda: len(seen) == len(channels), 30)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong
    for channel in channels:
        channel.clear_channel()


def test_python_code_that_goes_with_a_dropped_update(run_script: RunScript) -> None:
    # A callback goes while its updates wait behind another callback: what its end does must not deadlock.
    result = run_script(
        """
        class Polls:
            def __del__(self):
                gate.set()
                ca.poll()
                gone.set()
        gone, gate, entered = threading.Event(), threading.Event(), threading.Event()
        first, second = CaChannel(P + "fast0"), CaChannel(P + "fast1")
        first.searchw()
        second.searchw()
        def block(args, user_args):
            entered.set()
            gate.wait(10)
        first.add_masked_array_event(None, None, None, block)
        first.flush_io()
        entered.wait(10)
        updates = []
        second.add_masked_array_event(None, None, None, lambda args, user_args: None, Polls())
        second.flush_io()
        values = set()
        wait_for(lambda: values.add(second.getw()) or len(values) > 5)  # so many updates gather behind the callback
        second.clear_channel()
        gate.set()
        first.clear_event()
        print(gone.wait(10), first.poll())
        """
    )
    assert_quiet(result, "True ECA.TIMEOUT\n")


def test_ctrl_c_in_a_polled_callback_ends_the_poll(run_script: RunScript) -> None:
    result = run_script(
        """
        ca.create_context(False)
        status, chid = ca.create_channel(P + "fast0")
        ca.pend_io(10)
        def slow(args):
            if not pressed:
                pressed.append(1)
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(10)
        pressed = []
        ca.create_subscription(chid, slow)
        began = time.monotonic()
        try:
            ca.pend_event(20)
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - began < 5)
        """
    )
    assert_quiet(result, "interrupted True\n")


def test_a_polled_wait_ends_with_its_answers(run_script: RunScript) -> None:
    result = run_script(
        """
        ca.create_context(False)
        chids = [ca.create_channel(P + f"fast{number}")[1] for number in range(10)]
        ca.pend_io(10)
        for chid in chids:
            ca.create_subscription(chid, lambda args: time.sleep(0.2))
        values = set()
        while len(values) < 6:  # so many updates of each gather meanwhile
            status, value = ca.get(chids[0])
            ca.flush_io()
            wait_for(lambda: ca.test_io() == ca.ECA_IODONE)
            values.add(value.get())
        status, value = ca.get(chids[0])
        began = time.monotonic()
        print(ca.pend_io(30), time.monotonic() - began < 2, type(value.get()).__name__)
        """
    )
    assert_quiet(result, "ECA.NORMAL True float\n")


def test_an_exit_handler_may_wait_for_a_daemon_thread(run_script: RunScript) -> None:
    result = run_script(
        """
        import atexit, os, sys, threading
        stop, thread = threading.Event(), None
        def end():
            stop.set()
            thread.join()
            print("joined")
        atexit.register(end)  # before the import: it runs after the package's own
        from cachannel import CaChannel, CaChannelException
        channel = CaChannel(os.environ["TEST_PREFIX"] + "calong")
        channel.searchw()
        def work():
            while not stop.is_set():
                try:
                    channel.getw()
                except CaChannelException:
                    pass
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        """,
        preamble=False,
    )
    assert_quiet(result, "joined\n")


def test_old_ways_of_numbers(make_channel: MakeChannel, connect: Connect) -> None:
    channel = make_channel("cawave")
    channel.putw([1, 2, 3, 4, 5])
    assert channel.getw(count=4 / 2) == [1.0, 2.0]
    channel.putw([np.array(7.0), np.array(8)])
    assert channel.getw(count=2) == [7.0, 8.0]
    double = connect("oneDOUBLE")
    write(double, 10**40)
    assert read(double) == 1e40
    for bad in ("1e999", np.ma.masked_array([5.0], [True])):
        with pytest.raises(CaChannelException):
            ca.put(double, bad)
    assert read(double) == 1e40


def test_get_value_after_getw(make_channel: MakeChannel) -> None:
    channel = make_channel("catest")
    channel.putw(3)
    assert channel.getw() == channel.getValue() == 3.0
