"""Objects that go: with a stopped server, searched twice."""

from __future__ import annotations

import sys

import pytest
from helpers import RunScript, assert_quiet


@pytest.mark.skipif(sys.platform == "win32", reason="stops a process")
def test_the_last_reference_does_not_wait_for_the_server(run_script: RunScript) -> None:
    result = run_script(
        """
        from collected import *
        held = [CaChannel(P + f"fast{number % 20}") for number in range(200)]
        for channel in held:
            channel.search()
        held[0].pend_io(10)
        seen = []
        big = CaChannel(P + "big")
        big.searchw()
        for channel in held:
            channel.add_masked_array_event(None, None, None, lambda args, user_args: seen.append(1))
        held[0].flush_io()
        wait_for(lambda: len(seen) > 400)
        stop_server(kept)
        big.putw([0] * 4_000_000)  # more than the server takes
        for channel in held:
            channel.array_get()
            channel.clear_event()
        began = time.monotonic()
        del held, channel, big
        gc.collect()
        print(time.monotonic() - began < 1)
        ca.poll()
        count = len(seen)
        os.kill(IOC_PID, signal.SIGCONT)
        wait_for(lambda: channels() == ["calong"], 20)
        ca.pend_io(10)  # the reads of the channels that are gone count no more
        print(read(kept), len(seen) == count)
        """
    )
    assert_quiet(result, "True\n5 True\n")


def test_searches_on_one_object_leak_nothing(run_script: RunScript) -> None:
    result = run_script(
        """
        from collected import *
        callbacks = []
        class Callback:
            def __init__(self):
                callbacks.append(weakref.ref(self))
            def __call__(self, *args):
                pass
        channel = CaChannel(P + "fast0")
        for number in range(200):
            channel.search()
            channel.search(P + f"fast{number % 20}")
            channel.search_and_connect(None, Callback())
            channel.search_and_connect(P + "catest", Callback())
            if number % 10 == 0:
                channel.flush_io()
                wait_for(lambda: channel.state() == ca.cs_conn)
                channel.add_masked_array_event(None, None, None, Callback())
                channel.array_get_callback(None, None, Callback())
        wait_for(lambda: channel.state() == ca.cs_conn)
        wait_for(lambda: channels() == ["calong", "catest"])
        ca.poll()
        gc.collect()
        print(sum(callback() is not None for callback in callbacks))
        channel.clear_channel()
        wait_for(lambda: channels() == ["calong"])
        """
    )
    assert_quiet(result, "1\n")
