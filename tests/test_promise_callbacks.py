"""Promise: anything may be called in a callback, and a wait in one delivers others."""

from __future__ import annotations

from typing import Any

import pytest
from cachannel import ca
from helpers import Connect, RunScript, assert_quiet
from server_process import wait_for

IN_A_CALLBACK = {
    "getw": "number.getw() == 5",
    "getw of an array": "len(wave.getw()) == 5",
    "putw": "other.putw(3) is None and other.getw() == 3.0",
    "putw of an enum, which waits": "enum.putw('Busy') is None and enum.getw() == 1",
    "putw of a bad state": "raises(lambda: enum.putw('Nonsense'), ca.ECA_PUTFAIL)",
    "array_get and pend_io": "number.array_get() is None and number.pend_io() is None and number.getValue() == 5",
    "searchw": "CaChannel(P + 'catest').searchw() is None",
    "a search that times out": "raises(lambda: missing.searchw(), ca.ECA_TIMEOUT)",
    "pend_event": "ca.pend_event(0.05) == ca.ECA_TIMEOUT",
    "poll": "ca.poll() == ca.ECA_TIMEOUT",
    "flush_io": "ca.flush_io() == ca.ECA_NORMAL",
    "test_io": "ca.test_io() == ca.ECA_IODONE",
    "sg_block": "group() == 5",
    "ca.get and ca.pend_io": "read(chid) == 5",
    "clear_event of itself": "channel.clear_event() is None",
    "clear_channel of itself": "channel.clear_channel() is None",
    "clear_channel of another": "number.clear_channel() is None",
    "a search of itself": "channel.searchw() is None and channel.getw() == 5",
    "a second subscription in its place": "channel.add_masked_array_event(None, None, None, again) is None",
    "create_subscription": "ca.create_subscription(chid, again)[0] == ca.ECA_NORMAL",
    "change_connection_event": "channel.change_connection_event(again) is None",
    "add_exception_event": "ca.add_exception_event(again) == ca.ECA_NORMAL",
    "current_context": "ca.current_context() is not None",
    "detach_context": "ca.detach_context() is None",
    "a thread that calls": "in_thread(number.getw) == 5",
    "garbage collection": "gc.collect() >= 0",
}
KINDS = {
    "get": "channel.array_get_callback(None, None, callback)",
    "put": "channel.array_put_callback(5, None, None, callback)",
    "monitor": "channel.add_masked_array_event(None, None, None, callback)",
    "connection": "channel.search_and_connect(None, callback)",
    "access rights": "channel.replace_access_rights_event(callback)",
    "exception": "CaChannel.add_exception_event(callback); enum.array_put('Nonsense')",
}


@pytest.mark.parametrize("kind", KINDS)
def test_anything_may_be_called_in_a_callback(run_script: RunScript, kind: str) -> None:
    """One process for each kind of callback; in it, each thing in turn on a channel of its own."""
    calls = "\n".join(f"            ({what!r}, lambda: {code})," for what, code in IN_A_CALLBACK.items())
    result = run_script(
        f"""
        import gc
        logging.disable(logging.WARNING)
        def open_channel(name):
            channel = CaChannel(P + name)
            channel.searchw()
            return channel
        def raises(call, status):
            try:
                call()
            except CaChannelException as error:
                return error.status == status
        def group():
            status, gid = ca.sg_create()
            status, value = ca.sg_get(gid, chid)
            assert ca.sg_block(gid, 5) == ca.ECA_NORMAL
            ca.sg_delete(gid)
            return value.get()
        def in_thread(function):
            results = []
            thread = threading.Thread(target=lambda: results.append(function()))
            thread.start()
            thread.join(5)
            return results[0]
        def again(*args):
            pass
        open_channel("calong").putw(5)
        calls = [
{calls}
        ]
        for what, code in calls:
            channels = [CaChannel(P + name) for name in ("calong", "wfLONG", "other", "cabo", "calong")]
            for channel in channels:
                channel.search()
            chid = connect("calong")
            number, wave, other, enum, channel = channels
            missing = CaChannel("no-such-pv:in-any-ioc")
            missing.setTimeout(0.05)
            outcome = []
            def callback(args, user_args):
                if outcome:
                    return
                outcome.append(None)
                try:
                    outcome[0] = code()
                except BaseException as error:
                    outcome[0] = repr(error)
            {KINDS[kind]}
            ca.flush_io()
            try:
                wait_for(lambda: outcome and outcome[0] is not None, 5)
            except AssertionError:
                outcome.append("did not return")
            if outcome != [True]:
                print(what, outcome)
            CaChannel.add_exception_event()
        print("done")
        """,
        timeout=90,
    )
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


def test_a_wait_in_a_callback_delivers_others(connect: Connect) -> None:
    chid = connect("calong")
    order: list[str] = []

    def outer(args: Any) -> None:
        order.append("outer begins")
        ca.get(chid, callback=lambda args: order.append("inner"))
        ca.flush_io()
        wait_for(lambda: ca.pend_event(0.01) and "inner" in order, 5)
        order.append("outer ends")

    ca.get(chid, callback=outer)
    ca.flush_io()
    wait_for(lambda: "outer ends" in order)
    assert order == ["outer begins", "inner", "outer ends"]


def test_updates_of_others_come_while_a_callback_waits(connect: Connect) -> None:
    chid, fast = connect("calong"), connect("fast")
    seen: list[Any] = []
    counts: list[int] = []
    status, evid = ca.create_subscription(fast, seen.append)
    assert status == ca.ECA_NORMAL

    def callback(args: Any) -> None:
        before = len(seen)
        ca.pend_event(0.5)
        counts.append(len(seen) - before)

    ca.get(chid, callback=callback)
    ca.flush_io()
    wait_for(lambda: counts)
    assert counts[0] >= 2
    ca.clear_subscription(evid)


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
