"""Promise: every thread works, without attaching."""

from __future__ import annotations

import threading
from typing import Any

from cachannel import ca
from helpers import Connect, RunScript, assert_quiet, read, write
from server_process import wait_for


def test_threads_work_without_attaching(connect: Connect) -> None:
    chids = [connect(f"many{number}_0") for number in range(8)]
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(50):
                write(chids[number], turn)
                assert read(chids[number]) == turn
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for chid in chids:
        write(chid, 0)
    assert errors == []


def test_threads_share_one_channel(connect: Connect) -> None:
    chid = connect("wfDOUBLE")
    write(chid, [1, 2, 3, 4, 5])
    results: list[Any] = []

    def work() -> None:
        for _ in range(100):
            results.append(read(chid))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [[1.0, 2.0, 3.0, 4.0, 5.0]] * 800


def test_a_thread_does_not_wait_for_what_another_asked_for(connect: Connect) -> None:
    """One thread's pend_io that times out leaves the answers of another's alone."""
    chid = connect("calong")
    write(chid, 5)
    statuses: list[Any] = []

    def wait_in_vain() -> None:
        _, missing = ca.create_channel("no-such-pv:in-any-ioc")
        statuses.append(ca.pend_io(0.5))
        ca.clear_channel(missing)

    thread = threading.Thread(target=wait_in_vain)
    thread.start()
    wait_for(lambda: statuses or thread.is_alive())
    for _ in range(50):
        assert read(chid) == 5
    thread.join(10)
    assert statuses == [ca.ECA_TIMEOUT]


def test_many_threads_come_and_go(run_script: RunScript) -> None:
    result = run_script(
        """
        channel = CaChannel(P + "calong")
        results = []
        def work():
            own = CaChannel(P + "calong")
            own.searchw()
            results.append(own.getw())
        for _ in range(10):
            threads = [threading.Thread(target=work) for _ in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
        print(len(results), set(results) == {results[0]})
        """,
        timeout=60,
    )
    assert_quiet(result, "100 True\n")


def test_the_interpreter_goes_on_while_one_thread_waits(run_script: RunScript) -> None:
    result = run_script(
        """
        connect("calong")
        counted = 0
        stop = threading.Event()
        def count():
            global counted
            while not stop.wait(0.001):
                counted += 1
        thread = threading.Thread(target=count)
        thread.start()
        ca.pend_event(0.5)
        stop.set()
        thread.join()
        print(counted > 20)
        """
    )
    assert_quiet(result, "True\n")
