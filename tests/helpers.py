"""What the tests share: reading, writing, and looking at how a script ended."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from cachannel import CaChannel, ca
from server_process import wait_for


class Result(NamedTuple):
    """How a script ended."""

    returncode: int
    stdout: str
    stderr: str
    seconds: float


RunScript = Callable[..., Result]
Connect = Callable[..., Any]
MakeChannel = Callable[..., CaChannel]


def read(chid: Any, *args: Any, **kwargs: Any) -> Any:
    """The value of a PV now, with ``ca.get`` and ``ca.pend_io``."""
    status, value = ca.get(chid, *args, **kwargs)
    assert status == ca.ECA_NORMAL, status
    assert ca.pend_io(10) == ca.ECA_NORMAL
    return value.get()


def write(chid: Any, *args: Any, **kwargs: Any) -> None:
    """Write and wait until the server has processed it."""
    done: list[dict[str, Any]] = []
    assert ca.put(chid, *args, callback=done.append, **kwargs) == ca.ECA_NORMAL
    ca.flush_io()
    wait_for(lambda: done, 10, "the put completes")
    assert done[0]["status"] == ca.ECA_NORMAL


def assert_quiet(result: Result, stdout: str) -> None:
    """The script ended with status 0, printed exactly this, and printed nothing on standard error."""
    ended = (result.returncode, result.stdout, result.stderr)
    assert ended == (0, stdout, ""), f"exit status {result.returncode}, printed:\n{result.stdout}\n{result.stderr}"
