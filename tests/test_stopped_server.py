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


NO_THREAD = """
    import contextlib, pathlib, resource, threading

    def has_thread():
        names = pathlib.Path("/proc/self/task").glob("*/comm")
        try:
            return any(b"circu" in name.read_bytes() for name in names)
        except OSError:  # it ends at this moment
            return True

    def fill(big, other):
        \"\"\"What follows is the circuit's to send, which has no thread, though libca would not block yet.\"\"\"
        stop_server(other)
        ca.put(big, [1] * 40_000)
        ca.put(other, 1)
        ca.flush_io()
        wait_for(has_thread)
        wait_for(lambda: not has_thread())
        # Stacks of threads that have ended are used again.
        threading.stack_size(2 << 20)
        for _ in range(20):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()

    @contextlib.contextmanager
    def no_threads():
        in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + (1 << 20), resource.RLIM_INFINITY))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    names = [P + f"many0_{number}" for number in range(3)]
    group = ChannelGroup(names, timeout=10)
    group.connect()
    big, other, cleared = connect("big"), connect("calong"), connect("plain")
    evid = ca.create_subscription(cleared, lambda args: None)[1]
    read(other)
    fill(big, other)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for threads, and for the memory in use")
def test_what_no_thread_can_be_had_for_is_refused(run_script: RunScript) -> None:
    """Too much waits for the server, and the circuit gets no thread to wait behind it: nothing is lost in silence."""
    result = run_script(
        "    from cachannel import ChannelGroup\n"
        + NO_THREAD
        + """
    called = []
    with no_threads():
        print(ca.put(other, 77))
        print(ca.put(other, 78, callback=called.append))
        print(ca.get(other, callback=called.append)[0])
        ca.get(other)
        print(ca.pend_io(10))
        print(*ca.create_subscription(other, called.append))
        try:
            group.put([1, 2, 3])
        except CaChannelException as error:
            print(error.status)
        # These are done once there is a thread.
        print(ca.clear_subscription(evid), ca.clear_channel(cleared))
    print(ca.put(other, 79))
    os.kill(IOC_PID, signal.SIGCONT)
    print(read(other), called)
        """
    )
    refused = "ECA.ALLOCMEM\n" * 4 + "ECA.ALLOCMEM None\nECA.ALLOCMEM\n"
    assert_quiet(result, refused + "ECA.NORMAL ECA.NORMAL\nECA.NORMAL\n79 []\n")
