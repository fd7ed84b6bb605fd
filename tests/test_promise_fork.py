"""Promise: after fork the child starts with no context and its old channels raise; the parent is untouched."""

from __future__ import annotations

import sys

import pytest
from helpers import RunScript, assert_quiet

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")


# A child that uses Channel Access logs what libCom says of that, which is a test of its own.
FORK = """
    import warnings
    logging.getLogger("cachannel.libca").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", DeprecationWarning)
    chid = connect("calong")
    channel = CaChannel(P + "calong")
    channel.searchw()
    channel.putw(5)
    seen = []
    fast = connect("fast")
    status, evid = ca.create_subscription(fast, seen.append)
    ca.flush_io()
    wait_for(lambda: seen)
    def in_child(function):
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            try:
                signal.alarm(20)
                function()
                sys.stdout.flush()
            finally:
                os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
"""


def test_fork_the_child_starts_with_nothing(run_script: RunScript) -> None:
    result = run_script(
        FORK
        + """
    def child():
        print(ca.current_context())
        print(ca.get(chid), ca.put(chid, 1), ca.clear_channel(chid), ca.create_subscription(chid, print))
        print(ca.clear_subscription(evid) != ca.ECA_NORMAL)
        for call in (channel.getw, lambda: channel.putw(7), channel.name, channel.field_type):
            try:
                call()
            except CaChannelException as error:
                print(error.status)
    in_child(child)
    count = len(seen)
    wait_for(lambda: len(seen) > count + 2)
    print(channel.getw(), read(chid))
    """
    )
    status = "ECA.BADCHID"
    assert_quiet(
        result,
        f"None\n(<{status}: 410>, None) {status} {status} (<{status}: 410>, None)\nTrue\n"
        + f"{status}\n" * 4
        + "5 5\n",
    )


def test_fork_the_child_can_connect_anew(run_script: RunScript) -> None:
    result = run_script(
        FORK
        + """
    def child():
        own = CaChannel(P + "calong")
        own.setTimeout(10)
        own.searchw()
        print(own.getw())
        values = []
        own.add_masked_array_event(None, None, None, lambda args, user: values.append(args["pv_value"]))
        own.flush_io()
        wait_for(lambda: values)
        print(values)
    in_child(child)
    in_child(child)
    print(channel.getw())
    """
    )
    assert_quiet(result, "5\n[5]\n5\n[5]\n5\n")


def test_fork_what_libcom_says_of_it_is_logged(run_script: RunScript) -> None:
    result = run_script(
        FORK
        + """
    logging.getLogger("cachannel.libca").setLevel(logging.WARNING)
    stop = threading.Event()
    def child():
        records = []
        handler = logging.Handler()
        handler.emit = records.append
        logging.getLogger().addHandler(handler)
        # What other threads print meanwhile arrives, and is complete.
        def chatter():
            while not stop.is_set():
                os.write(2, b"chatter\\n")
        thread = threading.Thread(target=chatter)
        thread.start()
        for _ in range(3):
            own = CaChannel(P + "calong")
            own.searchw()
            ca.destroy_context()
        stop.set()
        thread.join()
        assert all(record.name == "cachannel.libca" for record in records), records
        print(len(records) <= 1, *("after fork()" in record.getMessage() for record in records))
    in_child(child)
    """
    )
    assert result.returncode == 0, result
    # An old libCom prints nothing.
    assert result.stdout in ("True True\n", "True\n")
    assert set(result.stderr.splitlines()) == {"chatter"}


def test_fork_before_the_first_channel(run_script: RunScript) -> None:
    result = run_script(
        """
        logging.getLogger("cachannel.libca").setLevel(logging.ERROR)
        pid = os.fork()
        if pid == 0:
            with CaChannel(P + "calong") as channel:
                print(type(channel.getw()).__name__)
            sys.exit(3)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        with CaChannel(P + "calong") as channel:
            print(type(channel.getw()).__name__)
        """
    )
    assert_quiet(result, "int\n3\nint\n")


def test_fork_the_child_ends_its_own_context_in_time(run_script: RunScript) -> None:
    """The thread of libCom's error log, for which libca waits at the end, is not there in the child."""
    result = run_script(
        FORK
        + """
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        own = CaChannel(P + "calong")
        own.searchw()
        began = time.monotonic()
        ca.destroy_context()
        print(time.monotonic() - began < 2)
        own = CaChannel(P + "calong")
        own.searchw()
        print(own.getw())
        sys.exit(7)
    began = time.monotonic()
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), time.monotonic() - began < 5)
    """
    )
    assert_quiet(result, "True\n5\n7 True\n")


def test_fork_the_child_ends_normally(run_script: RunScript) -> None:
    result = run_script(
        FORK
        + """
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        sys.exit(7)  # with Python's own exit, atexit and all
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), channel.getw())
    """
    )
    assert_quiet(result, "7 5\n")


def test_fork_while_updates_stream_in(run_script: RunScript) -> None:
    result = run_script(
        FORK
        + """
    writer = connect("plain")
    ca.create_subscription(writer, seen.append)
    stop = threading.Event()
    def stream():
        number = 0
        while not stop.is_set():
            number += 1
            ca.put(writer, number)
            if number % 20 == 0:
                read(writer)
    thread = threading.Thread(target=stream)
    thread.start()
    for _ in range(20):
        in_child(lambda: ca.get(chid))
    stop.set()
    thread.join()
    print(channel.getw())
    """
    )
    assert_quiet(result, "5\n")


def test_multiprocessing_with_fork(run_script: RunScript) -> None:
    result = run_script(
        FORK
        + """
    import multiprocessing
    def work(number):
        own = CaChannel(P + "calong")
        own.searchw()
        return own.getw() + number
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(work, range(4)))
    print(channel.getw())
    """
    )
    assert_quiet(result, "[5, 6, 7, 8]\n5\n")


def test_subprocess(run_script: RunScript) -> None:
    result = run_script(
        """
        import subprocess
        channel = CaChannel(P + "calong")
        channel.searchw()
        print(subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, text=True).stdout, end="")
        print(type(channel.getw()).__name__)
        """
    )
    assert_quiet(result, "1\nint\n")


def test_fork_while_other_threads_drop_callbacks(run_script: RunScript) -> None:
    """A lock that another thread held at the fork is held for good in the child, which must not wait for it."""
    result = run_script(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        chid = connect("calong")
        ca.put(chid, 5)
        stop = threading.Event()
        def churn():
            while not stop.is_set():
                ca.create_context()
                chids = [ca.create_channel(P + f"many{number}_1")[1] for number in range(5)]
                ca.pend_io(10)
                for own in chids:
                    ca.create_subscription(own, lambda args: ca.get(args["chid"], callback=lambda args: None))
                    ca.get(own)
                ca.pend_io(10)
                ca.destroy_context()
        threads = [threading.Thread(target=churn) for _ in range(3)]
        for thread in threads:
            thread.start()
        hung = forks = 0
        end = time.monotonic() + 3  # some hundred forks
        while time.monotonic() < end and not hung:
            forks += 1
            pid = os.fork()
            if pid == 0:
                signal.alarm(10)
                assert ca.current_context() is None
                assert ca.get(chid)[0] == ca.ECA_BADCHID
                os._exit(0)
            hung += os.waitpid(pid, 0)[1] != 0
        stop.set()
        for thread in threads:
            thread.join()
        assert not hung, f"the child of fork {forks} hung"
        print(read(chid))
        """
    )
    assert_quiet(result, "5\n")
