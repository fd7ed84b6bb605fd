"""Channels of the ``ca`` module: creating, connecting, what is known about them, access rights, clearing."""

from __future__ import annotations

import gc
import os
from typing import Any

import pytest
from cachannel import CaChannelException, ca
from helpers import Connect, read, write
from server_process import wait_for


def test_create_channel_gives_a_status_and_a_chid(prefix: str) -> None:
    status, chid = ca.create_channel(prefix + "catest")
    assert status is ca.ECA.NORMAL
    assert chid is not None
    assert ca.pend_io(10) is ca.ECA.NORMAL
    assert ca.state(chid) is ca.ChannelState.CONN
    assert ca.clear_channel(chid) is ca.ECA.NORMAL


def test_arguments_by_keyword(prefix: str) -> None:
    status, chid = ca.create_channel(name=prefix + "catest", callback=None, priority=ca.CA_PRIORITY_DEFAULT)
    assert status == ca.ECA_NORMAL
    assert ca.pend_io(timeout=10) == ca.ECA_NORMAL
    assert ca.name(chid=chid) == prefix + "catest"
    assert ca.field_type(chid=chid) == ca.DBF_DOUBLE
    assert ca.clear_channel(chid=chid) == ca.ECA_NORMAL


def test_the_name_may_be_bytes(prefix: str) -> None:
    status, chid = ca.create_channel((prefix + "catest").encode())
    assert status == ca.ECA_NORMAL
    assert ca.pend_io(10) == ca.ECA_NORMAL
    assert ca.name(chid) == prefix + "catest"
    ca.clear_channel(chid)


@pytest.mark.parametrize(
    ("name", "dbf", "count"),
    [
        ("catest", "DOUBLE", 1),
        ("cabo", "ENUM", 1),
        ("castr", "STRING", 1),
        ("calong", "LONG", 1),
        ("cawave", "DOUBLE", 5),
        ("cawavec", "CHAR", 5),
        ("cawaves", "STRING", 3),
        ("wfCHAR", "CHAR", 5),
        ("wfUCHAR", "CHAR", 5),
        ("wfSHORT", "SHORT", 5),
        ("wfUSHORT", "LONG", 5),
        ("wfLONG", "LONG", 5),
        ("wfULONG", "DOUBLE", 5),
        ("wfINT64", "DOUBLE", 5),
        ("wfFLOAT", "FLOAT", 5),
        ("wfDOUBLE", "DOUBLE", 5),
        ("wfSTRING", "STRING", 5),
        ("wfENUM", "ENUM", 5),
        ("oneSHORT", "SHORT", 1),
        ("oneFLOAT", "FLOAT", 1),
        ("oneCHAR", "CHAR", 1),
        ("wide", "DOUBLE", 1),
        ("states", "ENUM", 1),
        ("big", "DOUBLE", 4_000_000),
    ],
)
def test_what_is_known_of_a_channel(connect: Connect, prefix: str, name: str, dbf: str, count: int) -> None:
    chid = connect(name)
    assert ca.field_type(chid) is ca.DBF[dbf]
    assert ca.element_count(chid) == count
    assert ca.name(chid) == prefix + name
    assert ca.state(chid) is ca.ChannelState.CONN
    assert ca.read_access(chid) is True
    assert ca.write_access(chid) is True
    host, _, port = ca.host_name(chid).rpartition(":")
    assert host
    assert port == os.environ["EPICS_CA_SERVER_PORT"]


def test_before_it_is_connected() -> None:
    status, chid = ca.create_channel("no-such-pv:in-any-ioc")
    assert status == ca.ECA_NORMAL
    assert ca.state(chid) is ca.ChannelState.NEVER_CONN
    assert ca.field_type(chid) is ca.DBF.NOTCONN
    assert ca.element_count(chid) == 0
    assert ca.name(chid) == "no-such-pv:in-any-ioc"
    assert isinstance(ca.host_name(chid), str)
    assert ca.read_access(chid) is False
    assert ca.write_access(chid) is False
    assert ca.get(chid) == (ca.ECA_DISCONN, None)
    assert ca.get(chid, ca.DBR_DOUBLE, 1, lambda args: None) == (ca.ECA_DISCONN, None)
    assert ca.put(chid, 1) is ca.ECA.DISCONN
    assert ca.put(chid, 1, ca.DBR_DOUBLE, 1, lambda args: None) is ca.ECA.DISCONN
    assert ca.clear_channel(chid) == ca.ECA_NORMAL


def test_clearing_before_it_is_connected_leaves_nothing_to_wait_for() -> None:
    status, chid = ca.create_channel("no-such-pv:in-any-ioc")
    assert status == ca.ECA_NORMAL
    assert ca.clear_channel(chid) is ca.ECA.NORMAL
    assert ca.test_io() is ca.ECA.IODONE
    assert ca.pend_io(1) is ca.ECA.NORMAL


