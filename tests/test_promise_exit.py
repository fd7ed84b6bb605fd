"""Promise: exit is quick and quiet, whatever is open."""

from __future__ import annotations

import textwrap

import pytest
from helpers import RunScript, assert_quiet

WATCH_ALL = """
    chids = [connect(f"fast{number}") for number in range(20)]
    for chid in chids:
        ca.create_subscription(chid, seen.append)
    ca.flush_io()
"""

EXITS = {
    "nothing but the import": "",
    "a context": "ca.create_context()",
    "an object": "channel = CaChannel(P + 'catest')",
    "a connected channel": "channel = CaChannel(P + 'catest'); channel.searchw()",
    "a channel that is not found": "channel = CaChannel('no-such-pv'); channel.search(); channel.flush_io()",
    "a chid": "chid = connect('catest')",
    "monitors": WATCH_ALL,
    "monitors that have delivered": WATCH_ALL + "    wait_for(lambda: len(seen) > 50)",
    "monitors and a slow callback": WATCH_ALL.replace("seen.append", "lambda args: time.sleep(0.05)"),
    "a callback that does not come back": """
    chid = connect("calong")
    ca.get(chid, callback=lambda args: time.sleep(60))
    read(chid)
    """,
    "a callback that waits": """
    chid = connect("calong")
    ca.get(chid, callback=lambda args: ca.pend_event(60))
    read(chid)
    """,
    "a callback in a blocked lock": """
    lock = threading.Lock()
    lock.acquire()
    chid = connect("calong")
    ca.get(chid, callback=lambda args: lock.acquire())
    read(chid)
    """,
    "a get under way": "chid = connect('big'); ca.get(chid); ca.flush_io()",
    "a get that was not flushed": "chid = connect('big'); ca.get(chid)",
    "a put that does not complete": "chid = connect('stuck0'); ca.put(chid, 1, callback=seen.append); ca.flush_io()",
    "a group under way": "chid = connect('stuck1'); gid = ca.sg_create()[1]; ca.sg_put(gid, chid, 1); ca.flush_io()",
    "large arrays streaming in": """
    chid, writer = connect("stream"), connect("stream")
    ca.create_subscription(chid, seen.append, use_numpy=True)
    for number in range(200):
        ca.put(writer, [number] * 10000)
    ca.flush_io()
    """,
    "a writer thread": """
    writer, chid = connect("plain"), connect("plain")
    ca.create_subscription(chid, seen.append)
    def stream():
        number = 0
        while True:
            number += 1
            ca.put(writer, number)
            ca.flush_io()
    threading.Thread(target=stream, daemon=True).start()
    wait_for(lambda: len(seen) > 100)
    """,
    "a daemon thread in pend_event": """
    connect("calong")
    threading.Thread(target=lambda: ca.pend_event(60), daemon=True).start()
    """,
    "a daemon thread in pend_io": """
    def wait():
        ca.create_channel("no-such-pv")
        ca.pend_io(60)
    threading.Thread(target=wait, daemon=True).start()
    """,
    "daemon threads that read": """
    def work():
        channel = CaChannel(P + "calong")
        channel.searchw()
        while True:
            channel.getw()
            seen.append(1)
    for _ in range(4):
        threading.Thread(target=work, daemon=True).start()
    wait_for(lambda: len(seen) > 100)
    """,
    "several contexts": """
    def other():
        ca.create_context()
        chid = connect("fast")
        kept.append(chid)
        ca.create_subscription(chid, seen.append)
        ca.flush_io()
    kept = []
    for _ in range(3):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    wait_for(lambda: len(seen) > 10)
    """,
    "a non-preemptive context": """
    ca.create_context(False)
    chid = connect("fast")
    ca.create_subscription(chid, seen.append)
    wait_for(lambda: ca.pend_event(0.05) and seen)
    """,
    "a destroyed context": "connect('fast'); ca.destroy_context()",
    "a detached thread": "chid = connect('fast'); ca.detach_context()",
    "handlers": "connect('fast'); ca.add_exception_event(seen.append); ca.replace_printf_handler(seen.append)",
    "an array that is still used": "import builtins; builtins.kept = read(connect('big'), use_numpy=True)",
    "a read at exit": """
    import atexit
    channel = CaChannel(P + "calong")
    channel.searchw()
    channel.putw(5)
    @atexit.register
    def last():
        assert channel.getw() == 5
    """,
    "objects in a cycle": """
    class Holder:
        def __init__(self):
            self.me = self
            self.channel = CaChannel(P + "fast")
            self.channel.searchw()
            self.channel.add_masked_array_event(None, None, None, self.update)
            self.channel.flush_io()
        def update(self, args, user_args):
            seen.append(1)
    holders = [Holder() for _ in range(5)]
    del holders
    """,
    "a __del__ that uses it": """
    class Holder:
        def __init__(self):
            self.channel = CaChannel(P + "calong")
            self.channel.searchw()
        def __del__(self):
            try:
                self.channel.getw()
            except Exception:
                pass
    holder = Holder()
    """,
    "sys.exit": WATCH_ALL + "    sys.exit(0)",
    "sys.exit in a function": WATCH_ALL + "    ca.pend_event(0.2)\n    raise SystemExit",
    "a stopped server with what it does not take": """
    chid = connect("fast")
    big = CaChannel(P + "big")
    big.searchw()
    stop_server(chid)
    def put():
        big.putw([0] * 4_000_000)
    for number in range(2):
        threading.Thread(target=put, daemon=True).start()
    time.sleep(0.5)
    """,
    **{
        f"a callback that goes on: {what}": f"""
    def slow(args):
        called.set()
        while True:
            {what}
    called = threading.Event()
    chid = connect("calong")
    ca.get(chid, callback=slow)
    ca.flush_io()
    called.wait(10)
    """
        for what in ("time.sleep(0.001)", "ca.pend_event(0.001)")
    },
    "a callback that ends as the program does": """
    def slow(args):
        called.set()
        end = time.monotonic() + 0.95
        while time.monotonic() < end:
            time.sleep(0.001)
    called = threading.Event()
    chid = connect("calong")
    ca.get(chid, callback=slow)
    ca.flush_io()
    called.wait(10)
    """,
    "a stopped server": """
    chid = connect("fast")
    ca.create_subscription(chid, seen.append)
    channel = CaChannel(P + "calong")
    channel.searchw()
    stop_server(chid)
    channel.array_get()
    channel.flush_io()
    """,
}


@pytest.mark.parametrize("what", EXITS)
def test_exit(run_script: RunScript, what: str) -> None:
    code = "seen = []\n" + textwrap.dedent(EXITS[what])
    result = run_script(code if "sys.exit" in what else code + '\nprint("end")\n')
    assert_quiet(result, "" if "sys.exit" in what else "end\n")
    # The exit takes less than two seconds. It does not wait for a callback that does not return.
    assert result.seconds < 10


@pytest.mark.parametrize("way", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGTERM)", "os.abort()"])
def test_sudden_ends(run_script: RunScript, way: str) -> None:
    result = run_script("seen = []\n" + textwrap.dedent(WATCH_ALL) + f"\nca.pend_event(0.2)\n{way}\n")
    assert result.returncode == {"os._exit(0)": 0, "os.abort()": -6}.get(way, -15)
    assert result.seconds < 10


def test_an_exception_at_the_end(run_script: RunScript) -> None:
    code = "seen = []\n" + textwrap.dedent(WATCH_ALL) + '\nca.pend_event(0.2)\nraise RuntimeError("the end")\n'
    result = run_script(code)
    assert result.returncode == 1
    assert result.stderr.rstrip().endswith("RuntimeError: the end")
    assert result.stderr.count("\n") < 10
