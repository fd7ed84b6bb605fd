"""Waits keep their timeouts whatever else goes on in the context, and take nothing from other threads."""

from __future__ import annotations

import sys
import textwrap

import pytest
from helpers import RunScript, assert_quiet

pytestmark = pytest.mark.timeout(100)

SLOW = textwrap.dedent("""
    slow = CaChannel(P + "plain")
    slow.searchw()
    entered = threading.Event()
    def callback(args, user_args):
        entered.set()
        time.sleep(0.2)
    slow.add_masked_array_event(None, None, None, callback)
    slow.flush_io()
    assert entered.wait(10)
    for number in range(60):
        slow.array_put(number)
    slow.flush_io()
    slow.getw()
""")


def test_a_wait_for_a_connection_ends_though_callbacks_have_gathered(run_script: RunScript) -> None:
    # The handler of access rights is behind a dozen seconds of callbacks: it is not waited for so long.
    result = run_script(
        SLOW
        + textwrap.dedent("""
        channel = CaChannel()
        channel.search(P + "number")
        channel.replace_access_rights_event(lambda args, user_args: None)
        start = time.monotonic()
        channel.pend_io(5)
        took = time.monotonic() - start
        print(took < 2 or took)
        slow.clear_channel()
        """)
    )
    assert_quiet(result, "True\n")


def test_reads_do_not_wait_for_handlers_of_other_channels(run_script: RunScript) -> None:
    result = run_script(
        """
        busy, channel, other = CaChannel(P + "plain"), CaChannel(P + "number"), CaChannel(P + "fast0")
        busy.searchw()
        channel.searchw()
        entered, release = threading.Event(), threading.Event()
        def callback(args, user_args):
            entered.set()
            release.wait(20)
        busy.add_masked_array_event(None, None, None, callback)
        busy.flush_io()
        assert entered.wait(10)
        # Its handler is called when the dispatcher is free again.
        other.search_and_connect(None, lambda *args: None)
        other.replace_access_rights_event(lambda *args: None)
        other.flush_io()
        wait_for(lambda: other.state() == ca.cs_conn)
        start = time.monotonic()
        for _ in range(20):
            channel.getw()
            channel.array_get()
            channel.pend_io(5)
        took = time.monotonic() - start
        print(took < 2 or took)
        release.set()
        """
    )
    assert_quiet(result, "True\n")


@pytest.mark.skipif(sys.platform == "win32", reason="stops a process")
def test_a_wait_that_times_out_leaves_the_requests_of_other_threads(run_script: RunScript) -> None:
    # Both requests wait behind more than libca takes for a server that has stopped reading.
    result = run_script(
        """
        big, mine, other = CaChannel(P + "big"), CaChannel(P + "number"), CaChannel(P + "plain")
        for channel in big, mine, other:
            channel.searchw()
        other.putw(4)
        other.getw()
        asked, wait = threading.Event(), threading.Event()
        def ask():
            other.array_get()
            other.flush_io()
            asked.set()
            wait.wait(30)
            other.pend_io(30)
            print(other.getValue())
        stop_server(connect("calong"))
        big.putw([1] * 4_000_000)
        thread = threading.Thread(target=ask)
        thread.start()
        # The read may wait for room, until the server goes on.
        asked.wait(1)
        mine.array_get()
        try:
            mine.pend_io(0.2)
        except CaChannelException as error:
            print(error.status == ca.ECA_TIMEOUT)
        os.kill(IOC_PID, signal.SIGCONT)
        wait.set()
        thread.join(40)
        """
    )
    assert_quiet(result, "True\n4.0\n")
