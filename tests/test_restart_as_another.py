"""A PV that comes back with another type or size, as after a change of its record: everything sees what it is now.

One restart serves all tests here, since libca takes its time to connect again.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cachannel import CaChannel, ChannelGroup, Recorder, ca
from cachannel.util import camonitor
from conftest import HARD_LIMIT, RESTART_PORT
from ioc import HERE, Ioc
from server_process import wait_for

# A reconnect takes libca some seconds where a beacon goes astray.
LONG = 40.0

Shape = tuple[str, int]

BECOMES: dict[str, tuple[Shape, Any, Shape, Any]] = {
    "real": (("LONG", 1), 1, ("DOUBLE", 1), 2.5),
    "longer": (("DOUBLE", 3), [1.5, 2.5, 3.5], ("LONG", 5), [1, 2, 3, 4, 70000]),
    "shorter": (("DOUBLE", 5), [1.5, 2.5, 3.5, 4.5, 5.5], ("DOUBLE", 2), [6.5, 7.5]),
    "text": (("DOUBLE", 1), 1.5, ("STRING", 1), "out"),
    "number": (("STRING", 1), "out", ("SHORT", 1), 7),
    "single": (("LONG", 3), [1, 2, 3], ("DOUBLE", 1), 8.5),
}
RECORDED = ("real", "text", "single")


class Shapes(Ioc):
    """An IOC whose records have the types that they had before, or those that they have after the restart."""

    def __init__(self) -> None:
        super().__init__(f"h{secrets.token_hex(4)}:", RESTART_PORT, full=False, bare=False, limit=HARD_LIMIT)
        self.after = False

    def _command(self) -> list[str]:
        command = super()._command()
        for name, (before, _, then, _) in BECOMES.items():
            kind, count = then if self.after else before
            command += ["--database", str(HERE / "shape.db"), f"P={self.prefix},N={name},T={kind},C={count}"]
        return command


def same(value: Any, expected: Any) -> bool:
    return type(value) is type(expected) and bool(value == expected)


class Watched:
    """A PV, and all that watches it."""

    kinds = ("class", "module", "numpy", "util")

    def __init__(self, name: str) -> None:
        self.name = name
        self.channel = CaChannel(name)
        self.channel.setTimeout(10)
        self.channel.searchw()
        self.updates: dict[str, list[Any]] = {kind: [] for kind in (*self.kinds, "shown", "as given")}
        self.types: list[int] = []

    def watch(self) -> None:
        self.channel.add_masked_array_event(None, None, None, self.note("class"))
        self.chid = ca.create_channel(self.name)[1]
        assert ca.pend_io(10) == ca.ECA_NORMAL
        self.evid = ca.create_subscription(self.chid, self.note("module"))[1]
        ca.create_subscription(self.chid, self.note("numpy"), use_numpy=True)
        ca.create_subscription(self.chid, self.note("as given"), ca.DBR_STRING, 1)
        self.monitors = [
            camonitor(self.name, callback=self.note("util"), add=True),
            camonitor(self.name, as_string=True, callback=self.note("shown"), add=True),
        ]

    def note(self, kind: str) -> Any:
        def update(args: dict[str, Any], user_args: Any = None) -> None:
            value = args["value"] if "value" in args else args["pv_value"]
            self.updates[kind].append(value.tolist() if isinstance(value, np.ndarray) else value)
            if kind in self.kinds and args["status"] == ca.ECA_NORMAL:
                self.types.append(args["type"] % 7)

        return update

    def all_have(self, value: Any) -> bool:
        return all(self.updates[kind] and same(self.updates[kind][-1], value) for kind in self.kinds)

    def write(self, value: Any) -> None:
        done: list[Any] = []
        self.channel.array_put_callback(value, None, None, lambda args, user_args: done.append(args["status"]))
        self.channel.flush_io()
        wait_for(lambda: done == [ca.ECA_NORMAL])


class All:
    """The PVs, and what watches several."""

    def __init__(self, prefix: str) -> None:
        self.pvs = {name: Watched(prefix + name) for name in BECOMES}
        for name, pv in self.pvs.items():
            pv.write(BECOMES[name][1])
            pv.watch()
        self.group = ChannelGroup([prefix + "real", prefix + "number"], 10)
        self.group.connect()
        self.recorder = Recorder([prefix + name for name in RECORDED])
        self.recorder.start(10, throw=False)
        wait_for(lambda: all(pv.all_have(BECOMES[name][1]) for name, pv in self.pvs.items()), 10, "all have updates")

    def is_connected(self) -> bool:
        return all(pv.channel.state() is ca.ChannelState.CONN for pv in self.pvs.values())


@pytest.fixture(scope="module")
def restarted(repeater: None) -> Iterator[All]:
    """All of it, after the IOC has been restarted with other records, which have got new values."""
    ioc = Shapes()
    with ioc:
        everything = All(ioc.prefix)
        ioc.kill()
        wait_for(lambda: not any(pv.channel.state() is ca.ChannelState.CONN for pv in everything.pvs.values()))
        ca.poll()
        for pv in everything.pvs.values():
            pv.types.clear()
        ioc.after = True
        ioc.start()
        wait_for(everything.is_connected, LONG, "all have connected again")
        wait_for(everything.group.connected.all, LONG)
        for name, pv in everything.pvs.items():
            pv.write(BECOMES[name][3])
        yield everything
        everything.group.close()
        everything.recorder.stop()
        for pv in everything.pvs.values():
            for monitor in pv.monitors:
                monitor.stop()
            ca.clear_channel(pv.chid)
            pv.channel.clear_channel()


@pytest.mark.parametrize("name", BECOMES)
def test_everything_goes_on_as_the_pv_is_now(restarted: All, name: str) -> None:
    _, _, (kind, _), value = BECOMES[name]
    pv = restarted.pvs[name]
    assert same(pv.channel.getw(), value)
    wait_for(lambda: pv.all_have(value), 10, f"{pv.updates} are to end with {value}")
    # Nothing came as what the PV was before.
    assert set(pv.types) == {getattr(ca, f"DBR_{kind}")}
    wait_for(lambda: same(pv.updates["shown"][-1], value), 10, f"{pv.updates['shown']}")
    # Who names a type gets it.
    assert {type(value) for value in pv.updates["as given"]} == {str}
    wait_for(lambda: pv.updates["as given"][-1] != "", 10)


def test_it_can_still_be_ended(restarted: All) -> None:
    pv = restarted.pvs["real"]
    value = BECOMES["real"][3]
    wait_for(lambda: pv.all_have(value))
    assert ca.clear_subscription(pv.evid) is ca.ECA.NORMAL
    count = len(pv.updates["module"])
    pv.write(value + 1)
    pv.write(value)
    wait_for(lambda: pv.updates["class"][-2:] == [value + 1, value])
    ca.poll()
    assert len(pv.updates["module"]) == count


def test_a_group(restarted: All) -> None:
    assert restarted.group.get().tolist() == [2.5, 7.0]
    restarted.group.put([2.25, 8], wait=True)
    assert restarted.group.get().tolist() == [2.25, 8.0]
    restarted.group.put([2.5, 7], wait=True)


def test_a_recorder(restarted: All) -> None:
    """What has become a number is recorded from then on, what is none any more is not."""
    rows = []
    value = BECOMES["real"][3]
    while value not in [row["value"] for row in rows if row["channel"] == 0]:
        batch = restarted.recorder.read(10)
        assert len(batch), rows
        rows += list(batch)
    wait_for(lambda: restarted.recorder.connected.tolist() == [True, False, True])
    text = [row["value"] for row in rows if row["channel"] == RECORDED.index("text")]
    assert text[0] == 1.5
    assert np.isnan(text[1:]).all()
    single = [row["value"] for row in rows if row["channel"] == RECORDED.index("single")]
    assert not set(single) - {0.0, 8.5}
