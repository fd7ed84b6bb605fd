"""For scripts of tests on Ctrl-C: what a wait needs that is to be interrupted, and the interruption."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import Any, Callable

import numpy  # noqa: F401 (its own import turns an interruption into an ImportError)
from cachannel import CaChannel, CaChannelException, ca
from in_script import IOC_PID, P, connect, read

__all__ = ["big", "channel", "data", "enum", "fill", "gid", "hold_up", "interrupt", "missing", "ok", "stuck"]
__all__ += ["until_full", "watch"]

channel, enum, big = CaChannel(P + "calong"), CaChannel(P + "cabo"), CaChannel(P + "big")
for _each in (channel, enum, big):
    _each.searchw()
missing = CaChannel("no-such-pv:in-any-ioc")
for _each in (channel, enum, big, missing):
    _each.setTimeout(20)
stuck = connect("stuck2")
_, gid = ca.sg_create()
data = [0] * 4_000_000
_watched: list[Any] = []


def watch() -> None:
    """Has updates stream in."""
    for number in range(20):
        fast = connect(f"fast{number}")
        _watched.append((fast, ca.create_subscription(fast, ok)))
    ca.flush_io()


def ok(*args: Any) -> None:
    """A callback."""


def until_full(call: Callable[..., object], *args: Any) -> None:
    """Calls for ever; the call waits once no more goes in."""
    while True:
        call(*args)


def fill() -> None:
    """Writes until no more goes in."""
    big.setTimeout(0.1)
    with contextlib.suppress(CaChannelException):
        until_full(big.putw, data)


def hold_up() -> None:
    """Has a callback run that does not return."""
    entered = threading.Event()

    def hold(args: Any) -> None:
        entered.set()
        time.sleep(20)

    ca.get(stuck, callback=hold)
    ca.flush_io()
    entered.wait(10)


def interrupt(wait: Callable[[], object]) -> None:
    """Waits, and has Ctrl-C pressed in the middle of it; prints how that ended, and that reads work afterwards."""
    pressed: list[float] = []

    def press() -> None:
        time.sleep(0.3)
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    try:
        wait()
    except KeyboardInterrupt:
        took = time.monotonic() - pressed[0]
        # 0.2 s is promised; the rest is for a machine that is busy.
        print("interrupted" if took < 0.5 else f"only after {took} s")
    else:
        print("not interrupted")
    finally:
        os.kill(IOC_PID, signal.SIGCONT)
    print(read(connect("catest.PREC")))