def test_a_channel_lives_until_it_is_cleared(prefix: str) -> None:
    # Nobody keeps the chid but the callback, as in many a program for 3.2.0.
    updates: list[dict[str, Any]] = []

    def connected(args: dict[str, Any]) -> None:
        ca.create_subscription(args["chid"], updates.append)
        ca.flush_io()

    assert ca.create_channel(prefix + "fast", connected)[0] == ca.ECA_NORMAL
    ca.flush_io()
    gc.collect()
    wait_for(lambda: len(updates) >= 3)
    assert ca.clear_channel(updates[0]["chid"]) is ca.ECA.NORMAL


def test_state_of_none() -> None:
    assert ca.state(None) is ca.ChannelState.NEVER_SEARCH


def test_same_name_twice(connect: Connect) -> None:
    first, second = connect("count", fresh=True), connect("count", fresh=True)
    write(first, 17)
    assert read(second) == 17
    assert ca.clear_channel(first) == ca.ECA_NORMAL
    assert read(second) == 17
    assert ca.clear_channel(second) == ca.ECA_NORMAL


def test_connection_callback(prefix: str) -> None:
    events: list[dict[str, Any]] = []
    status, chid = ca.create_channel(prefix + "catest", events.append)
    assert status == ca.ECA_NORMAL
    # pend_io does not wait for channels that have a callback.
    assert ca.pend_io(10) == ca.ECA_NORMAL
    wait_for(lambda: events)
    assert set(events[0]) == {"chid", "op"}
    assert events[0]["op"] is ca.CA_OP.CONN_UP
    assert ca.name(events[0]["chid"]) == prefix + "catest"
    assert events[0]["chid"] == chid
    assert len(events) == 1
    ca.clear_channel(chid)
    ca.poll()
    assert len(events) == 1


def test_change_connection_event_of_a_connected_channel(connect: Connect) -> None:
    chid = connect("catest")
    events: list[dict[str, Any]] = []
    assert ca.change_connection_event(chid, events.append) is ca.ECA.NORMAL
    # It hears of changes from now on, and there is none.
    assert isinstance(read(chid), float)
    ca.poll()
    assert events == []
    assert ca.change_connection_event(chid) is ca.ECA.NORMAL
    assert ca.change_connection_event(chid, None) is ca.ECA.NORMAL
    assert ca.change_connection_event(chid=chid, callback=None) is ca.ECA.NORMAL


def test_change_connection_event_before_it_connects(prefix: str) -> None:
    first: list[dict[str, Any]] = []
    second: list[dict[str, Any]] = []
    status, chid = ca.create_channel(prefix + "catest", first.append)
    assert status == ca.ECA_NORMAL
    assert ca.change_connection_event(chid, second.append) == ca.ECA_NORMAL
    ca.flush_io()
    wait_for(lambda: second)
    assert first == []
    ca.clear_channel(chid)


def test_access_rights_event(connect: Connect) -> None:
    events: list[dict[str, Any]] = []
    chid = connect("readonly")
    assert ca.replace_access_rights_event(chid, events.append) is ca.ECA.NORMAL
    wait_for(lambda: events)
    assert set(events[0]) == {"chid", "read_access", "write_access"}
    assert events[0]["read_access"] is True
    assert events[0]["write_access"] is False
    assert events[0]["chid"] == chid
    assert ca.replace_access_rights_event(chid) == ca.ECA_NORMAL
    assert ca.replace_access_rights_event(chid=chid, callback=None) == ca.ECA_NORMAL


def test_access_rights_change_while_connected(connect: Connect) -> None:
    rights, chid = connect("rights"), connect("guarded")
    seen: list[bool] = []
    ca.replace_access_rights_event(chid, lambda args: seen.append(args["write_access"]))
    wait_for(lambda: seen == [True])
    try:
        write(rights, 0)
        wait_for(lambda: seen == [True, False])
        assert ca.write_access(chid) is False
        assert ca.put(chid, 6) is ca.ECA.NOWTACCESS
    finally:
        write(rights, 1)
    wait_for(lambda: seen == [True, False, True])
    assert ca.write_access(chid) is True
    write(chid, 5)


def test_no_access(connect: Connect) -> None:
    readonly, hidden = connect("readonly"), connect("hidden")
    assert (ca.read_access(readonly), ca.write_access(readonly)) == (True, False)
    assert (ca.read_access(hidden), ca.write_access(hidden)) == (False, False)
    assert ca.put(readonly, 9) is ca.ECA.NOWTACCESS
    assert ca.put(readonly, 9, callback=lambda args: None) is ca.ECA.NOWTACCESS
    assert read(readonly) == 3.0
    assert ca.get(hidden) == (ca.ECA_NORDACCESS, None)
    assert ca.get(hidden, callback=lambda args: None) == (ca.ECA_NORDACCESS, None)
    assert ca.pend_io(1) == ca.ECA_NORMAL


