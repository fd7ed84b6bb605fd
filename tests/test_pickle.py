"""What callbacks are given can be pickled and copied: the chid becomes the name of its PV."""

from __future__ import annotations

import copy
import pickle
from typing import Any, Callable

import numpy as np
import pytest
from cachannel import CaChannel, ca
from helpers import MakeChannel
from server_process import wait_for

WAYS: dict[str, Callable[[Any], Any]] = {
    **{f"pickle {n}": lambda one, n=n: pickle.loads(pickle.dumps(one, n)) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
    "deepcopy": copy.deepcopy,
}

REQUESTS: dict[str, Callable[[CaChannel, Any], object]] = {
    "a read": lambda channel, called: channel.array_get_callback(None, None, called),
    "a read of everything": lambda channel, called: channel.array_get_callback(
        ca.dbf_type_to_DBR_CTRL(channel.field_type()), None, called
    ),
    "a read with its time": lambda channel, called: channel.array_get_callback(
        ca.dbf_type_to_DBR_TIME(channel.field_type()), None, called, use_numpy=True
    ),
    "a write": lambda channel, called: channel.array_put_callback(channel.getw(), None, None, called),
    "an update": lambda channel, called: channel.add_masked_array_event(None, None, None, called),
    "access rights": lambda channel, called: channel.replace_access_rights_event(called),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("name", ["calong", "cabo", "cawave", "castr"])
def test_an_events_dict(make_channel: MakeChannel, name: str, request_: str, way: str) -> None:
    channel = make_channel(name)
    seen: list[dict[str, Any]] = []
    REQUESTS[request_](channel, lambda args, user_args: seen.append(args))
    channel.flush_io()
    wait_for(lambda: seen)
    event = seen[0]
    made = WAYS[way](event)
    assert type(made["chid"]) is str
    assert made["chid"] == channel.name()
    assert list(made) == list(event)
    for key in event.keys() - {"chid"}:
        assert type(made[key]) is type(event[key]), key
        np.testing.assert_array_equal(made[key], event[key])


def test_a_connection_callbacks_tuple(prefix: str) -> None:
    channel = CaChannel(prefix + "catest")
    seen: list[Any] = []
    channel.search_and_connect(None, lambda args, user_args: seen.append(args))
    channel.flush_io()
    wait_for(lambda: seen)
    for way in WAYS.values():
        assert way(seen[0]) == (prefix + "catest", ca.CA_OP.CONN_UP)
    channel.clear_channel()
    # Its name is known still.
    assert pickle.loads(pickle.dumps(seen[0]))[0] == prefix + "catest"


def test_a_shallow_copy_has_the_chid(make_channel: MakeChannel) -> None:
    chid = make_channel("catest")._chid
    assert copy.copy(chid) is chid
    assert copy.copy({"chid": chid})["chid"] is chid
