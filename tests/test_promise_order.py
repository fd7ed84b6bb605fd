"""Promise: the events of a context come in the order in which libca gave them."""

from __future__ import annotations

import threading
from typing import Any, Callable

from cachannel import ca
from helpers import Connect, read, write
from server_process import wait_for


def test_the_order_of_gets(connect: Connect) -> None:
    chids = [connect(name) for name in ("calong", "plain", "castr", "wfDOUBLE", "cabo")]
    order: list[int] = []

    def remember(number: int) -> Callable[[Any], None]:
        return lambda args: order.append(number)

    for number in range(1000):
        ca.get(chids[number % 5], callback=remember(number))
    ca.flush_io()
    wait_for(lambda: len(order) == 1000)
    assert order == list(range(1000))


def test_the_order_of_updates_and_gets(connect: Connect) -> None:
    chid = connect("count")
    write(chid, 0)
    values: list[int] = []
    status, evid = ca.create_subscription(chid, lambda args: values.append(args["value"]))
    assert status == ca.ECA_NORMAL
    ca.flush_io()
    wait_for(lambda: values)
    for number in range(1, 2000):
        ca.put(chid, number)
        if number % 50 == 0:
            read(chid)
    read(chid)
    wait_for(lambda: values[-1] == 1999)
    assert values == sorted(values)
    assert len(values) == len(set(values))
    ca.clear_subscription(evid)


def test_the_connection_comes_before_what_is_asked_for_then(prefix: str) -> None:
    for _ in range(20):
        order: list[str] = []

        def connected(args: dict[str, Any], order: list[str] = order) -> None:
            order.append("connected")
            ca.get(args["chid"], callback=lambda args: order.append("value"))
            ca.flush_io()

        status, chid = ca.create_channel(prefix + "calong", connected)
        assert status == ca.ECA_NORMAL
        ca.flush_io()
        wait_for(lambda order=order: len(order) == 2)
        assert order == ["connected", "value"]
        ca.clear_channel(chid)


def test_callbacks_of_one_context_do_not_overlap(connect: Connect) -> None:
    chids = [connect(f"fast{number}") for number in range(20)]
    inside = [0]
    most = [0]
    calls = [0]

    def callback(args: Any) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        threading.Event().wait(0.001)
        inside[0] -= 1
        calls[0] += 1

    subscriptions = [ca.create_subscription(chid, callback)[1] for chid in chids]
    ca.flush_io()
    wait_for(lambda: calls[0] > 100)
    for evid in subscriptions:
        ca.clear_subscription(evid)
    assert most == [1]
