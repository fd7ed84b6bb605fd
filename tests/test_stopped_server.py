"""A server that is stopped reads nothing any more: calls end nevertheless, and work again when the server goes on."""

from __future__ import annotations

import sys

import pytest
from helpers import RunScript, assert_quiet
from ioc import BUNCHES, Ioc

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="stops a process")


def test_calls_end_while_the_server_does_not_read(run_script: RunScript) -> None:
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


# As in `without_threads`, which can be imported on Unix alone.
STACK = {"RUST_MIN_STACK": str(256 << 20)}

NO_THREAD = """
    import gc
    from cachannel import ChannelGroup
    from without_threads import has_thread, libca_has, no_threads
"""

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for threads and the memory in use")


@needs_proc
def test_what_no_thread_can_be_had_for_is_refused(run_script: RunScript) -> None:
    """The server reads nothing, and the system gives no sender thread: what cannot be sent is refused, not lost."""
    result = run_script(
        NO_THREAD
        + """
    names = [P + f"many0_{number}" for number in range(3)]
    group = ChannelGroup(names, timeout=10)
    group.connect()
    big, other, watched, cleared = (connect(name) for name in ("big", "calong", "plain", "note"))
    evid = ca.create_subscription(watched, lambda args: None)[1]
    read(other)
    before = libca_has()
    stop_server(other)
    ca.put(big, [1] * 40_000)  # what follows is the circuit's to send, though libca would not block yet
    # It has a thread from now on, which ends if it has nothing to do for a second.
    wait_for(lambda: ca.put(other, 1) == ca.ECA_NORMAL and has_thread())
    called = []
    with no_threads():
        print(ca.put(other, 77))
        print(ca.put(other, 78, callback=called.append))
        print(ca.get(other, callback=called.append)[0])
        ca.get(other)
        print(ca.pend_io(10))
        try:
            group.put([1, 2, 3])
        except CaChannelException as error:
            print(error.status)
        print(*ca.create_subscription(other, called.append))
        # These are done once there is a thread.
        under_way = libca_has()
        print(ca.clear_subscription(evid), ca.clear_channel(cleared))
        print(libca_has() == under_way)
    print(ca.put(other, 79))
    os.kill(IOC_PID, signal.SIGCONT)
    print(read(other), called)
    wait_for(lambda: libca_has() == [number - 1 for number in before], 10, f"{before} less one")
        """,
        env=STACK,
    )
    refused = "ECA.ALLOCMEM\n" * 5 + "ECA.ALLOCMEM None\n"
    assert_quiet(result, refused + "ECA.NORMAL ECA.NORMAL\nTrue\nECA.NORMAL\n79 []\n")


@needs_proc
def test_what_is_freed_without_a_thread_is_in_nobodys_way(run_script: RunScript) -> None:
    """Channels that are dropped are cleared once there is a thread; until then all others go on."""
    result = run_script(
        NO_THREAD
        + """
    other, first, second = (connect(name) for name in ("calong", "plain", "note"))
    channels, _ = libca_has()
    with no_threads():
        del first
        gc.collect()
        print(read(other), ca.put(other, 5), read(other), libca_has()[0] == channels)
    del second  # first, too, goes then
    gc.collect()
    wait_for(lambda: libca_has()[0] == channels - 2, 10, "both are cleared")
        """,
        env=STACK,
    )
    assert_quiet(result, "5 ECA.NORMAL 5 True\n")


@needs_proc
def test_what_was_refused_does_not_count(run_script: RunScript) -> None:
    """The server takes everything again: libca is called directly, which takes no thread."""
    result = run_script(
        NO_THREAD
        + """
    names = [P + f"many0_{number}" for number in range(10)]
    group = ChannelGroup(names, timeout=10)
    group.connect()
    big, other = connect("big"), connect("calong")
    read(other)
    stop_server(other)
    ca.put(big, [1] * 40_000)
    done = []
    wait_for(lambda: ca.put(other, 1, callback=done.append) == ca.ECA_NORMAL and has_thread())
    with no_threads():
        for _ in range(30):
            if ca.put(big, [2] * 4000) != ca.ECA_ALLOCMEM:
                print("big was sent")
        for _ in range(2000):
            try:
                group.put(range(10))
            except CaChannelException as error:
                if error.status != ca.ECA_ALLOCMEM:
                    raise
        os.kill(IOC_PID, signal.SIGCONT)
        wait_for(lambda: ca.put(other, 6, callback=done.append) == ca.ECA_NORMAL)
        wait_for(lambda: any(args["status"] == ca.ECA_NORMAL for args in done))
        print(read(other), has_thread())
        """,
        env=STACK,
    )
    assert_quiet(result, "6 False\n")


