"""Gets gather until they are flushed: nothing overtakes them, and what becomes of each is told."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from cachannel import CaChannel, CaChannelException, ca
from helpers import Connect, MakeChannel, read, write
from ioc import Ioc
from server_process import wait_for


def test_what_follows_does_not_overtake(connect: Connect) -> None:
    chid, other = connect("calong"), connect("cawave")
    write(chid, 1)
    status, before = ca.get(chid)
    assert status == ca.ECA_NORMAL
    assert ca.put(chid, 2) == ca.ECA_NORMAL
    status, after = ca.get(chid)
    assert status == ca.ECA_NORMAL
    done: list[Any] = []
    assert ca.put(chid, 3, callback=done.append) == ca.ECA_NORMAL
    status, last = ca.get(chid)
    assert status == ca.ECA_NORMAL
    assert ca.get(other, callback=done.append)[0] == ca.ECA_NORMAL
    assert ca.pend_io(10) == ca.ECA_NORMAL
    assert [before.get(), after.get(), last.get()] == [1, 2, 3]
    wait_for(lambda: len(done) == 2)


def test_what_another_thread_sends_afterwards_does_not_overtake(connect: Connect) -> None:
    chid = connect("calong")
    write(chid, 10)
    for number in range(11, 60):
        status, value = ca.get(chid)
        assert status == ca.ECA_NORMAL
        thread = threading.Thread(target=ca.put, args=(chid, number))
        thread.start()
        thread.join()
        assert ca.pend_io(10) == ca.ECA_NORMAL
        assert value.get() == number - 1


def test_nothing_is_due_before_a_flush(connect: Connect) -> None:
    chid = connect("calong")
    values = [ca.get(chid)[1] for _ in range(2000)]
    assert ca.test_io() == ca.ECA_IOINPROGRESS
    ca.flush_io()
    wait_for(lambda: ca.test_io() == ca.ECA_IODONE)
    assert len({value.get() for value in values}) == 1


def test_a_channel_that_is_cleared_meanwhile(connect: Connect, prefix: str) -> None:
    chid = ca.create_channel(prefix + "calong")[1]
    assert ca.pend_io(10) == ca.ECA_NORMAL
    other = connect("calong")
    lost, value = ca.get(chid)[1], ca.get(other)[1]
    ca.clear_channel(chid)
    assert ca.pend_io(10) == ca.ECA_NORMAL
    assert value.get() == read(other)
    with pytest.raises(CaChannelException):
        lost.get()


def test_a_server_that_goes_meanwhile(own_ioc: Ioc) -> None:
    channel = CaChannel(own_ioc.prefix + "calong")
    channel.setTimeout(10)
    channel.searchw()
    channel.array_get()
    own_ioc.kill()
    wait_for(lambda: channel.state() != ca.ChannelState.CONN)
    with pytest.raises(CaChannelException) as raised:
        channel.pend_io()
    assert raised.value.status == ca.ECA_DISCONN
    with pytest.raises(CaChannelException) as raised:
        channel.getValue()
    assert raised.value.status == ca.ECA_DISCONN
    channel.clear_channel()


def test_a_value_is_not_the_next_one(make_channel: MakeChannel) -> None:
    """A request's memory is used again, but not that of a value that the program holds."""
    channel = make_channel("cawave")
    results = []
    for number in range(5):
        channel.putw([number] * 5)
        channel.array_get(use_numpy=True)
        with pytest.raises(CaChannelException, match="pend_io"):
            channel.getValue()
        channel.pend_io()
        results.append((channel.getValue(), channel.getValue()))
    for number, (first, second) in enumerate(results):
        assert np.array_equal(first, [number] * 5)
        assert np.array_equal(second, [number] * 5)


def test_requests_of_different_kinds_in_turn(make_channel: MakeChannel) -> None:
    channel = make_channel("cawave")
    channel.putw([1, 2, 3, 4, 5])
    for count, use_numpy, expected in ((1, False, 1.0), (3, False, [1, 2, 3]), (2, True, [1, 2]), (1, True, 1.0)):
        channel.array_get(None, count, use_numpy=use_numpy)
        channel.pend_io()
        value = channel.getValue()
        assert isinstance(value, np.ndarray) == (use_numpy and count > 1)
        assert np.array_equal(value, expected)
    channel.array_get(ca.DBR_TIME_DOUBLE, 2)
    channel.pend_io()
    assert channel.getValue()["pv_value"] == [1, 2]
    with pytest.raises(CaChannelException):
        channel.array_get(999)
    assert channel.getValue() is None
