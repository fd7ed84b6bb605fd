"""Promise: when pend_event or poll return, what was due has run; when pend_io returns, the values are there."""

from __future__ import annotations

import threading
from typing import Any, Callable

import pytest
from cachannel import ca
from helpers import Connect, RunScript, assert_quiet, read, write
from server_process import wait_for


@pytest.mark.parametrize("wait", [lambda: ca.poll(), lambda: ca.pend_event(0.01), lambda: ca.pend(0.01, False)])
def test_due_callbacks_have_run(connect: Connect, wait: Callable[[], Any]) -> None:
    chid = connect("calong")
    done: list[int] = []
    slow = threading.Event()

    def callback(args: dict[str, Any]) -> None:
        slow.wait(0.05)
        done.append(args["value"])

    for _ in range(10):
        ca.get(chid, callback=callback)
    # The answer of this one comes after theirs, on the same circuit: theirs are due now.
    read(chid)
    wait()
    assert len(done) == 10


def test_due_updates_have_been_delivered(connect: Connect) -> None:
    chid = connect("plain")
    write(chid, 0)
    values: list[float] = []
    status, evid = ca.create_subscription(chid, lambda args: values.append(args["value"]))
    assert status == ca.ECA_NORMAL
    ca.flush_io()
    wait_for(lambda: values)
    for number in range(1, 50):
        ca.put(chid, number)
    ca.pend_event(0.5)
    assert values[-1] == 49.0
    ca.clear_subscription(evid)


def test_pend_event_takes_its_time(run_script: RunScript) -> None:
    result = run_script(
        """
        connect("catest")
        began = time.monotonic()
        assert ca.pend_event(0.3) == ca.ECA_TIMEOUT
        took = time.monotonic() - began
        print(took >= 0.3)
        """
    )
    assert_quiet(result, "True\n")


def test_when_pend_io_returns_the_values_are_there(many: list[str]) -> None:
    chids = [ca.create_channel(name)[1] for name in many]
    assert ca.pend_io(10) == ca.ECA_NORMAL
    for _ in range(20):
        values = [ca.get(chid)[1] for chid in chids]
        assert ca.pend_io(10) == ca.ECA_NORMAL
        assert [value.get() for value in values] == [float(name[-1]) for name in many]
    for chid in chids:
        ca.clear_channel(chid)


def test_pend_io_does_not_wait_for_callbacks(connect: Connect) -> None:
    chid, slow = connect("calong"), connect("slow")
    write(chid, 5)
    release = threading.Event()
    done: list[Any] = []

    def hold(args: Any) -> None:
        release.wait(10)
        done.append(args)

    ca.get(chid, callback=hold)
    ca.put(slow, 1, callback=done.append)
    assert read(chid) == 5  # while that callback holds up the dispatcher
    assert done == []
    release.set()
    wait_for(lambda: len(done) == 2)


def test_what_was_waited_for_in_vain_is_not_there_later(run_script: RunScript) -> None:
    # Neither before the answer has come, nor after.
    result = run_script(
        """
        chid = connect("calong")
        names = ("calong", "catest")
        chans = [CaChannel(P + name) for name in names]
        for chan in chans:
            chan.setTimeout(10)
            chan.searchw()
            chan.getw()  # an earlier value

        def outcome(ask):
            try:
                return ask()
            except CaChannelException as error:
                return error.status.name, error.pvname[len(P):]

        def outcomes():
            print(*map(outcome, (chans[0].getValue, chans[1].getValue, value.get)))

        stop_server(chid)
        chans[0].array_get()
        status, value = ca.get(chid)
        print(outcome(chans[0].getValue))  # nobody has waited yet
        chans[1].setTimeout(0.1)
        print(outcome(lambda: chans[0].pend_io(0.1))[0], outcome(chans[1].getw))
        outcomes()
        os.kill(IOC_PID, signal.SIGCONT)
        print(read(chid))  # comes after the others' answers
        outcomes()
        # A request that is made now is not affected.
        chans[0].array_get()
        chans[0].pend_io(10)
        print(chans[0].getValue())
        """
    )
    late = "('TIMEOUT', 'calong') ('TIMEOUT', 'catest') ('TIMEOUT', 'calong')\n"
    assert_quiet(result, f"('IOINPROGRESS', 'calong')\nTIMEOUT ('TIMEOUT', 'catest')\n{late}5\n{late}5\n")
