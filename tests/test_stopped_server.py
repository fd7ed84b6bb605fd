"""A server that is stopped in its tracks takes nothing any more: calls end all the same, and all goes on with it."""

from __future__ import annotations

import sys

import pytest
from helpers import RunScript, assert_quiet

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="stops a process")


def test_calls_end_while_the_server_takes_nothing(run_script: RunScript) -> None:
    result = run_script(
        """
        big, other, watched = CaChannel(P + "big"), CaChannel(P + "calong"), CaChannel(P + "fast")
        for each in (big, other, watched):
            each.searchw()
            each.setTimeout(1)
        other.putw(5)
        seen = []
        watched.add_masked_array_event(None, None, None, lambda *args: seen.append(args))
        watched.flush_io()
        wait_for(lambda: seen)
        stop_server(connect("calong"))
        big.putw([1] * 4_000_000)

        def timed(call, *args):
            began = time.monotonic()
            try:
                call(*args)
            except CaChannelException as error:
                print(error.pvname == P + "big" or error.pvname == P + "calong", error.status)
            seconds = time.monotonic() - began
            if seconds > 3:
                print(f"{call.__name__} took {seconds} s")

        big.putw([2] * 4_000_000)  # waits behind
        timed(big.putw, [3] * 4_000_000)
        timed(other.getw)
        timed(watched.clear_event)
        count = len(seen)
        timed(watched.clear_channel)
        timed(ca.poll)
        os.kill(IOC_PID, signal.SIGCONT)
        other.setTimeout(20)
        print(other.getw(), len(seen) == count)
        big.setTimeout(20)
        print(set(big.getw()))
        """,
        timeout=60,
    )
    assert_quiet(result, "True ECA.TIMEOUT\nTrue ECA.TIMEOUT\n5 True\n{2.0}\n")


def test_all_of_a_long_run_of_puts_arrive(run_script: RunScript) -> None:
    """Waits for room lose nothing and keep the order, whatever the sizes."""
    result = run_script(
        """
        big, number = connect("big"), connect("calong")
        for count in range(2000):
            assert ca.put(big, [count] * (count * 7 % 3000 + 1)) == ca.ECA_NORMAL
            assert ca.put(number, count) == ca.ECA_NORMAL
        ca.flush_io()
        print(read(number), read(big, count=0)[0], len(read(big, count=0)))
        """
    )
    assert_quiet(result, f"1999 1999.0 {1999 * 7 % 3000 + 1}\n")
