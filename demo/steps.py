"""The main job of a Channel Access client, step by step. The demo shows each function's code, then runs it."""

from __future__ import annotations

import threading
import time
from datetime import datetime

import numpy as np
from cachannel import CaChannel, CaChannelException, ca
from plot import draw
from servers import ioc

EPICS_EPOCH = 631152000  # the start of 1990 (UTC) in POSIX seconds

pv: dict[str, CaChannel] = {}
seen: list[tuple[float, float, int]] = []  # what the monitor brought: POSIX time, degC, severity
links: list[tuple[float, bool]] = []  # changes of its connection: POSIX time, whether up


def connect() -> None:
    """Connect to several PVs at once"""
    names = "temperature", "setpoint", "position", "shutter", "profile", "gain"
    for name in names:
        pv[name] = CaChannel(f"demo:{name}")
        pv[name].search()
    pv["gain"].pend_io()  # sends all the searches, waits for all

    for channel in pv.values():
        print(channel)


def read_scalars() -> None:
    """Read scalars: all the requests first, then one wait"""
    scalars = [pv["temperature"], pv["setpoint"], pv["position"]]
    for channel in scalars:
        channel.array_get(ca.DBR_CTRL_DOUBLE)
    channel.pend_io()

    for channel in scalars:
        got = channel.getValue()
        low, high = got["pv_lodislim"], got["pv_updislim"]
        print(f"{got['pv_value']:5.2f} {got['pv_units']:4}  ({low} to {high})")


def read_enum() -> None:
    """Read an enum, as number and as string"""
    shutter = pv["shutter"]
    print(shutter.getw(), shutter.getw(ca.DBR_STRING))
    print(shutter.getw(ca.DBR_CTRL_ENUM)["pv_statestrings"])


def read_waveform() -> None:
    """Read a waveform as a numpy array, with its time stamp and alarm"""
    got = pv["profile"].getw(ca.DBR_TIME_DOUBLE, use_numpy=True)
    profile = got["pv_value"]
    stamp = EPICS_EPOCH + got["pv_seconds"] + got["pv_nseconds"] * 1e-9
    print(profile.dtype, profile.shape, "highest at", profile.argmax())
    print(datetime.fromtimestamp(stamp))
    print(got["pv_status"], got["pv_severity"])


def write() -> None:
    """Write and read back; what does not convert is refused, nothing is sent"""
    pv["shutter"].putw("Closed")
    print(pv["shutter"].getw(), pv["shutter"].getw(ca.DBR_STRING))

    pv["gain"].putw(np.arange(8) ** 2)
    print(pv["gain"].getw())
    try:
        pv["gain"].putw([1, "x", 3])
    except CaChannelException as error:
        print(error)
    print(pv["gain"].getw())


def wait_for_completion() -> None:
    """Write, and wait until it is done: this slide takes a second to get there"""

    def done(event, user_args):
        print(event["status"])
        arrived.set()

    arrived = threading.Event()
    pv["setpoint"].array_put_callback(12.5, None, None, done)
    pv["setpoint"].flush_io()
    print(pv["position"].getw(), "mm")
    arrived.wait(5)
    print(pv["position"].getw(), "mm")


def watch() -> None:
    """Watch a PV through a callback, while its IOC crashes and comes back

    The IOC is killed after five seconds and at once started anew. libca goes
    looking for a PV that it lost every ten seconds: the connection comes back
    then, and the updates with it.
    """

    def changed(event, user_args):
        stamp = EPICS_EPOCH + event["pv_seconds"] + event["pv_nseconds"] * 1e-9
        seen.append((stamp, event["pv_value"], event["pv_severity"]))
        if len(seen) % 10 == 1:
            say(f"{event['pv_value']:.2f} degC", event["pv_severity"].name)

    def connection(event, user_args):
        _chid, op = event
        up = op == ca.CA_OP_CONN_UP
        links.append((time.time(), up))
        say("connection", "up" if up else "down")
        if up:
            back.set()

    def say(*words):
        print(f"{time.time() - start:5.1f} s ", *words)

    temperature = pv["temperature"]
    start, back = time.time(), threading.Event()
    temperature.change_connection_event(connection)
    temperature.add_masked_array_event(ca.DBR_TIME_DOUBLE, None, None, changed)
    temperature.flush_io()
    time.sleep(5)
    ioc.kill()
    ioc.start()
    back.wait(20)
    time.sleep(4)
    temperature.clear_event()
    say(len(seen), "updates")


def picture() -> None:
    """Draw what the monitor saw"""
    draw(seen, links, "demo.png")
    print("demo.png")


def close() -> None:
    """Close the channels"""
    while pv:
        pv.popitem()[1].clear_channel()


STEPS = [connect, read_scalars, read_enum, read_waveform, write, wait_for_completion, watch, picture, close]
