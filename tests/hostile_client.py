"""A client of the hostile server, in a process of its own: asks for thousands of random answers and looks at them.

Every request has to end, with a value or a status, at the latest when the server ends the circuit.  A value has to be
of the type that was asked for, and to have no more elements.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any, Callable

from cachannel import ca
from hostile_server import PREFIX
from server_process import wait_for

CHANNELS = 100
COUNTS = (1, 1, 2, 17, 100, 2000)
# Plain, STS, TIME, GR, CTRL, and the texts behind them; what is only written is not read.
READABLE = (*range(35), 37, 38)


class Channel:
    """One PV, on a circuit of its own, and what is asked of it."""

    def __init__(self, seed: str, number: int) -> None:
        self.chance = random.Random(f"{seed} {number}")
        self.count = self.chance.choice(COUNTS)
        native = self.chance.randrange(7)
        lies = ",".join(f"{stage}=random" for stage in ("get", "put", "event", "next"))
        self.name = f"{PREFIX}type={native},n={self.count},{lies},{seed}.{number}"
        self.outcomes: Counter[str] = Counter()
        self.asked = self.ended = 0
        status, self.chid = ca.create_channel(self.name, lambda event: None, priority=number % CHANNELS)
        assert status == ca.ECA_NORMAL

    @property
    def is_connected(self) -> bool:
        return bool(ca.state(self.chid) == ca.cs_conn)

    def look(self, event: dict[str, Any], dbr_type: int, count: int) -> None:
        """Count an answer; complain about one that cannot be."""
        if event["status"] != ca.ECA_NORMAL:
            assert event.get("value") is None, (self.name, event)
            self.outcomes[getattr(event["status"], "name", "unknown")] += 1
            return
        assert event["type"] == dbr_type, (self.name, event)
        assert 0 <= event["count"] <= (count or self.count), (self.name, event)
        value = event["value"]
        if isinstance(value, dict):
            assert len(value.get("strs", ())) <= 16
            value = value["value"]
        values = value if isinstance(value, list) else [value]
        assert len(values) == event["count"], (self.name, event)
        assert all(len(text) <= 40 for text in values if isinstance(text, (str, bytes)))
        self.outcomes["value"] += 1

    def ask(self) -> None:
        """Ask for everything at once."""
        for _ in range(7):
            dbr_type, count = self.chance.choice(READABLE), self.chance.choice((0, 1, self.count))

            def got(event: dict[str, Any], dbr_type: int = dbr_type, count: int = count) -> None:
                self.ended += 1
                self.look(event, dbr_type, count)

            self.asked += ca.get(self.chid, dbr_type, count, got)[0] == ca.ECA_NORMAL
        for _ in range(2):

            def put(event: dict[str, Any]) -> None:
                self.ended += 1
                self.outcomes[f"put {getattr(event['status'], 'name', 'unknown')}"] += 1

            self.asked += ca.put(self.chid, 1, callback=put) == ca.ECA_NORMAL
        for _ in range(2):
            dbr_type, count = self.chance.choice(READABLE), self.chance.choice((0, 1, self.count))

            def updated(event: dict[str, Any], dbr_type: int = dbr_type, count: int = count) -> None:
                self.look(event, dbr_type, count)

            ca.create_subscription(self.chid, updated, dbr_type, count)


def all_of(channels: list[Channel], condition: Callable[[Channel], bool]) -> Callable[[], bool]:
    """A condition for `wait_for`: it holds for all of them."""
    return lambda: all(map(condition, channels))


def main() -> dict[str, int]:
    """Do HOSTILE_ROUNDS rounds, of which each has CHANNELS channels; what came of everything, counted."""
    errors: list[Any] = []
    ca.add_exception_event(errors.append)
    outcomes: Counter[str] = Counter()
    for round_number in range(int(os.environ["HOSTILE_ROUNDS"])):
        seed = f"{os.environ['HOSTILE_SEED']}.{round_number}"
        print(seed, flush=True)
        channels = [Channel(seed, number) for number in range(CHANNELS)]
        ca.flush_io()
        wait_for(all_of(channels, lambda channel: channel.is_connected), 20, "all channels connect")
        for channel in channels:
            channel.ask()
        ca.flush_io()
        for channel in channels:
            # The server ends the circuit when this has come; many of its answers do, too.
            if channel.is_connected:
                ca.put(channel.chid, 1)
        ca.flush_io()
        wait_for(all_of(channels, lambda channel: channel.ended == channel.asked), 20, "every request ends")
        for channel in channels:
            outcomes += channel.outcomes
            ca.clear_channel(channel.chid)
    # Puts without a callback that the server has refused, errors without a request.
    outcomes["exceptions"] = len(errors)
    return dict(outcomes)


if __name__ == "__main__":
    print(main())
