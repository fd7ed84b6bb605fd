"""Promise: every thread works, without attaching."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cachannel import ca
from helpers import Connect, RunScript, assert_quiet, read, write
from ioc import Ioc
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


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("replace", [ca.change_connection_event, ca.replace_access_rights_event])
def test_one_of_two_handlers_that_are_set_at_the_same_time_is_called(
    own_ioc: Ioc, frequent_switches: None, replace: Callable[..., Any]
) -> None:
    chids = [ca.create_channel(own_ioc.prefix + "catest")[1] for _ in range(2000)]
    assert ca.pend_io(20) == ca.ECA_NORMAL
    told: list[set[int]] = [set(), set()]
    both = threading.Barrier(2)

    def set_all(which: int) -> None:
        for number, chid in enumerate(chids):

            def called(args: dict[str, Any], number: int = number) -> None:
                if args.get("op") is ca.CA_OP.CONN_DOWN or args.get("read_access") is False:
                    told[which].add(number)

            both.wait(20)
            replace(chid, called)

    threads = [threading.Thread(target=set_all, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    own_ioc.kill()
    wait_for(lambda: len(told[0] | told[1]) == len(chids), 20, "all disconnects are told")
    assert not told[0] & told[1]
    for chid in chids:
        ca.clear_channel(chid)
