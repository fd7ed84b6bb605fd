"""epicsPV whose IOC goes away, in the middle of what it does, and comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from cachannel import CaChannelException, ca
from cachannel.epicsPV import epicsPV
from server_process import wait_for
from util_ioc import UtilIoc

# A reconnect takes libca some seconds where a beacon goes astray.
LONG = 40.0


@pytest.fixture
def ioc(repeater: None) -> Iterator[UtilIoc]:
    """An IOC for one test alone. (The one that the other tests share is not needed here.)"""
    with UtilIoc() as server:
        yield server


class Call(threading.Thread):
    """A call in a thread of its own, and what it came to."""

    def __init__(self, function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        super().__init__(daemon=True)
        self._call = lambda: function(*args, **kwargs)
        self.result: object = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._call()
        except Exception as error:
            self.error = error

    def status(self) -> int:
        """The status of the exception that ended it."""
        self.join(10)
        assert not self.is_alive(), "it still waits"
        assert isinstance(self.error, CaChannelException), self.error
        return self.error.status


def kill_in_the_middle(server: UtilIoc, call: Call) -> None:
    """Kill the IOC once the call waits: it does not come back by itself."""
    call.join(0.3)
    assert call.is_alive(), (call.result, call.error)
    server.kill()


def connected(server: UtilIoc, name: str) -> epicsPV:
    pv = epicsPV(server.prefix + name, wait=False)
    pv.pend_io(10)
    return pv


@pytest.mark.parametrize("timeout", [None, 30])
def test_put_wait(ioc: UtilIoc, timeout: float | None) -> None:
    pv = connected(ioc, "never0")
    call = Call(pv.putWait, 1, timeout=timeout)
    kill_in_the_middle(ioc, call)
    assert call.status() == ca.ECA_DISCONN
    assert pv.name() in str(call.error)
    assert pv.callBack.putComplete == 0
    with pytest.raises(CaChannelException) as raised:
        pv.putWait(2)
    assert raised.value.status == ca.ECA_DISCONN


@pytest.mark.parametrize("timeout", [0, 30])
def test_get_control(ioc: UtilIoc, timeout: float) -> None:
    pv = connected(ioc, "catest")
    ioc.pause()
    call = Call(pv.getControl, timeout=timeout)
    kill_in_the_middle(ioc, call)
    assert call.status() == ca.ECA_DISCONN
    assert pv.name() in str(call.error)
    assert pv.checkMonitor() == 0
    for again in (lambda: pv.getControl(timeout=timeout), lambda: pv.getControl(ca.DBR_DOUBLE)):
        with pytest.raises(CaChannelException) as raised:
            again()
        assert raised.value.status == ca.ECA_DISCONN


def test_get_control_that_does_not_wait(ioc: UtilIoc) -> None:
    pv = connected(ioc, "catest")
    ioc.pause()
    pv.getControl(wait=0)
    assert pv.checkMonitor() == 0
    ioc.kill()
    wait_for(pv.checkMonitor)
    assert pv.callBack.status == ca.ECA_DISCONN
    assert pv.callBack.pv_value is None
    with pytest.raises(CaChannelException) as raised:
        pv.getControl(wait=0)
    assert raised.value.status == ca.ECA_DISCONN


def test_a_monitored_pv_gives_no_stale_value(ioc: UtilIoc) -> None:
    pv = connected(ioc, "calong")
    pv.putWait(77)
    pv.setMonitor()
    wait_for(lambda: pv.callBack.monitorState == 2)
    assert pv.getw() == 77

    reads: list[Any] = []
    ended = threading.Event()

    def read_on() -> None:
        while not ended.is_set():
            for read in (pv.getw, pv.array_get, pv.getValue):
                try:
                    reads.append(read())
                except CaChannelException as error:
                    reads.append(error.status)

    reader = threading.Thread(target=read_on, daemon=True)
    reader.start()
    wait_for(lambda: len(reads) > 100)
    assert set(reads) == {77}
    ioc.kill()
    wait_for(lambda: reads[-1] == ca.ECA_DISCONN)
    gone = len(reads)
    began = time.monotonic()
    with pytest.raises(CaChannelException) as raised:
        pv.getw()
    assert time.monotonic() - began < 1
    assert raised.value.status == ca.ECA_DISCONN
    assert pv.name() in str(raised.value)
    assert pv.callBack.monitorState in (1, 2)
    wait_for(lambda: pv.callBack.monitorState == 1)
    # Nothing new, and nothing to wait for.
    pv.checkMonitor()
    assert pv.checkMonitor() == 0

    ioc.start()
    wait_for(lambda: reads[-1] == 5, LONG, "it has reconnected")
    wait_for(lambda: pv.callBack.monitorState == 2)
    ended.set()
    reader.join(10)
    # What was there before is not given again, not for a moment. (None: array_get had to ask the server.)
    assert set(reads[gone:]) <= {ca.ECA_DISCONN, 5, None, ca.ECA_GETFAIL}
    assert pv.checkMonitor() in (0, 1)
    pv.putWait(6)
    wait_for(lambda: pv.getw() == 6)


def test_getw_that_waits_for_the_first_value(ioc: UtilIoc) -> None:
    pv = connected(ioc, "catest")
    ioc.pause()
    pv.setTimeout(30)
    pv.setMonitor()
    call = Call(pv.getw)
    kill_in_the_middle(ioc, call)
    assert call.status() == ca.ECA_DISCONN


def test_what_array_get_has_brought_is_not_given_after_the_monitor(ioc: UtilIoc) -> None:
    pv = connected(ioc, "calong")
    pv.setMonitor()
    pv.array_get()
    pv.pend_io(10)
    assert pv.getValue() == 5
    wait_for(lambda: pv.callBack.monitorState == 2)
    assert pv.getValue() == 5
    ioc.kill()
    wait_for(lambda: pv.state() != ca.cs_conn)
    with pytest.raises(CaChannelException) as raised:
        pv.getValue()
    assert raised.value.status == ca.ECA_DISCONN


def test_an_array_that_comes_back_with_another_size_and_type(ioc: UtilIoc) -> None:
    pv = connected(ioc, "shape")
    pv.putWait([1.5, 2.5, 3.5])
    pv.setMonitor()
    wait_for(lambda: pv.callBack.monitorState == 2)
    assert pv.getw() == [1.5, 2.5, 3.5]
    ioc.kill()
    ioc.shape = ("LONG", 5)
    ioc.start()
    wait_for(lambda: pv.state() == ca.cs_conn, LONG, "it has reconnected")
    pv.putWait([1, 2, 3, 4, 5])
    wait_for(lambda: repr(pv.getw()) == "[1, 2, 3, 4, 5]", 10, "the array as it is now")
    wait_for(lambda: pv.callBack.monitorState == 2)
    wait_for(lambda: repr(pv.callBack.pv_value) == "[1, 2, 3, 4, 5]")


def test_connection_callbacks_of_the_users_go_on(ioc: UtilIoc) -> None:
    events: list[Any] = []

    def connection(args: Any, user_args: tuple[Any, ...]) -> None:
        events.append((args[1], *user_args))

    pv = epicsPV()
    pv.search_and_connect(ioc.prefix + "calong", connection, "first")
    pv.flush_io()
    wait_for(lambda: events == [(ca.CA_OP_CONN_UP, "first")])
    pv.setMonitor()
    assert pv.getw() == 5
    ioc.kill()
    wait_for(lambda: events[-1] == (ca.CA_OP_CONN_DOWN, "first"))
    pv.change_connection_event(connection, "second", 2)
    ioc.start()
    wait_for(lambda: events[-1] == (ca.CA_OP_CONN_UP, "second", 2), LONG)
    pv.clearMonitor()
    ioc.kill()
    wait_for(lambda: events[-1] == (ca.CA_OP_CONN_DOWN, "second", 2))
    assert len(events) == 4
