"""The callbacks of the class: what they get, in which form, and how many there may be."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from cachannel import CaChannel, ca
from helpers import MakeChannel
from server_process import wait_for

Calls = list[tuple[Any, tuple[Any, ...]]]


def collect(calls: Calls) -> Any:
    return lambda args, user_args: calls.append((args, user_args))


def test_connection(prefix: str) -> None:
    calls: Calls = []
    channel = CaChannel()
    assert channel.search_and_connect(prefix + "catest", collect(calls), "a", 2, channel) is None
    channel.flush_io()
    wait_for(lambda: calls)
    args, user_args = calls[0]
    assert type(args) is tuple
    chid, op = args
    assert ca.name(chid) == prefix + "catest"
    assert op is ca.CA_OP.CONN_UP
    assert op == ca.CA_OP_CONN_UP
    assert user_args == ("a", 2, channel)
    channel.clear_channel()
    channel.poll()
    assert len(calls) == 1


def test_connection_with_the_constructors_name(prefix: str) -> None:
    calls: Calls = []
    channel = CaChannel(prefix + "catest")
    channel.search_and_connect(None, collect(calls))
    channel.pend_event(0.01)
    wait_for(lambda: calls)
    assert calls[0][1] == ()
    channel.clear_channel()


def test_change_connection_event(prefix: str) -> None:
    first: Calls = []
    second: Calls = []
    channel = CaChannel(prefix + "catest")
    channel.search_and_connect(None, collect(first), 1)
    assert channel.change_connection_event(collect(second), 2, 3) is None
    channel.flush_io()
    wait_for(lambda: second)
    assert first == []
    assert second[0][0][1] == ca.CA_OP_CONN_UP
    assert second[0][1] == (2, 3)
    channel.change_connection_event(None)
    channel.clear_channel()


def test_change_connection_event_after_search(prefix: str) -> None:
    calls: Calls = []
    channel = CaChannel(prefix + "catest")
    channel.search()
    channel.change_connection_event(collect(calls))
    # Nothing is left that pend_io would wait for.
    channel.pend_io(5)
    wait_for(lambda: calls)
    channel.clear_channel()


def test_access_rights(make_channel: MakeChannel) -> None:
    calls: list[Any] = []
    channel = make_channel("readonly")
    channel.replace_access_rights_event(lambda args, user_args: calls.append((args, user_args)), ["as", "given"])
    wait_for(lambda: calls)
    args, user_args = calls[0]
    assert set(args) == {"chid", "read_access", "write_access"}
    assert (args["read_access"], args["write_access"]) == (True, False)
    assert user_args == ["as", "given"]
    assert channel.replace_access_rights_event() is None


def test_access_rights_user_args_default(make_channel: MakeChannel) -> None:
    calls: list[Any] = []
    channel = make_channel("catest")
    channel.replace_access_rights_event(lambda args, user_args: calls.append(user_args))
    wait_for(lambda: calls)
    assert calls == [None]


def test_get(make_channel: MakeChannel) -> None:
    calls: Calls = []
    channel = make_channel("catest")
    channel.putw(2.5)
    assert channel.array_get_callback(ca.DBR_STS_DOUBLE, None, collect(calls), 1, [2]) is None
    channel.flush_io()
    wait_for(lambda: calls)
    args, user_args = calls[0]
    assert user_args == (1, [2])
    assert args["pv_value"] == 2.5
    assert args["status"] is ca.ECA.NORMAL
    assert args["type"] is ca.DBR.STS_DOUBLE
    assert args["count"] == 1
    assert args["pv_status"] is ca.AlarmCondition.No
    assert args["pv_severity"] is ca.AlarmSeverity.No


def test_a_get_that_the_server_refuses(make_channel: MakeChannel) -> None:
    calls: Calls = []
    channel = make_channel("castr")
    channel.putw("hello")
    channel.array_get_callback(ca.DBR_DOUBLE, None, collect(calls))
    channel.flush_io()
    wait_for(lambda: calls)
    assert calls[0][0]["status"] is ca.ECA.GETFAIL
    assert calls[0][0]["pv_value"] is None


def test_put(make_channel: MakeChannel) -> None:
    calls: Calls = []
    channel = make_channel("cawave")
    assert channel.array_put_callback([1, 2, 3], None, None, collect(calls), "u") is None
    channel.flush_io()
    wait_for(lambda: calls)
    args, user_args = calls[0]
    assert set(args) == {"chid", "type", "count", "status"}
    assert args["type"] is ca.DBR.DOUBLE
    assert args["count"] == 3
    assert args["status"] is ca.ECA.NORMAL
    assert user_args == ("u",)


def test_a_put_that_the_server_refuses(make_channel: MakeChannel) -> None:
    calls: Calls = []
    channel = make_channel("cabo")
    channel.array_put_callback("Nonsense", ca.DBR_STRING, None, collect(calls))
    channel.flush_io()
    wait_for(lambda: calls)
    assert calls[0][0]["status"] is ca.ECA.PUTFAIL


def test_monitor(make_channel: MakeChannel) -> None:
    calls: Calls = []
    channel = make_channel("catest")
    channel.putw(0)
    assert channel.add_masked_array_event(ca.DBR_STS_DOUBLE, None, None, collect(calls), channel) is None
    channel.flush_io()
    wait_for(lambda: len(calls) == 1)
    channel.putw(15)
    wait_for(lambda: len(calls) == 2)
    args, user_args = calls[1]
    assert user_args == (channel,)
    assert args["pv_value"] == 15.0
    assert args["pv_severity"] is ca.AlarmSeverity.Minor
    assert args["pv_status"] is ca.AlarmCondition.High
    assert channel.clear_event() is None
    channel.putw(1)
    channel.getw()
    channel.poll()
    assert len(calls) == 2
    channel.clear_event()


def test_a_second_monitor_replaces_the_first(make_channel: MakeChannel) -> None:
    first: Calls = []
    second: Calls = []
    channel = make_channel("catest")
    channel.putw(0)
    channel.add_masked_array_event(None, None, None, collect(first))
    channel.flush_io()
    wait_for(lambda: first)
    channel.add_masked_array_event(ca.DBR_STRING, None, None, collect(second))
    channel.flush_io()
    wait_for(lambda: second)
    channel.putw(3)
    wait_for(lambda: len(second) == 2)
    assert len(first) == 1
    assert second[1][0]["pv_value"] == "3.0000"


@pytest.mark.parametrize("use_numpy", [False, True])
def test_monitor_of_a_waveform(make_channel: MakeChannel, use_numpy: bool) -> None:
    calls: Calls = []
    channel = make_channel("cawave")
    channel.putw([1, 2, 3, 4, 5])
    channel.add_masked_array_event(ca.DBR_TIME_DOUBLE, 3, ca.DBE_VALUE, collect(calls), use_numpy=use_numpy)
    channel.flush_io()
    wait_for(lambda: calls)
    value = calls[0][0]["pv_value"]
    assert isinstance(value, np.ndarray if use_numpy else list)
    assert list(value) == [1.0, 2.0, 3.0]
    assert calls[0][0]["count"] == 3


def test_count_0_follows_the_length(make_channel: MakeChannel) -> None:
    lengths: list[int] = []
    channel = make_channel("cawave")
    channel.putw([1, 2, 3])
    channel.add_masked_array_event(None, 0, None, lambda args, user_args: lengths.append(args["count"]))
    channel.flush_io()
    wait_for(lambda: lengths == [3])
    channel.putw([1, 2, 3, 4, 5])
    wait_for(lambda: lengths == [3, 5])
    channel.putw([1, 2])
    wait_for(lambda: lengths == [3, 5, 2])


def test_any_number_in_flight_each_with_its_own_arguments(make_channel: MakeChannel) -> None:
    channel = make_channel("calong")
    channel.putw(5)
    gets: list[int] = []
    puts: list[int] = []
    for number in range(200):
        channel.array_get_callback(None, None, lambda args, user_args: gets.append(user_args[0]), number)
        channel.array_put_callback(5, None, None, lambda args, user_args: puts.append(user_args[0]), number)
    channel.flush_io()
    wait_for(lambda: len(gets) == len(puts) == 200)
    assert gets == list(range(200))
    assert sorted(puts) == list(range(200))


def test_different_callbacks_in_flight_on_one_channel(make_channel: MakeChannel) -> None:
    channel = make_channel("catest")
    channel.putw(1.5)
    first: Calls = []
    second: Calls = []
    channel.array_get_callback(ca.DBR_STRING, None, collect(first), "first")
    channel.array_get_callback(ca.DBR_LONG, None, collect(second), "second")
    channel.flush_io()
    wait_for(lambda: first and second)
    assert (first[0][0]["pv_value"], first[0][1]) == ("1.5000", ("first",))
    assert (second[0][0]["pv_value"], second[0][1]) == (1, ("second",))


def test_they_all_run_in_one_thread_that_is_not_this_one(make_channel: MakeChannel) -> None:
    channel = make_channel("catest")
    threads: list[int] = []

    def callback(args: Any, user_args: Any) -> None:
        threads.append(threading.get_ident())

    channel.array_get_callback(None, None, callback)
    channel.array_put_callback(1, None, None, callback)
    channel.add_masked_array_event(None, None, None, callback)
    channel.flush_io()
    wait_for(lambda: len(threads) >= 3)
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


def test_a_dict_of_a_callback_is_the_callbacks_own(make_channel: MakeChannel) -> None:
    channel = make_channel("cawave")
    calls: Calls = []
    for _ in range(2):
        channel.array_get_callback(ca.DBR_CTRL_DOUBLE, None, collect(calls), use_numpy=True)
    channel.flush_io()
    wait_for(lambda: len(calls) == 2)
    first, second = calls[0][0], calls[1][0]
    first["extra"] = 1
    assert "extra" not in second
    assert not np.shares_memory(first["pv_value"], second["pv_value"])


def test_bound_methods_and_partials(make_channel: MakeChannel) -> None:
    import functools

    class Keeper:
        def __init__(self) -> None:
            self.values: list[float] = []

        def callback(self, args: Any, user_args: Any) -> None:
            self.values.append(args["pv_value"])

    keeper = Keeper()
    channel = make_channel("catest")
    channel.putw(1)
    channel.array_get_callback(None, None, keeper.callback)
    channel.array_get_callback(None, None, functools.partial(Keeper.callback, keeper))
    channel.flush_io()
    wait_for(lambda: keeper.values == [1.0, 1.0])


def test_a_subscription_that_fails_leaves_the_one_before(make_channel: MakeChannel) -> None:
    channel = make_channel("fast")
    calls: Calls = []
    channel.add_masked_array_event(None, None, None, collect(calls))
    for args in ((None, -1, None), (999, None, None), (None, None, 0)):
        with pytest.raises(Exception, match=r"count|type|mask"):
            channel.add_masked_array_event(*args, collect(calls))
    channel.flush_io()
    wait_for(lambda: len(calls) > 2, what="updates of the first")
    channel.clear_event()
    channel.poll()
    before = len(calls)
    channel.pend_event(0.3)
    assert len(calls) == before