def test_priorities(prefix: str) -> None:
    chids = []
    for priority in (ca.CA_PRIORITY_MIN, ca.CA_PRIORITY_ARCHIVE, ca.CA_PRIORITY_DB_LINKS, ca.CA_PRIORITY_MAX):
        status, chid = ca.create_channel(prefix + "calong", None, priority)
        assert status == ca.ECA_NORMAL
        chids.append(chid)
    assert ca.pend_io(10) == ca.ECA_NORMAL
    for chid in chids:
        assert read(chid) == 5
        assert ca.clear_channel(chid) == ca.ECA_NORMAL


@pytest.mark.parametrize("priority", [-1, 100, 1000])
def test_bad_priority(prefix: str, priority: int) -> None:
    assert ca.create_channel(prefix + "calong", None, priority) == (ca.ECA_BADPRIORITY, None)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("", "BADSTR"),
        (b"", "BADSTR"),
        ("a\0b", "BADSTR"),
        (b"a\0b", "BADSTR"),
        ("x" * 501, "STRTOBIG"),
        (b"x" * 1000, "STRTOBIG"),
        ("é" * 251, "STRTOBIG"),  # 502 bytes
    ],
)
def test_bad_name(name: object, status: str) -> None:
    assert ca.create_channel(name) == (ca.ECA[status], None)


@pytest.mark.parametrize("name", [None, 5, ["catest"]])
def test_a_name_that_is_no_text(name: object) -> None:
    with pytest.raises(TypeError):
        ca.create_channel(name)


def test_a_name_of_500_bytes() -> None:
    status, chid = ca.create_channel("x" * 500)
    assert status == ca.ECA_NORMAL
    assert ca.name(chid) == "x" * 500
    assert ca.clear_channel(chid) == ca.ECA_NORMAL


@pytest.mark.parametrize("callback", [3, "callback", ()])
def test_a_callback_that_is_not_callable(connect: Connect, callback: object) -> None:
    chid = connect("catest")
    with pytest.raises(TypeError, match="callable"):
        ca.create_channel("catest", callback)
    with pytest.raises(TypeError, match="callable"):
        ca.get(chid, callback=callback)
    with pytest.raises(TypeError, match="callable"):
        ca.put(chid, 1, callback=callback)
    with pytest.raises(TypeError, match="callable"):
        ca.create_subscription(chid, callback)
    with pytest.raises(TypeError, match="callable"):
        ca.change_connection_event(chid, callback)
    with pytest.raises(TypeError, match="callable"):
        ca.replace_access_rights_event(chid, callback)
    with pytest.raises(TypeError, match="callable"):
        ca.add_exception_event(callback)
    with pytest.raises(TypeError, match="callable"):
        ca.replace_printf_handler(callback)


def test_a_subscription_needs_a_callback(connect: Connect) -> None:
    with pytest.raises(TypeError):
        ca.create_subscription(connect("catest"), None)


@pytest.mark.parametrize("chid", ["catest", 1, object()])
def test_what_is_no_chid(chid: object) -> None:
    with pytest.raises((TypeError, CaChannelException)):
        ca.name(chid)
    with pytest.raises((TypeError, CaChannelException)):
        ca.get(chid)


def test_many_channels_at_once(many: list[str]) -> None:
    chids = []
    for name in many:
        status, chid = ca.create_channel(name)
        assert status == ca.ECA_NORMAL
        chids.append(chid)
    assert ca.pend_io(10) == ca.ECA_NORMAL
    assert {ca.state(chid) for chid in chids} == {ca.ChannelState.CONN}
    values = [ca.get(chid)[1] for chid in chids]
    assert ca.pend_io(10) == ca.ECA_NORMAL
    assert [value.get() for value in values] == [float(name[-1]) for name in many]
    for chid in chids:
        assert ca.clear_channel(chid) == ca.ECA_NORMAL


def test_user_args_make_the_callback_one_of_the_class(prefix: str) -> None:
    events: list[tuple[Any, Any]] = []

    def callback(args: Any, user_args: Any) -> None:
        events.append((args, user_args))

    status, chid = ca.create_channel(prefix + "calong", callback, user_args=(1, "two"))
    assert status == ca.ECA_NORMAL
    ca.flush_io()
    wait_for(lambda: events)
    assert events[0] == ((chid, ca.CA_OP_CONN_UP), (1, "two"))
    events.clear()
    ca.get(chid, ca.DBR_STS_LONG, callback=callback, user_args=())
    ca.flush_io()
    wait_for(lambda: events)
    args, user_args = events[0]
    assert user_args == ()
    assert set(args) == {"chid", "type", "count", "status", "pv_value", "pv_status", "pv_severity"}
    ca.clear_channel(chid)
