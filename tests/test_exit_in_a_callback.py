"""``sys.exit`` in a callback ends the program with its status, whatever the main thread is doing."""

from __future__ import annotations

import sys
import textwrap

import pytest
from helpers import RunScript, assert_quiet

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the main thread is told by a signal")

WATCH = """
    def leave(args):
        seen.append(1)
        if len(seen) > 5:
            left.append(time.monotonic())
            {leave}
    seen, left = [], []
    watched = [connect(f"fast{{number}}") for number in range(20)]
    def watch():
        for chid in watched:
            ca.create_subscription(chid, leave)
        ca.flush_io()
"""

MAIN = {
    "sleeps": "time.sleep(60)",
    "computes": "while True: pass",
    "waits for an event": "threading.Event().wait(60)",
    "runs asyncio": "import asyncio; asyncio.run(asyncio.sleep(60))",
    "is in pend_event": "ca.pend_event(60)",
    "is in searchw": "missing = CaChannel('no-such-pv:in-any-ioc'); missing.setTimeout(60); missing.searchw()",
}


@pytest.mark.parametrize("main", MAIN)
def test_it_ends_the_program(run_script: RunScript, main: str) -> None:
    code = f"""
    import atexit
    atexit.register(lambda: print("took", time.monotonic() - left[0] < 2))
    try:
        watch()
        {MAIN[main]}
    finally:
        time.sleep(0.5)  # further callbacks say the same, and are not to break into this
        print("cleaned up")
    """
    result = run_script(textwrap.dedent(WATCH.format(leave="sys.exit(3)")) + textwrap.dedent(code))
    assert (result.returncode, result.stdout, result.stderr) == (3, "cleaned up\ntook True\n", "")


def test_a_signal_that_comes_just_before_a_wait(run_script: RunScript) -> None:
    """Such a signal does not end the wait: the script has them lost."""
    code = """
    kill, lost = signal.pthread_kill, []
    def pthread_kill(thread, number):
        if len(lost) < 2:
            lost.append(number)
        else:
            kill(thread, number)
    signal.pthread_kill = pthread_kill
    watch()
    threading.Event().wait(20)
    """
    result = run_script(textwrap.dedent(WATCH.format(leave="sys.exit(3)")) + textwrap.dedent(code))
    assert (result.returncode, result.stdout, result.stderr) == (3, "", "")


@pytest.mark.parametrize(
    ("leave", "status", "stderr"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit('not today')", 1, "not today\n"),
        ("raise SystemExit(7)", 7, ""),
        ("raise KeyboardInterrupt", -2, "KeyboardInterrupt\n"),
    ],
)
def test_its_status(run_script: RunScript, leave: str, status: int, stderr: str) -> None:
    code = WATCH.format(leave=leave)
    result = run_script(textwrap.dedent(code) + "\nwatch()\ntime.sleep(60)\n")
    assert (result.returncode, result.stdout) == (status, "")
    assert result.stderr.endswith(stderr)
    assert bool(result.stderr) == bool(stderr)
    assert result.seconds < 20


def test_a_program_that_has_its_own_use_for_the_signal(run_script: RunScript) -> None:
    result = run_script(
        textwrap.dedent(WATCH.format(leave="sys.exit(3)"))
        + textwrap.dedent(
            """
            signal.signal(signal.SIGURG, lambda *args: print("urgent"))
            signal.raise_signal(signal.SIGURG)
            watch()
            time.sleep(60)
            """
        )
    )
    # The wait is interrupted, and the log says why.
    assert result.stdout == "urgent\n"
    assert "SystemExit: 3" in result.stderr
    assert result.returncode in (1, -2)
    assert result.seconds < 20


def test_in_a_thread_that_polls_its_wait_ends(run_script: RunScript) -> None:
    """A callback of a non-preemptive context is called by a wait, which it ends, as any function that is called."""
    result = run_script(
        """
        ca.create_context(False)
        ca.create_subscription(connect("fast0"), lambda args: sys.exit(4))
        try:
            ca.pend_event(60)
        except SystemExit as error:
            print("status", error.code)
            raise
        """
    )
    assert (result.returncode, result.stdout, result.stderr) == (4, "status 4\n", "")
    assert result.seconds < 20


def test_where_the_main_thread_has_ended_there_is_the_log(run_script: RunScript) -> None:
    result = run_script(
        """
        def rest():
            threading.main_thread().join()
            seen = threading.Event()
            def leave(args):
                seen.set()
                sys.exit(3)
            chid = connect("calong")
            ca.get(chid, callback=leave)
            ca.flush_io()
            assert seen.wait(20)
            print(read(chid))
        threading.Thread(target=rest).start()
        """
    )
    assert (result.returncode, result.stdout) == (0, "5\n")
    assert "SystemExit: 3" in result.stderr


def test_callbacks_go_on_until_the_program_has_ended(run_script: RunScript) -> None:
    result = run_script(
        textwrap.dedent(WATCH.format(leave="sys.exit(3)"))
        + textwrap.dedent(
            """
            try:
                watch()
                time.sleep(60)
            except SystemExit as error:
                print("status", error.code)
            count = len(seen)
            wait_for(lambda: len(seen) > count + 20)
            done = []
            ca.get(watched[0], callback=lambda args: done.append(args["status"]))
            ca.pend_event(0.1)
            wait_for(lambda: done)
            print(*done)
            """
        )
    )
    assert_quiet(result, "status 3\nECA.NORMAL\n")


@pytest.mark.skipif(sys.version_info < (3, 10), reason="Python does not tell what a thread is handling")
def test_a_program_that_goes_on_can_be_ended_later(run_script: RunScript) -> None:
    result = run_script(
        textwrap.dedent(WATCH.format(leave="sys.exit(3)"))
        + textwrap.dedent(
            """
            try:
                watch()
                time.sleep(60)
            except SystemExit as error:
                print("status", error.code)
            began = time.monotonic()
            try:
                time.sleep(60)
            finally:
                time.sleep(1.5)  # still the first of those that follow
                print(0.5 < time.monotonic() - began < 20)
            """
        )
    )
    assert (result.returncode, result.stdout, result.stderr) == (3, "status 3\nTrue\n", "")
