"""Synchronous groups: several gets and puts, waited for together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cachannel import CaChannelException, ca
from helpers import Connect, RunScript, assert_quiet, read, write


@pytest.fixture
def gid() -> Iterator[int]:
    status, group = ca.sg_create()
    assert status is ca.ECA.NORMAL
    yield group
    ca.sg_delete(group)


def test_get_and_put_together(connect: Connect, gid: int) -> None:
    number, text, wave = connect("count"), connect("castr"), connect("wfLONG")
    write(wave, [1, 2, 3, 4, 5])
    write(text, "hello")
    assert ca.sg_put(gid, number, 77) is ca.ECA.NORMAL
    status, got_text = ca.sg_get(gid, text)
    assert status is ca.ECA.NORMAL
    status, got_wave = ca.sg_get(gid, wave, None, None, True)
    assert status is ca.ECA.NORMAL
    status, got_time = ca.sg_get(gid, wave, ca.DBR_TIME_DOUBLE, 2)
    assert status is ca.ECA.NORMAL
    assert ca.sg_block(gid, 10) is ca.ECA.NORMAL
    assert got_text.get() == "hello"
    assert isinstance(got_wave.get(), np.ndarray)
    assert got_wave.get().tolist() == [1, 2, 3, 4, 5]
    assert got_time.get()["value"] == [1.0, 2.0]
    assert set(got_time.get()) == {"value", "status", "severity", "stamp"}
    assert read(number) == 77


def test_arguments_by_keyword(connect: Connect) -> None:
    chid = connect("count")
    status, group = ca.sg_create()
    assert status == ca.ECA_NORMAL
    assert ca.sg_put(gid=group, chid=chid, value=5, chtype=ca.DBR_LONG, count=1) == ca.ECA_NORMAL
    status, value = ca.sg_get(gid=group, chid=chid, chtype=ca.DBR_STRING, count=1, use_numpy=False)
    assert status == ca.ECA_NORMAL
    assert ca.sg_block(gid=group, timeout=10) == ca.ECA_NORMAL
    assert value.get() == "5"
    assert ca.sg_test(gid=group) == ca.ECA_IODONE
    assert ca.sg_reset(gid=group) == ca.ECA_NORMAL
    assert ca.sg_delete(gid=group) == ca.ECA_NORMAL


def test_sg_block_waits_for_the_put_to_complete(connect: Connect, gid: int) -> None:
    slow, done = connect("slower"), connect("slower:done")
    write(done, 0)
    assert ca.sg_put(gid, slow, 1) == ca.ECA_NORMAL
    ca.flush_io()
    assert ca.sg_test(gid) is ca.ECA.IOINPROGRESS
    assert ca.sg_block(gid, 10) is ca.ECA.NORMAL
    assert ca.sg_test(gid) is ca.ECA.IODONE
    assert read(done) == 1
    write(done, 0)


def test_timeout_and_after(connect: Connect, gid: int) -> None:
    slow, done, plain = connect("slow"), connect("slow:done"), connect("calong")
    write(plain, 5)
    ca.sg_put(gid, slow, 1)
    assert ca.sg_block(gid, 0.05) is ca.ECA.TIMEOUT
    # As in libca, the group starts anew after a timeout; late answers are dropped.
    status, value = ca.sg_get(gid, plain)
    assert status == ca.ECA_NORMAL
    assert ca.sg_block(gid, 10) is ca.ECA.NORMAL
    assert value.get() == 5
    write(slow, 0)
    write(done, 0)


def test_reset_forgets_what_is_outstanding(connect: Connect, gid: int) -> None:
    slow = connect("slower")
    ca.sg_put(gid, slow, 1)
    ca.flush_io()
    assert ca.sg_test(gid) is ca.ECA.IOINPROGRESS
    assert ca.sg_reset(gid) is ca.ECA.NORMAL
    assert ca.sg_test(gid) is ca.ECA.IODONE
    assert ca.sg_block(gid, 10) is ca.ECA.NORMAL
    write(slow, 0)


def test_empty_group(gid: int) -> None:
    assert ca.sg_test(gid) is ca.ECA.IODONE
    assert ca.sg_block(gid, 1) is ca.ECA.NORMAL


def test_two_groups_are_independent(connect: Connect, gid: int) -> None:
    slow, plain = connect("slower"), connect("calong")
    write(plain, 5)
    status, other = ca.sg_create()
    assert status == ca.ECA_NORMAL
    assert other != gid
    ca.sg_put(gid, slow, 2)
    status, value = ca.sg_get(other, plain)
    assert ca.sg_block(other, 10) is ca.ECA.NORMAL
    assert value.get() == 5
    assert ca.sg_test(gid) is ca.ECA.IOINPROGRESS
    assert ca.sg_block(gid, 10) is ca.ECA.NORMAL
    assert ca.sg_delete(other) is ca.ECA.NORMAL


def test_a_group_does_not_hold_up_pend_io(connect: Connect, gid: int) -> None:
    slow, plain = connect("slower"), connect("calong")
    write(plain, 5)
    ca.sg_put(gid, slow, 3)
    assert read(plain) == 5
    assert ca.sg_test(gid) is ca.ECA.IOINPROGRESS
    assert ca.sg_block(gid, 10) is ca.ECA.NORMAL


def test_what_is_no_group(connect: Connect) -> None:
    chid = connect("calong")
    _, gone = ca.sg_create()
    assert ca.sg_delete(gone) is ca.ECA.NORMAL
    for gid in (gone, 987654):
        assert ca.sg_delete(gid) is ca.ECA.BADSYNCGRP
        assert ca.sg_test(gid) is ca.ECA.BADSYNCGRP
        assert ca.sg_reset(gid) is ca.ECA.BADSYNCGRP
        assert ca.sg_block(gid, 1) is ca.ECA.BADSYNCGRP
        assert ca.sg_get(gid, chid) == (ca.ECA_BADSYNCGRP, None)
        assert ca.sg_put(gid, chid, 1) is ca.ECA.BADSYNCGRP
    assert read(chid) != 1


def test_value_before_it_is_there(connect: Connect, gid: int) -> None:
    status, value = ca.sg_get(gid, connect("calong"))
    assert status == ca.ECA_NORMAL
    with pytest.raises(CaChannelException):
        value.get()
    assert ca.sg_block(gid, 10) is ca.ECA.NORMAL
    assert isinstance(value.get(), int)


def test_the_server_refuses_one(connect: Connect, gid: int) -> None:
    good, bad = connect("calong"), connect("castr")
    write(good, 5)
    write(bad, "hello")
    _, value = ca.sg_get(gid, good)
    _, refused = ca.sg_get(gid, bad, ca.DBR_DOUBLE)
    assert ca.sg_block(gid, 10) is ca.ECA.GETFAIL
    assert value.get() == 5
    with pytest.raises(CaChannelException) as caught:
        refused.get()
    assert caught.value.status is ca.ECA.GETFAIL


@pytest.mark.parametrize("value", [None, "x", ["x", 1], 2**40, float("nan")])
def test_a_bad_value(connect: Connect, gid: int, value: Any) -> None:
    chid = connect("count")
    write(chid, 6)
    with pytest.raises(CaChannelException):
        ca.sg_put(gid, chid, value)
    assert ca.sg_block(gid, 1) is ca.ECA.NORMAL
    assert read(chid) == 6


def test_a_bad_type(connect: Connect, gid: int) -> None:
    chid = connect("count")
    assert ca.sg_get(gid, chid, 39) == (ca.ECA_BADTYPE, None)
    assert ca.sg_put(gid, chid, 1, ca.DBR_TIME_LONG) is ca.ECA.BADTYPE
    assert ca.sg_put(gid, chid, []) is ca.ECA.BADCOUNT
    assert ca.sg_block(gid, 1) is ca.ECA.NORMAL


def test_no_access(connect: Connect, gid: int) -> None:
    assert ca.sg_get(gid, connect("hidden")) == (ca.ECA_NORDACCESS, None)
    assert ca.sg_put(gid, connect("readonly"), 1) is ca.ECA.NOWTACCESS


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_a_bad_timeout(gid: int, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        ca.sg_block(gid, timeout)


def test_many_in_one_group(many: list[str], gid: int) -> None:
    chids = [ca.create_channel(name)[1] for name in many]
    assert ca.pend_io(10) == ca.ECA_NORMAL
    values = [ca.sg_get(gid, chid)[1] for chid in chids]
    assert ca.sg_block(gid, 10) is ca.ECA.NORMAL
    assert [value.get() for value in values] == [float(name[-1]) for name in many]
    for chid in chids:
        ca.clear_channel(chid)


def test_delete_with_something_outstanding(run_script: RunScript) -> None:
    assert_quiet(
        run_script(
            """
            slow = connect("stuck3")
            status, gid = ca.sg_create()
            ca.sg_put(gid, slow, 1)
            ca.flush_io()
            print(ca.sg_delete(gid), ca.sg_test(gid))
            slow = connect("stuck4")
            status, gid = ca.sg_create()
            ca.sg_put(gid, slow, 1)
            ca.clear_channel(slow)
            print(ca.sg_block(gid, 5) != ca.ECA_TIMEOUT)
            """
        ),
        "ECA.NORMAL ECA.BADSYNCGRP\nTrue\n",
    )
