"""Promise: Ctrl-C ends any wait within 0.2 s."""

from __future__ import annotations

import sys

import pytest
from helpers import RunScript, assert_quiet

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")


WAITS = {
    "pend_event": "ca.pend_event(20)",
    "pend_event for ever": "ca.pend_event(0)",
    "pend": "ca.pend(20, False)",
    "pend_io": "missing.search(); ca.pend_io(20)",
    "pend_io for ever": "missing.search(); ca.pend_io(0)",
    "searchw": "missing.searchw()",
    "CaChannel.pend_event": "channel.pend_event(20)",
    "CaChannel.pend_io": "missing.search(); missing.pend_io(20)",
    "sg_block": "ca.sg_put(gid, stuck, 1); ca.sg_block(gid, 20)",
    "getw while the server is stopped": "stop_server(stuck); channel.getw()",
    "putw of an enum while the server is stopped": "stop_server(stuck); enum.putw('Busy')",
    "putw of more than a stopped server takes": "stop_server(stuck); until_full(big.putw, data)",
    "getw behind more than a stopped server takes": "stop_server(stuck); big.putw(data); channel.getw()",
    "array_put until a stopped server takes no more": "stop_server(stuck); until_full(channel.array_put, 1)",
    "array_put_callback until it is full": "stop_server(stuck); until_full(big.array_put_callback, data, 6, None, ok)",
    "array_get until a stopped server takes no more": "stop_server(stuck); until_full(channel.array_get)",
    "destroy_context while a server takes nothing": "stop_server(stuck); big.putw(data); fill(); ca.destroy_context()",
    "destroy_context in the middle of a callback": "hold_up(); ca.destroy_context()",
    "sleep": "time.sleep(20)",
    "pend_event while updates stream in": "watch(); ca.pend_event(20)",
    "in a non-preemptive context": "ca.destroy_context(); ca.create_context(False); ca.pend_event(20)",
}


@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c(run_script: RunScript, wait: str) -> None:
    setup, _, waiting = WAITS[wait].rpartition("; ")
    result = run_script(
        f"""
        from interrupted import *
        {setup}
        interrupt(lambda: {waiting})
        """,
        timeout=40,
    )
    assert_quiet(result, "interrupted\n4\n")


def test_a_python_signal_handler_runs_during_a_wait(run_script: RunScript) -> None:
    result = run_script(
        """
        connect("calong")
        signal.signal(signal.SIGUSR1, lambda *args: print("handled"))
        threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
        print(ca.pend_event(0.6))
        """
    )
    assert_quiet(result, "handled\nECA.TIMEOUT\n")


def test_ctrl_c_that_is_not_caught(run_script: RunScript) -> None:
    result = run_script(
        """
        watched = [connect(f"fast{number}") for number in range(20)]
        for chid in watched:
            ca.create_subscription(chid, lambda args: None)
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        ca.pend_event(20)
        """
    )
    assert result.returncode in (1, 130, -2)
    assert result.stderr.rstrip().endswith("KeyboardInterrupt")
    assert result.seconds < 10
