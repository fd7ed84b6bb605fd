"""The server goes away and comes back: what is under way ends, and everything resumes by itself."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest
from cachannel import CaChannel, CaChannelException, ca
from helpers import RunScript, assert_quiet, read
from ioc import Ioc
from server_process import wait_for

# A reconnect takes libca some seconds where a beacon goes astray.
LONG = 40.0


def open_chid(name: str, callback: Any = None) -> Any:
    status, chid = ca.create_channel(name, callback)
    assert status == ca.ECA_NORMAL
    if callback is None:
        assert ca.pend_io(10) == ca.ECA_NORMAL
    ca.flush_io()
    return chid


def test_everything_resumes_after_a_restart(own_ioc: Ioc) -> None:
    name = own_ioc.prefix
    ups_and_downs: list[ca.CA_OP] = []
    rights: list[tuple[bool, bool]] = []
    updates: list[dict[str, Any]] = []
    class_updates: list[Any] = []

    connection = open_chid(name + "catest", lambda args: ups_and_downs.append(args["op"]))
    ca.replace_access_rights_event(connection, lambda args: rights.append((args["read_access"], args["write_access"])))
    wait_for(lambda: ups_and_downs)
    calc = open_chid(name + "cacalc")
    status, evid = ca.create_subscription(calc, updates.append, ca.DBR_TIME_DOUBLE)
    assert status == ca.ECA_NORMAL
    ca.flush_io()
    channel = CaChannel(name + "calong")
    channel.searchw()
    channel.add_masked_array_event(
        None, None, None, lambda args, user_args: class_updates.append(args.get("pv_value")), channel
    )
    channel.flush_io()
    wait_for(lambda: len(updates) >= 2 and class_updates == [5])

    names = ["catest", "cabo", "castr", "cawave", "cawavec", "cawaves"]
    others = [CaChannel(name + record) for record in names]
    seen = dict.fromkeys(names, 0)

    def update(args: dict[str, Any], user_args: tuple[Any, ...]) -> None:
        if args["status"] == ca.ECA_NORMAL:
            seen[user_args[0]] += 1

    for other in others:
        other.search()
    others[0].pend_io(10)
    for record, other in zip(names, others):
        other.add_masked_array_event(ca.dbf_type_to_DBR_TIME(other.field_type()), None, None, update, record)
    others[0].flush_io()
    wait_for(lambda: set(seen.values()) == {1})

    own_ioc.kill()
    wait_for(lambda: ups_and_downs == [ca.CA_OP.CONN_UP, ca.CA_OP.CONN_DOWN])
    wait_for(lambda: ca.state(calc) is ca.ChannelState.PREV_CONN)
    assert channel.state() is ca.ChannelState.PREV_CONN
    assert ca.read_access(calc) is False
    # Reads and writes raise at once, they do not wait.
    for call in (channel.getw, lambda: channel.putw(1), channel.array_get, lambda: channel.array_put(1)):
        with pytest.raises(CaChannelException) as caught:
            call()
        assert caught.value.status is ca.ECA.DISCONN
    assert ca.get(calc) == (ca.ECA_DISCONN, None)
    assert ca.put(calc, 1) is ca.ECA.DISCONN

    ca.poll()
    before, class_before = len(updates), len(class_updates)
    own_ioc.start()
    wait_for(lambda: ups_and_downs[-1] is ca.CA_OP.CONN_UP, LONG, "the channel connects again")
    assert ups_and_downs == [ca.CA_OP.CONN_UP, ca.CA_OP.CONN_DOWN, ca.CA_OP.CONN_UP]
    wait_for(lambda: len(updates) >= before + 3, LONG, "the monitor resumes")
    wait_for(lambda: len(class_updates) > class_before and class_updates[-1] == 5, LONG)
    fresh = [args["value"]["value"] for args in updates[before:] if args["status"] == ca.ECA_NORMAL]
    assert fresh == sorted(fresh)
    assert ca.state(calc) is ca.ChannelState.CONN
    assert rights[-1] == (True, True)
    wait_for(lambda: set(seen.values()) == {2}, LONG, "all monitors resume")
    for other in others:
        other.clear_channel()
    assert channel.getw() == 5
    channel.putw(6)
    wait_for(lambda: class_updates[-1] == 6)
    # And can still be cleared.
    assert ca.clear_subscription(evid) is ca.ECA.NORMAL
    ca.poll()
    count = len(updates)
    read(calc)
    ca.poll()
    assert len(updates) == count
    channel.clear_channel()
    for chid in (connection, calc):
        assert ca.clear_channel(chid) is ca.ECA.NORMAL


def test_what_is_under_way_ends_with_a_disconnect(own_ioc: Ioc) -> None:
    """A stopped process does not answer; then it is killed."""

    chid = open_chid(own_ioc.prefix + "calong")
    wave = open_chid(own_ioc.prefix + "cawave")
    own_ioc.pause()
    gets: list[dict[str, Any]] = []
    puts: list[dict[str, Any]] = []
    assert ca.get(chid, callback=gets.append)[0] == ca.ECA_NORMAL
    assert ca.get(wave, ca.DBR_TIME_DOUBLE, callback=gets.append)[0] == ca.ECA_NORMAL
    assert ca.put(chid, 7, callback=puts.append) == ca.ECA_NORMAL
    assert ca.put(wave, [1, 2, 3], callback=puts.append) == ca.ECA_NORMAL
    ca.flush_io()
    _, value = ca.get(chid)
    status, gid = ca.sg_create()
    assert status == ca.ECA_NORMAL
    _, group_value = ca.sg_get(gid, chid)
    assert ca.pend_io(0.1) is ca.ECA.TIMEOUT
    _, value = ca.get(chid)
    own_ioc.kill()
    assert ca.pend_io(10) is ca.ECA.DISCONN
    assert ca.sg_block(gid, 10) is ca.ECA.DISCONN
    wait_for(lambda: len(gets) == 2 and len(puts) == 2)
    assert {args["status"] for args in gets + puts} == {ca.ECA_DISCONN}
    assert [args["value"] for args in gets] == [None, None]
    for late in (value, group_value):
        with pytest.raises(CaChannelException) as caught:
            late.get()
        assert caught.value.status is ca.ECA.DISCONN
    ca.sg_delete(gid)
    # Nothing of it is repeated when the server is back.
    own_ioc.start()
    wait_for(lambda: ca.state(chid) is ca.ChannelState.CONN, LONG)
    assert read(chid) == 5
    assert (len(gets), len(puts)) == (2, 2)
    for each in (chid, wave):
        ca.clear_channel(each)


def test_a_server_that_hangs_for_a_while(own_ioc: Ioc) -> None:
    """An answer that comes too late changes nothing, and a later read gives the right value."""
    chid = open_chid(own_ioc.prefix + "calong")
    channel = CaChannel(own_ioc.prefix + "castr")
    channel.searchw()
    assert channel.getw() == "hello"
    channel.setTimeout(0.2)
    own_ioc.pause()
    late = [ca.get(chid)[1] for _ in range(10)]
    assert ca.pend_io(0.2) is ca.ECA.TIMEOUT
    with pytest.raises(CaChannelException) as caught:
        channel.getw()
    assert caught.value.status is ca.ECA.TIMEOUT
    with pytest.raises(CaChannelException):
        channel.getValue()  # and not what came before
    own_ioc.resume()
    channel.setTimeout(10)
    for number in range(20):
        channel.putw(str(number))
        assert channel.getw() == str(number)
        assert read(chid) == 5
    for value in late:
        with contextlib.suppress(CaChannelException):
            assert value.get() == 5
    ca.clear_channel(chid)
    channel.clear_channel()


def test_getw_ends_with_the_connection(own_ioc: Ioc) -> None:
    channel = CaChannel(own_ioc.prefix + "calong")
    channel.searchw()
    channel.setTimeout(30)
    own_ioc.pause()
    killer = threading.Timer(0.3, own_ioc.kill)
    killer.start()
    with pytest.raises(CaChannelException) as caught:
        channel.getw()
    assert caught.value.status is ca.ECA.DISCONN
    assert caught.value.pvname == own_ioc.prefix + "calong"
    killer.join()
    channel.clear_channel()


def test_a_channel_that_is_searched_for_before_the_server_is_there(own_ioc: Ioc) -> None:
    own_ioc.stop()
    connected: list[Any] = []
    channel = CaChannel(own_ioc.prefix + "calong")
    channel.search_and_connect(None, lambda args, user_args: connected.append(args[1]))
    channel.flush_io()
    waiting = CaChannel(own_ioc.prefix + "castr")
    waiting.setTimeout(0.1)
    with pytest.raises(CaChannelException):
        waiting.searchw()
    own_ioc.start()
    wait_for(lambda: connected == [ca.CA_OP_CONN_UP], LONG)
    assert channel.getw() == 5
    # The one that was searched for in vain has connected by itself too.
    wait_for(lambda: waiting.state() is ca.ChannelState.CONN, LONG)
    assert waiting.getw() == "hello"
    channel.clear_channel()
    waiting.clear_channel()


def test_clearing_while_disconnected(own_ioc: Ioc) -> None:
    chid = open_chid(own_ioc.prefix + "calong")
    updates: list[Any] = []
    _, evid = ca.create_subscription(chid, updates.append)
    _, other = ca.create_subscription(chid, updates.append)
    ca.flush_io()
    wait_for(lambda: len(updates) == 2)
    own_ioc.kill()
    wait_for(lambda: ca.state(chid) is ca.ChannelState.PREV_CONN)
    assert ca.clear_subscription(evid) is ca.ECA.NORMAL
    assert ca.clear_channel(chid) is ca.ECA.NORMAL
    assert ca.clear_subscription(other) in (ca.ECA_BADMONID, ca.ECA_BADCHID)


def test_exit_after_the_server_died(own_ioc: Ioc, run_script: RunScript) -> None:
    killer = threading.Timer(1.5, own_ioc.kill)
    killer.start()
    result = run_script(
        f"""
        logging.disable(logging.WARNING)  # libca says that the circuit broke
        downs = []
        channel = CaChannel("{own_ioc.prefix}cacalc")
        channel.search_and_connect(None, lambda args, user_args: downs.append(args[1]))
        channel.flush_io()
        wait_for(lambda: downs)
        channel.add_masked_array_event(None, None, None, lambda args, user_args: None)
        channel.flush_io()
        wait_for(lambda: len(downs) == 2, 20)
        print(*downs)
        """
    )
    killer.join()
    assert_quiet(result, "CA_OP.CONN_UP CA_OP.CONN_DOWN\n")
    assert result.seconds < 20
