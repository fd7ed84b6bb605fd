"""Promise: anything may be called in a callback, and callbacks come one after the other."""

from __future__ import annotations

import pytest
from helpers import RunScript, assert_quiet


@pytest.mark.parametrize("kind", ["get", "put", "monitor", "connection", "access rights", "exception"])
def test_anything_may_be_called_in_a_callback(run_script: RunScript, kind: str) -> None:
    """One process for each kind of callback; in it, each thing in turn on a channel of its own."""
    result = run_script(f"from in_a_callback import try_all; try_all({kind!r})", timeout=90)
    assert_quiet(result, "done\n")


def test_destroy_context_in_a_callback(run_script: RunScript) -> None:
    result = run_script(
        """
        chid = connect("calong")
        done = []
        def callback(args):
            ca.destroy_context()
            done.append(1)
        ca.get(chid, callback=callback)
        ca.flush_io()
        wait_for(lambda: done)
        assert ca.get(chid)[0] in (ca.ECA_BADCHID, ca.ECA_NOCACTX)
        print("done")
        """
    )
    assert_quiet(result, "done\n")


@pytest.mark.parametrize(
    "wait", ["ca.pend_event(0.01)", "ca.poll()", "ca.pend_io(0.01)", "ca.pend(0.01, False)", "getw()"]
)
@pytest.mark.parametrize("preemptive", [True, False])
def test_no_wait_in_a_callback_delivers_others(run_script: RunScript, wait: str, preemptive: bool) -> None:
    """What was asked for in a callback calls back when the first callback has returned."""
    result = run_script(
        f"""
        ca.create_context({preemptive})
        chid, number = connect("calong"), CaChannel(P + "calong")
        number.searchw()
        order = []
        def getw():
            number.getw()
        def outer(args):
            order.append("outer begins")
            ca.get(chid, callback=lambda args: order.append("inner"))
            for _ in range(20):
                {wait}
                number.getw()  # the answer of the one before has come, too
            order.append("outer ends")
        ca.get(chid, callback=outer)
        ca.flush_io()
        wait_for(lambda: ca.poll() and "inner" in order)
        print(order)
        """
    )
    assert_quiet(result, "['outer begins', 'outer ends', 'inner']\n")


@pytest.mark.parametrize("preemptive", [True, False])
def test_a_connection_callback_that_subscribes_and_pends(run_script: RunScript, preemptive: bool) -> None:
    """With a thousand channels: callbacks that waited within one another never came to an end."""
    result = run_script(
        f"""
        ca.create_context({preemptive})
        values = []
        def update(args, user_args):
            values.append(args["pv_value"])
        def connected(args, user_args):
            channel, = user_args
            if args[1] == ca.CA_OP_CONN_UP:
                channel.add_masked_array_event(None, None, None, update)
                channel.pend_event(0.1)
        channels = [CaChannel(P + f"many{{number // 10 % 10}}_{{number % 10}}") for number in range(1_000)]
        for channel in channels:
            channel.search_and_connect(None, connected, channel)
        channels[0].flush_io()
        wait_for(lambda: ca.pend_event(0.01) and len(values) >= 1_000, 30)
        print(len(values))
        """,
        timeout=50,
    )
    assert_quiet(result, "1000\n")
    assert result.seconds < 20


def test_a_loop_in_a_callback_that_waits_for_another_is_told_of(run_script: RunScript) -> None:
    """As in 3.2.0 it does not end by itself; the log says once where it is."""
    result = run_script(
        """
        chid = connect("calong")
        end, ended, came = threading.Event(), [], []
        def outer(args):
            ca.get(chid, callback=came.append)
            while not came and not end.is_set():
                ca.pend_event(0.1)
            ended.append(1)
        def wait_in_vain():
            end.clear(), ended.clear(), came.clear()
            ca.get(chid, callback=outer)
            ca.flush_io()
            end.wait(3)
            end.set()
            wait_for(lambda: ended)
        wait_in_vain()
        wait_in_vain()
        """
    )
    assert result.returncode == 0
    assert result.stderr.count("a loop in a callback") == 1, result.stderr
    assert "in outer" in result.stderr


def test_a_callback_that_polls_now_and_then_is_not_taken_for_a_loop(run_script: RunScript) -> None:
    result = run_script(
        """
        chid = connect("calong")
        done = []
        def callback(args):
            for _ in range(50):
                ca.poll()
            done.append(1)
        for _ in range(100):
            ca.get(chid, callback=callback)
        ca.flush_io()
        wait_for(lambda: len(done) == 100)
        """
    )
    assert_quiet(result, "")


def test_no_callback_is_said_to_be_stuck_because_the_program_ends(run_script: RunScript) -> None:
    """A thread that waits for a callback which is running when the program ends."""
    result = run_script(
        """
        chid = connect("calong")
        began = threading.Event()
        def callback(args):
            began.set()
            time.sleep(0.5)
        def wait():
            while True:
                ca.poll()
        ca.get(chid, callback=callback)
        ca.flush_io()
        began.wait()
        for _ in range(5):
            threading.Thread(target=wait, daemon=True).start()
        """
    )
    assert_quiet(result, "")


def test_a_callback_that_does_not_come_back(run_script: RunScript) -> None:
    """pend_event gives up after 5 s and says so, rather than wait for ever."""
    result = run_script(
        """
        chid = connect("calong")
        release = threading.Event()
        ca.get(chid, callback=lambda args: release.wait(30))
        ca.flush_io()
        read(chid)
        began = time.monotonic()
        print(ca.poll())
        assert time.monotonic() - began < 20
        release.set()
        """,
        timeout=40,
    )
    assert (result.returncode, result.stdout) == (0, "ECA.TIMEOUT\n")
    assert result.stderr.strip()
