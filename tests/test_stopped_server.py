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


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for the memory in use")
def test_updates_that_nobody_can_ask_for_are_told_of(run_script: RunScript) -> None:
    """There is no thread to be had for a circuit that is full, so libca is not asked for updates."""
    result = run_script(
        """
        import pathlib, resource, threading

        big, other = connect("big"), connect("calong")
        problems = []
        ca.add_exception_event(problems.append)
        stop_server(other)
        ca.put(big, [1] * 40_000)  # what follows is the circuit's to send, which does not block yet
        ca.put(other, 1)
        ca.flush_io()

        def has_thread():
            names = pathlib.Path("/proc/self/task").glob("*/comm")
            try:
                return any(b"circu" in name.read_bytes() for name in names)
            except OSError:  # it ends at this moment
                return True

        wait_for(has_thread)
        wait_for(lambda: not has_thread())
        # Stacks of threads that have ended are used again.
        threading.stack_size(2 << 20)
        over = threading.Event()
        others = [threading.Thread(target=over.wait, daemon=True) for _ in range(20)]
        for each in others:
            each.start()
        in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + (1 << 20), resource.RLIM_INFINITY))
        print(ca.create_subscription(other, lambda args: None)[0])
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        over.set()
        wait_for(lambda: problems)
        print(ca.name(problems[0]["chid"]) == P + "calong", problems[0]["state"], problems[0]["op"])
        """
    )
    assert_quiet(result, "ECA.NORMAL\nTrue ECA.ALLOCMEM CA_OP.ADD_EVENT\n")
