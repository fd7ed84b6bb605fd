"""For scripts of tests: everything that a program may call in a callback, called in one."""

from __future__ import annotations

import gc
import logging
import threading
import time
from typing import Any, Callable

from cachannel import CaChannel, CaChannelException, ca
from in_script import P, connect, read, wait_for


def raises(call: Callable[[], object], status: int) -> bool:
    """Whether the call raises with this status."""
    try:
        call()
    except CaChannelException as error:
        return error.status == status
    return False


def at_once(call: Callable[[], object]) -> object:
    """What the call returns, which must not wait."""
    began = time.monotonic()
    result = call()
    assert time.monotonic() - began < 5
    return result


def in_thread(function: Callable[[], object]) -> object:
    """What the function returns in another thread, for which the callback waits."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join(5)
    return results[0]


def through_a_group(chid: Any) -> Any:
    """A value, read by a synchronous group."""
    _, gid = ca.sg_create()
    _, value = ca.sg_get(gid, chid)
    assert ca.sg_block(gid, 5) == ca.ECA_NORMAL
    ca.sg_delete(gid)
    return value.get()


def again(*args: Any) -> None:
    """Another callback."""


class Channels:
    """The channels of one call; `of_callback` is the one whose callback runs."""

    def __init__(self) -> None:
        self.number, self.wave, self.other, self.enum, self.of_callback = all_channels = [
            CaChannel(P + name) for name in ("calong", "wfLONG", "other", "cabo", "calong")
        ]
        for channel in all_channels:
            channel.search()
        self.chid = connect("calong")
        self.missing = CaChannel("no-such-pv:in-any-ioc")
        self.missing.setTimeout(0.05)

    def read_later(self) -> Any:
        """What `array_get` and `pend_io` bring."""
        self.number.array_get()
        self.number.pend_io()
        return self.number.getValue()


Call = Callable[[Channels], bool]
CALLS: dict[str, Call] = {
    "getw": lambda c: c.number.getw() == 5,
    "getw of an array": lambda c: len(c.wave.getw()) == 5,
    "putw": lambda c: c.other.putw(3) is None and c.other.getw() == 3.0,
    "putw of an enum, which waits": lambda c: c.enum.putw("Busy") is None and c.enum.getw() == 1,
    "putw of a bad state": lambda c: raises(lambda: c.enum.putw("Nonsense"), ca.ECA_PUTFAIL),
    "array_get and pend_io": lambda c: c.read_later() == 5,
    "searchw": lambda c: CaChannel(P + "catest").searchw() is None,
    "a search that times out": lambda c: raises(c.missing.searchw, ca.ECA_TIMEOUT),
    "pend_event": lambda c: at_once(lambda: ca.pend_event(60)) == ca.ECA_EVDISALLOW,
    "pend_event for ever": lambda c: at_once(lambda: ca.pend_event(0)) == ca.ECA_EVDISALLOW,
    "pend_event of the class": lambda c: at_once(lambda: c.of_callback.pend_event(60)) == ca.ECA_EVDISALLOW,
    "poll": lambda c: ca.poll() == ca.ECA_EVDISALLOW,
    "poll of the class": lambda c: c.of_callback.poll() == ca.ECA_EVDISALLOW,
    "pend early": lambda c: at_once(lambda: ca.pend(60, False)) == ca.ECA_EVDISALLOW,
    "pend": lambda c: ca.pend(5, True) == ca.ECA_NORMAL,
    "flush_io": lambda c: ca.flush_io() == ca.ECA_NORMAL,
    "test_io": lambda c: ca.test_io() == ca.ECA_IODONE,
    "sg_block": lambda c: through_a_group(c.chid) == 5,
    "ca.get and ca.pend_io": lambda c: read(c.chid) == 5,
    "clear_event of itself": lambda c: c.of_callback.clear_event() is None,
    "clear_channel of itself": lambda c: c.of_callback.clear_channel() is None,
    "clear_channel of another": lambda c: c.number.clear_channel() is None,
    "a search of itself": lambda c: c.of_callback.searchw() is None and c.of_callback.getw() == 5,
    "a second subscription in its place": lambda c: (
        c.of_callback.add_masked_array_event(None, None, None, again) is None
    ),
    "create_subscription": lambda c: ca.create_subscription(c.chid, again)[0] == ca.ECA_NORMAL,
    "change_connection_event": lambda c: c.of_callback.change_connection_event(again) is None,
    "add_exception_event": lambda c: ca.add_exception_event(again) == ca.ECA_NORMAL,
    "current_context": lambda c: ca.current_context() is not None,
    "detach_context": lambda c: ca.detach_context() is None,
    "a thread that calls": lambda c: in_thread(c.number.getw) == 5,
    "garbage collection": lambda c: gc.collect() >= 0,
}
"""What a callback does, each True where it did what it does elsewhere."""


Callback = Callable[[Any, Any], None]


def access_rights(channels: Channels, callback: Callback) -> None:
    channels.of_callback.search()
    channels.of_callback.replace_access_rights_event(callback)


def exception(channels: Channels, callback: Callback) -> None:
    CaChannel.add_exception_event(callback)
    channels.enum.array_put("Nonsense")


KINDS: dict[str, Callable[[Channels, Callback], None]] = {
    "get": lambda c, callback: c.of_callback.array_get_callback(None, None, callback),
    "put": lambda c, callback: c.of_callback.array_put_callback(5, None, None, callback),
    "monitor": lambda c, callback: c.of_callback.add_masked_array_event(None, None, None, callback),
    "connection": lambda c, callback: c.of_callback.search_and_connect(None, callback),
    "access rights": access_rights,
    "exception": exception,
}
"""What has a callback called."""


def try_one(kind: str, call: Call) -> object:
    """What a call returns or raises in a callback of this kind."""
    channels = Channels()
    outcome: list[object] = []

    def callback(args: Any, user_args: Any) -> None:
        if begun:
            return
        begun.append(True)
        try:
            outcome.append(call(channels))
        except BaseException as error:
            outcome.append(repr(error))

    begun: list[bool] = []
    KINDS[kind](channels, callback)
    ca.flush_io()
    try:
        wait_for(lambda: outcome, 5)
    except AssertionError:
        outcome.append("it did not return")
    CaChannel.add_exception_event()
    return outcome[0]


def try_all(kind: str) -> None:
    """Make each call in a callback of this kind, on channels of its own; prints those that went wrong."""
    logging.disable(logging.WARNING)
    with CaChannel(P + "calong") as channel:
        channel.putw(5)
    for what, call in CALLS.items():
        came = try_one(kind, call)
        if came is not True:
            print(what, came)
    print("done")
