"""The thread that callbacks come from, as `threading` and its tracers see it."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import RunScript, assert_quiet


def test_threading_knows_it(run_script: RunScript) -> None:
    result = run_script(
        """
        chid, seen = connect("calong"), []
        def called(args):
            thread = threading.current_thread()
            seen.append((thread.name, thread.daemon, thread.is_alive(), thread in threading.enumerate()))
        for _ in range(3):
            ca.get(chid, callback=called)
        ca.flush_io()
        wait_for(lambda: len(seen) == 3)
        print(set(seen))
        print([thread.name for thread in threading.enumerate()])
        """
    )
    assert_quiet(result, "{('cachannel dispatcher', True, True, True)}\n['MainThread', 'cachannel dispatcher']\n")


def test_it_goes_with_its_context(run_script: RunScript) -> None:
    result = run_script(
        """
        threads = set()
        for _ in range(20):
            connect("calong")
            ca.get(connect("calong"), callback=lambda args: threads.add(id(threading.current_thread())))
            ca.pend_event(0.01)
            ca.destroy_context()
        wait_for(lambda: threading.active_count() == 1)
        print([thread.name for thread in threading.enumerate()])
        """
    )
    assert_quiet(result, "['MainThread']\n")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")
def test_the_system_knows_it(run_script: RunScript) -> None:
    result = run_script(
        """
        from pathlib import Path
        connect("calong")
        names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
        print(sum("cachannel dispatcher".startswith(name) and name.startswith("cachannel d") for name in names))
        """
    )
    assert_quiet(result, "1\n")


@pytest.mark.parametrize("kind", ["trace", "profile"])
def test_it_has_the_tracer_that_threads_get(run_script: RunScript, kind: str) -> None:
    """So a debugger stops in callbacks, and a profiler counts them."""
    result = run_script(
        f"""
        seen = set()
        def look(frame, event, argument):
            seen.add(frame.f_code.co_name)
            return look
        threading.set{kind}(look)
        chid, done = connect("calong"), []
        def a_callback(args):
            done.append(1)
        ca.get(chid, callback=a_callback)
        ca.flush_io()
        wait_for(lambda: done)
        print("a_callback" in seen)
        """
    )
    assert_quiet(result, "True\n")


@pytest.mark.parametrize("when", ["always", "in callbacks"])
def test_a_tracer_that_raises_does_not_end_it(run_script: RunScript, when: str) -> None:
    """An exception of the tracer comes out of the function that is traced; Python then drops the tracer."""
    result = run_script(
        f"""
        def trace(frame, event, argument):
            if {when == "always"} or frame.f_code.co_name == "a_callback":
                raise RuntimeError("a tracer")
            return None
        threading.settrace(trace)
        chid, done = connect("calong"), []
        def a_callback(args):
            done.append(1)
        for _ in range(10):
            ca.get(chid, callback=a_callback)
        ca.flush_io()
        wait_for(lambda: len(done) >= 9)
        print(len(done))
        """
    )
    assert (result.returncode, result.stdout) == (0, "9\n"), result
    assert "RuntimeError: a tracer" in result.stderr
