"""What the tests of `cachannel.aio` share."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any, Callable

from cachannel import aio

THREAD = "cachannel event loop"
"""The name of the thread that wakes an event loop."""


async def until(condition: Callable[[], object], timeout: float = 10.0, what: str = "") -> None:
    """Return once ``condition()`` is true, while the loop goes on; fail when it is not within ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what or condition}")
        await asyncio.sleep(0.002)


def run(coroutine: Coroutine[Any, Any, Any], timeout: float = 40.0) -> Any:
    """As asyncio.run, with a limit on the time; nothing is left of it afterwards."""

    async def limited() -> Any:
        # In a task of its own in all Pythons.
        result = await asyncio.wait_for(asyncio.ensure_future(coroutine), timeout)
        # What was cancelled last ends by itself.
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()}, 1, "a task is left")
        return result

    return asyncio.run(limited())


async def nudged(name: str, awaitable: Any) -> Any:
    """Await it, and ask the server for something meanwhile.

    Where the next update in an IOC's queue is of a subscription that is cleared just then, the IOC keeps back the one
    before it, until it has something else to send.
    """
    awaited = asyncio.ensure_future(awaitable)
    while not awaited.done():
        await aio.caget(name)
        await asyncio.wait([awaited], timeout=0.02)
    return awaited.result()


def wakers() -> int:
    """How many threads wake event loops now."""
    return sum(thread.name == THREAD for thread in threading.enumerate())


class Stall:
    """How long the loop has stood still at most, while it is entered: ``async with Stall() as stall``."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def _tick(self) -> None:
        before = time.monotonic()
        while True:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            self.seconds = max(self.seconds, now - before - 0.001)
            before = now

    async def __aenter__(self) -> Stall:
        self._task = asyncio.ensure_future(self._tick())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
