"""Promise: after clear_event or clear_channel returns, no callback of it starts."""

from __future__ import annotations

import textwrap

import pytest
from helpers import RunScript, assert_quiet

HELD_UP = """
held, release = threading.Event(), threading.Event()
def hold(args):
    held.set()
    release.wait(20)
blocker = connect("other")
def hold_up():
    # From here on nothing is delivered, but all arrives.
    ca.get(blocker, callback=hold)
    ca.flush_io()
    assert held.wait(10)
def arrived():
    read(connect("number"), ca.DBR_STRING)
def let_go():
    release.set()
    ca.poll()
    read(blocker)
    ca.poll()
late = []
"""

CLEARED = {
    "clear_subscription with updates waiting": (
        """
        chid = connect("plain")
        first = []
        status, evid = ca.create_subscription(chid, lambda args: (first if not held.is_set() else late).append(1))
        ca.flush_io()
        wait_for(lambda: first)
        hold_up()
        for number in range(20):
            ca.put(chid, number)
            read(chid)
        arrived()
        """,
        "assert ca.clear_subscription(evid) == ca.ECA_NORMAL",
    ),
    "clear_channel with updates waiting": (
        """
        chid = connect("plain")
        first = []
        status, evid = ca.create_subscription(chid, lambda args: (first if not held.is_set() else late).append(1))
        ca.flush_io()
        wait_for(lambda: first)
        hold_up()
        for number in range(20):
            ca.put(chid, number)
            read(chid)
        arrived()
        """,
        "assert ca.clear_channel(chid) == ca.ECA_NORMAL",
    ),
    "clear_channel with answers waiting": (
        """
        chid = connect("plain")
        hold_up()
        for _ in range(20):
            ca.get(chid, callback=late.append)
            ca.put(chid, 1, callback=late.append)
        read(chid)
        arrived()
        """,
        "assert ca.clear_channel(chid) == ca.ECA_NORMAL",
    ),
    "clear_channel with answers under way": (
        """
        chid = connect("slow")
        hold_up()
        ca.put(chid, 1, callback=late.append)
        for _ in range(20):
            ca.get(chid, callback=late.append)
        ca.flush_io()
        """,
        "assert ca.clear_channel(chid) == ca.ECA_NORMAL",
    ),
    "clear_channel with its connection waiting": (
        """
        hold_up()
        status, chid = ca.create_channel(P + "plain", late.append)
        ca.replace_access_rights_event(chid, late.append)
        late.clear()  # where it is connected already, the rights are told at once
        ca.flush_io()
        wait_for(lambda: ca.state(chid) == ca.cs_conn)
        arrived()
        """,
        "assert ca.clear_channel(chid) == ca.ECA_NORMAL",
    ),
    "change_connection_event with the connection waiting": (
        """
        hold_up()
        status, chid = ca.create_channel(P + "plain", late.append)
        ca.flush_io()
        wait_for(lambda: ca.state(chid) == ca.cs_conn)
        arrived()
        """,
        "assert ca.change_connection_event(chid) == ca.ECA_NORMAL",
    ),
    "clear_event of the class": (
        """
        channel = CaChannel(P + "plain")
        channel.searchw()
        hold_up()
        channel.add_masked_array_event(None, None, None, lambda args, user: late.append(1))
        channel.flush_io()
        arrived()
        channel.getw()
        """,
        "channel.clear_event()",
    ),
    "clear_channel of the class": (
        """
        channel = CaChannel(P + "plain")
        channel.searchw()
        hold_up()
        channel.add_masked_array_event(None, None, None, lambda args, user: late.append(1))
        channel.array_get_callback(None, None, lambda args, user: late.append(1))
        channel.flush_io()
        channel.getw()
        arrived()
        """,
        "channel.clear_channel()",
    ),
}


@pytest.mark.parametrize("what", CLEARED)
def test_nothing_starts_after_a_clear(run_script: RunScript, what: str) -> None:
    setup, clear = CLEARED[what]
    code = HELD_UP + textwrap.dedent(setup) + clear + '\nlet_go()\nprint("late:", late)\n'
    assert_quiet(run_script(code), "late: []\n")


@pytest.mark.parametrize("what", CLEARED)
def test_they_would_have_started_without_the_clear(run_script: RunScript, what: str) -> None:
    setup, _ = CLEARED[what]
    code = HELD_UP + textwrap.dedent(setup) + 'let_go()\nwait_for(lambda: late)\nprint("came")\n'
    assert_quiet(run_script(code), "came\n")


def test_nothing_starts_after_a_clear_within_the_callback(run_script: RunScript) -> None:
    code = """
        chid = connect("plain")
        seen = []
        def callback(args):
            seen.append(args["value"])
            if len(seen) == 2:
                ca.clear_subscription(evid)
        status, evid = ca.create_subscription(chid, callback)
        ca.flush_io()
        wait_for(lambda: len(seen) == 1)
        hold_up()
        for number in range(1000, 1020):
            ca.put(chid, number)
            read(chid)
        arrived()
        let_go()
        print(len(seen))
        """

    assert_quiet(run_script(HELD_UP + textwrap.dedent(code)), "2\n")


def test_clearing_while_updates_stream_in(run_script: RunScript) -> None:
    result = run_script(
        """
        writer, reader = connect("plain"), connect("plain")
        stop = threading.Event()
        def stream():
            number = 0
            while not stop.is_set():
                for _ in range(50):
                    number += 1
                    ca.put(writer, number)
                read(writer)
        thread = threading.Thread(target=stream)
        thread.start()
        late = 0
        for turn in range(100):
            seen, cleared = [], []
            def callback(args, seen=seen, cleared=cleared):
                seen.append(bool(cleared))
            if turn % 2:
                status, chid = ca.create_channel(P + "plain")
                ca.pend_io(5)
                ca.create_subscription(chid, callback)
                ca.flush_io()
                wait_for(lambda: len(seen) > 3)
                ca.clear_channel(chid)
            else:
                status, evid = ca.create_subscription(reader, callback)
                ca.flush_io()
                wait_for(lambda: len(seen) > 3)
                ca.clear_subscription(evid)
            # A callback that had started may still be on its way to the line above; poll waits for it.
            ca.poll()
            cleared.append(True)
            read(reader)
            ca.poll()
            late += sum(seen)
        stop.set()
        thread.join()
        print("late:", late)
        """,
        timeout=60,
    )
    assert_quiet(result, "late: 0\n")
