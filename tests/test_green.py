"""Beside gevent and eventlet, which put coroutines in the place of threads: callbacks come from a real thread."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from functools import cache

import pytest
from helpers import Result, RunScript, assert_quiet

PATCH = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "gevent, after the package": "import cachannel; from gevent import monkey; monkey.patch_all()",
    "eventlet": "import warnings; warnings.simplefilter('ignore'); import eventlet; eventlet.monkey_patch()",
    "eventlet, after the package": (
        "import warnings; warnings.simplefilter('ignore'); import cachannel; import eventlet; eventlet.monkey_patch()"
    ),
}

WAYS = {
    "it connects and reads": """
        channel = CaChannel(P + "calong")
        channel.searchw()
        print(channel.getw())
        channel.putw(5)
        print(channel.getw())
    """,
    "callbacks come": """
        seen = []
        channel = CaChannel(P + "calong")
        channel.search_and_connect(None, lambda args, user_args: seen.append("up"))
        channel.flush_io()
        wait_for(lambda: "up" in seen)
        channel.add_masked_array_event(None, None, None, lambda args, user_args: seen.append(args["pv_value"]))
        channel.array_get_callback(None, None, lambda args, user_args: seen.append("read"))
        channel.array_put_callback(5, None, None, lambda args, user_args: seen.append("written"))
        channel.flush_io()
        wait_for(lambda: "written" in seen)
        channel.pend_event(0.01)
        print(seen[0], sorted(map(str, set(seen[1:]))))
        channel.clear_channel()
    """,
    "callbacks come from a thread of the system": """
        idents = []
        channel = CaChannel(P + "calong")
        channel.searchw()
        main = cachannel._ca.thread_ident()
        channel.array_get_callback(None, None, lambda args, user_args: idents.append(cachannel._ca.thread_ident()))
        channel.flush_io()
        began = time.monotonic()
        while not idents and time.monotonic() < began + 10:
            pass  # no coroutine runs
        print(idents[0] != main)
    """,
    "callbacks call everything": """
        import queue
        done = []
        channel, other = CaChannel(P + "calong"), CaChannel(P + "other")
        channel.searchw()
        def called(args, user_args):
            other.searchw()
            other.putw(3)
            logging.getLogger("cachannel").warning("from a callback")
            time.sleep(0.01)
            done.append((other.getw(), threading.current_thread().daemon))
        channel.array_get_callback(None, None, called)
        channel.flush_io()
        wait_for(lambda: done)
        print(done)
    """,
    "the log of a callback and of the program": """
        channel = CaChannel(P + "calong")
        channel.searchw()
        class Handler(logging.Handler):
            def emit(self, record):
                records.append(record)
        records = []
        logging.getLogger("x").addHandler(Handler())
        logging.getLogger("x").propagate = False
        def called(args, user_args):
            for number in range(100):
                logging.getLogger("x").warning("callback %d", number)
        for _ in range(5):
            channel.array_get_callback(None, None, called)
        channel.flush_io()
        # One after the other: of two threads that want a lock of gevent's (a handler's) at the same
        # time, one may sleep on, or get LoopExit.
        wait_for(lambda: len(records) >= 500)
        for number in range(500):
            logging.getLogger("x").warning("program %d", number)
        print(len(records))
    """,
    "util": """
        from cachannel.util import caget, caput, camonitor
        seen = []
        caput(P + "calong", 5, wait=True)
        print(caget(P + "calong"))
        monitor = camonitor(P + "calong", callback=lambda args, user_args: seen.append(args["pv_value"]), add=True)
        wait_for(lambda: seen)
        monitor.stop()
        print(seen)
    """,
    "groups and recorders": """
        from cachannel import ChannelGroup, Recorder
        with ChannelGroup([P + "calong", P + "calong"]) as group:
            print(group.get().tolist())
        with Recorder([P + "calong"]) as recorder:
            wait_for(lambda: len(recorder.read()))
        print("recorded")
    """,
    "coroutines that use channels": """
        def work(number):
            channel = CaChannel(P + f"fast{number}")
            channel.searchw()
            for _ in range(5):
                channel.getw()
                time.sleep(0.001)
            values.append(number)
        values = []
        threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(sorted(values) == list(range(10)))
    """,
    "the first channel in a coroutine": """
        values = []
        def work():
            values.append(CaChannel(P + "calong"))
            values[0].searchw()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        print(values[0].getw())
    """,
    "contexts come and go": """
        for _ in range(5):
            channel = CaChannel(P + "calong")
            channel.searchw()
            ca.destroy_context()
        print("done")
    """,
}
PRINTS = {
    "it connects and reads": "5\n5\n",
    "callbacks come": "up ['5', 'read', 'written']\n",
    "callbacks come from a thread of the system": "True\n",
    "callbacks call everything": "[(3.0, True)]\n",
    "the log of a callback and of the program": "1000\n",
    "util": "5\n[5]\n",
    "groups and recorders": "[5.0, 5.0]\nrecorded\n",
    "coroutines that use channels": "True\n",
    "the first channel in a coroutine": "5\n",
    "contexts come and go": "done\n",
}


@cache
def why_not(package: str) -> str:
    """What keeps this Python from the package; empty where nothing does."""
    process = subprocess.run(
        [sys.executable, "-c", PATCH[package]], capture_output=True, text=True, timeout=60, check=False
    )
    return process.stderr if process.returncode else ""


def run_patched(run_script: RunScript, patch: str, code: str) -> Result:
    package = patch.partition(",")[0]
    if why_not(package):
        pytest.skip(f"{package} does not work here: {why_not(package)[-200:]}")
    # The patch comes before everything else that is imported.
    return run_script(f"{PATCH[patch]}\nfrom in_script import *\n{textwrap.dedent(code)}", preamble=False)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("patch", PATCH)
def test_with_everything_patched(run_script: RunScript, patch: str, way: str) -> None:
    result = run_patched(run_script, patch, WAYS[way])
    said = "from a callback\n" if way == "callbacks call everything" else ""
    assert (result.returncode, result.stdout, result.stderr) == (0, PRINTS[way], said), result
    assert result.seconds < 20


@pytest.mark.parametrize("patch", PATCH)
def test_ctrl_c_ends_a_wait(run_script: RunScript, patch: str) -> None:
    result = run_patched(
        run_script,
        patch,
        """
        channel = CaChannel(P + "calong")
        channel.searchw()
        def press(args, user_args):
            os.kill(os.getpid(), signal.SIGINT)
        channel.array_get_callback(None, None, press)
        try:
            ca.pend_event(60)
        except KeyboardInterrupt:
            print("interrupted")
        """,
    )
    assert_quiet(result, "interrupted\n")
    assert result.seconds < 20


@pytest.mark.parametrize("wait", ["ca.pend_event(60)", "time.sleep(60)"])
@pytest.mark.parametrize("patch", PATCH)
def test_sys_exit_in_a_callback_ends_the_program(run_script: RunScript, patch: str, wait: str) -> None:
    result = run_patched(
        run_script,
        patch,
        f"""
        channel = CaChannel(P + "calong")
        channel.searchw()
        channel.array_get_callback(None, None, lambda args, user_args: sys.exit(3))
        channel.flush_io()
        {wait}
        """,
    )
    assert result.returncode == 3, result
    assert result.seconds < 20


@pytest.mark.parametrize("patch", PATCH)
def test_exit_with_updates_streaming_in(run_script: RunScript, patch: str) -> None:
    result = run_patched(
        run_script,
        patch,
        """
        seen = []
        channels = [CaChannel(P + f"fast{number}") for number in range(10)]
        for channel in channels:
            channel.search()
        channels[0].pend_io(10)
        for channel in channels:
            channel.add_masked_array_event(None, None, None, lambda args, user_args: seen.append(1))
        channels[0].flush_io()
        wait_for(lambda: len(seen) >= 20)
        """,
    )
    assert_quiet(result, "")
    assert result.seconds < 15