LATE = """
    import contextlib, numpy
    from cachannel import ChannelGroup, util
    from epicsPV import epicsPV
    big, number, name = connect("big"), P + "calong", P + "cabo"
    ca.put(number_id := connect("calong"), 5)
    ca.put(connect("cabo"), 0)
    read(number_id)
    group = ChannelGroup([number, name], timeout=10)
    group.connect()
    pv = epicsPV(number)
    pv.setTimeout(0.3)
    gid = ca.sg_create()[1]
    util.caget([number, name])  # so that it is connected

    def in_a_group(value):
        ca.sg_put(gid, number_id, value)
        status = ca.sg_block(gid, 0.3)
        if status != ca.ECA_NORMAL:
            raise CaChannelException(status)

    def not_done(*results):
        if not any(results):
            raise CaChannelException(ca.ECA_TIMEOUT)

    def refused(write):
        try:
            done = write()
        except CaChannelException as error:
            return error.status
        return f"returned {done}"

    @contextlib.contextmanager
    def full():
        # More than the system's buffers hold: the circuit's thread is blocked, and all that follows waits behind.
        stop_server(number_id)
        ca.put(big, numpy.ones(1_500_000))
        ca.put(big, [2] * 10)
        yield
        os.kill(IOC_PID, signal.SIGCONT)
"""

WAYS = {
    "caput": "not_done(util.caput(number, value, wait=True, timeout=0.3, throw=False))",
    "caput of several": "not_done(*util.caput([number, name], [value, 1], wait=True, timeout=0.3, throw=False))",
    "putWait": "pv.putWait(value, timeout=0.3)",
    "a group": "group.put([value, 1], wait=True, timeout=0.3)",
    "a sync group": "in_a_group(value)",
    "an enum": "pv_enum.putw(value)",
}


@pytest.mark.parametrize("way", WAYS)
def test_what_was_refused_is_not_written_later(run_script: RunScript, way: str) -> None:
    """What was given up is withdrawn, unless libca has it already."""
    result = run_script(
        LATE
        + f"""
    pv_enum = CaChannel(name)
    pv_enum.searchw()
    pv_enum.setTimeout(0.3)
    values = []
    ca.create_subscription(number_id, lambda args: values.append(args["value"]))
    ca.create_subscription(connect("cabo"), lambda args: values.append(args["value"]))
    ca.flush_io()
    wait_for(lambda: len(values) == 2)
    with full():
        for value in range(1, 4):
            print(refused(lambda: {WAYS[way]}))
    wait_for(lambda: ca.pend_io(10) == ca.ECA_NORMAL and read(big, count=0)[0] == 2)
    print(read(number_id), read(connect("cabo")), values)
        """
    )
    assert_quiet(result, "ECA.TIMEOUT\n" * 3 + "5 0 [5, 0]\n")


GROWTH = f"""
    import resource
    from cachannel import ChannelGroup

    def megabytes():
        pages = int(open("/proc/self/statm").read().split()[1])
        return pages * resource.getpagesize() / 1e6

    names = [P + f"many{{number // 10}}_{{number % 10}}" for number in range({BUNCHES * 10})] * 14
"""

ROUNDS = """
    def rounds(number, timeout):
        for _ in range(number):
            try:
                WORK
            except CaChannelException as error:
                if error.status != ca.ECA_TIMEOUT:
                    raise
    rounds(30, 0.01)
    before = megabytes()
    rounds(400, 0.01)
    grown = megabytes() - before
    print(grown if grown > 25 else "bounded")
    os.kill(SERVER, signal.SIGCONT)
"""

GOES_ON = """
    group.get(timeout=20)
    print("goes on")
"""

WORK = {
    "get": "group.get(timeout=timeout)",
    "get as text": "group.get(as_string=True, timeout=timeout)",
    "put and wait": "group.put(range(len(group)), wait=True, timeout=timeout)",
}


@needs_proc
@pytest.mark.parametrize("work", ["get", "get as text"])
def test_memory_is_bounded_where_a_group_times_out(run_script: RunScript, work: str) -> None:
    script = """
    SERVER = IOC_PID
    group = ChannelGroup(names, timeout=20)
    group.connect()
    group.get()
    stop_server(connect("calong"))
    """
    result = run_script(GROWTH + script + ROUNDS.replace("WORK", WORK[work]) + GOES_ON)
    assert_quiet(result, "bounded\ngoes on\n")


@needs_proc
@pytest.mark.parametrize("work", WORK)
def test_memory_is_bounded_where_one_of_many_servers_is_stopped(run_script: RunScript, own_ioc: Ioc, work: str) -> None:
    """Each round leaves one request in libca, which has a pointer into the memory of the round."""
    assert own_ioc.process is not None
    script = f"""
    SERVER = {own_ioc.process.pid}
    group = ChannelGroup([*names, "{own_ioc.prefix}calong"], timeout=20)
    group.connect()
    group.get()
    os.kill(SERVER, signal.SIGSTOP)
    """
    # An IOC that gets a put with completion before that channel's last one is complete may take a minute for it.
    goes_on = GOES_ON if work != "put and wait" else "    print('goes on')"
    result = run_script(GROWTH + script + ROUNDS.replace("WORK", WORK[work]) + goes_on)
    assert_quiet(result, "bounded\ngoes on\n")
