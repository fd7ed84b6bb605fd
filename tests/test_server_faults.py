"""A server that dies, or stops for a while, in the middle of everything: what is under way ends, then all goes on."""

from __future__ import annotations

import sys

import pytest
from helpers import RunScript, assert_quiet

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="stops a process")

TRAFFIC = """
    import numpy
    from cachannel import ChannelGroup, Recorder
    from ioc import HERE, Ioc
    logging.getLogger("cachannel.libca").setLevel(logging.ERROR)  # it says that the circuit broke
    ca.replace_printf_handler(lambda text: None)  # likewise
    class Server(Ioc):
        def _command(self):
            return [*super()._command(), "--database", str(HERE / "util.db"), f"P={self.prefix}"]
    port = int(os.environ["EPICS_CA_ADDR_LIST"].split(":")[-1])
    server = Server("faulty" + P, port, full=False, bare=False, limit=100)
    server.start()
    N = server.prefix
    LONG = 60
    WRITTEN = 1000  # what is written is more than that, and what a server begins with is less

    def opened(name, callback=None):
        channel = CaChannel(N + name)
        channel.setTimeout(LONG)
        channel.searchw()
        return channel

    class Call(threading.Thread):
        # The same call again and again, until the server goes; what each came to.
        def __init__(self, what, call):
            super().__init__(daemon=True, name=what)
            self.call, self.good, self.status, self.ended = call, 0, None, None
            self.start()
        def run(self):
            try:
                while True:
                    self.call()
                    self.good += 1
            except CaChannelException as error:
                self.status = error.status
            self.ended = time.monotonic()

    written, number = {}, iter(range(WRITTEN + 1, 10**9))
    def write_and_read(channel=opened("catest")):
        value = next(number)
        channel.putw(value)
        assert channel.getw() == value
    def put_and_wait(channel=opened("calong")):
        done = []
        channel.array_put_callback(next(number), None, None, lambda args, user_args: done.append(args["status"]))
        channel.flush_io()
        wait_for(lambda: done, LONG)
        if done != [ca.ECA_NORMAL]:
            raise CaChannelException(done[0])
    def put_that_never_completes(channel=opened("never0")):
        gid = ca.sg_create()[1]
        ca.sg_put(gid, channel._chid, 1)
        status = ca.sg_block(gid, LONG)
        if status != ca.ECA_NORMAL:
            raise CaChannelException(status)
    def get_array(channel=opened("cawave")):
        channel.array_get()
        channel.pend_io(LONG)
        assert len(channel.getValue()) == 5
    group = ChannelGroup([N + name for name in ("cacalc", "disabled", "micro")], LONG)
    group.connect()
    def group_get():
        assert group.get()[1:].tolist() == [1, 1.25]
    written_group = ChannelGroup([N + "bare"], LONG)
    written_group.connect()
    def group_put():
        written_group.put(next(number), wait=True)

    events = []
    watched = CaChannel(N + "catest")
    watched.search_and_connect(None, lambda args, user_args: events.append(args[1].name))
    watched.flush_io()
    wait_for(lambda: events == ["CONN_UP"])
    watched.add_masked_array_event(None, None, None, lambda args, user_args: events.append(args["pv_value"]))
    rights = []
    watched.replace_access_rights_event(lambda args, user_args: rights.append(args["write_access"]))
    watched.flush_io()
    recorder = Recorder([N + "catest", N + "cacalc"])
    recorder.start(20)
    calls = [Call(call.__name__, call) for call in
             (write_and_read, put_and_wait, put_that_never_completes, get_array, group_get, group_put)]
    busy = [call for call in calls if call.name != "put_that_never_completes"]
    end = time.monotonic() + 20
    while not (all(call.good > 20 for call in busy) or any(call.ended for call in busy)):
        assert time.monotonic() < end, [(call.name, call.good) for call in busy]
        time.sleep(0.01)
    assert not any(call.ended for call in busy), [(call.name, call.good, call.status) for call in busy]

    def all_end(began, patience):
        for call in calls:
            call.join(max(0, began + patience - time.monotonic()))
        hang = [call.name for call in calls if call.is_alive()]
        assert not hang, hang
        print({call.status.name for call in calls})
        wait_for(lambda: "CONN_DOWN" in events)
        wait_for(lambda: not recorder.connected.any() and not group.connected.any())
        ca.poll()
        rows = recorder.read(0)
        print([numpy.isnan(rows["value"][rows["channel"] == channel]).tolist()[-2:] for channel in (0, 1)])

    def all_goes_on(first):
        wait_for(lambda: events[-1] != "CONN_DOWN", LONG)
        together = group, written_group, recorder
        wait_for(lambda: all(each.connected.all() for each in together), LONG)
        write_and_read(); put_and_wait(); get_array(); group_get(); group_put()
        last = next(number)
        with opened("catest") as channel:
            channel.putw(last)
        wait_for(lambda: events[-1] == last, 20)
        wait_for(lambda: rights == [True, False, True], 10, rights)
        since = events[events.index("CONN_DOWN"):]
        values = [value for value in since if not isinstance(value, str)]
        print([value for value in since if isinstance(value, str)], values == sorted(values), values[0] >= first)
        # The first that comes is what there is, not what there was.
        if first < WRITTEN:
            print("from its beginning", values[0] == first or values[0] > first_written)
        seen = []
        while last not in seen:
            rows = recorder.read(20)
            assert len(rows)
            seen += rows["value"][rows["channel"] == 0].tolist()
        print(not numpy.isnan(seen).any(), seen == sorted(seen))
"""


EXPECTED = "{'DISCONN'}\n[[False, True], [False, True]]\n"


def test_it_dies_and_comes_back(run_script: RunScript) -> None:
    result = run_script(
        TRAFFIC
        + """
    try:
        began = time.monotonic()
        server.kill()
        all_end(began, 10)
        first_written = next(number)
        server.start()
        all_goes_on(0)
    finally:
        server.kill()
    """,
        timeout=100,
    )
    assert_quiet(result, EXPECTED + "['CONN_DOWN', 'CONN_UP'] True True\nfrom its beginning True\nTrue True\n")


def test_it_stops_and_goes_on(run_script: RunScript) -> None:
    """libca gives up on a server that does not answer for CONN_TMO; requests end then, late answers are dropped."""
    result = run_script(
        TRAFFIC
        + """
    try:
        began = time.monotonic()
        server.pause()
        all_end(began, 30)
        before = [value for value in events if not isinstance(value, str)][-1]
        server.resume()
        all_goes_on(before)
    finally:
        server.resume()
        server.kill()
    """,
        timeout=100,
        env={"EPICS_CA_CONN_TMO": "1"},
    )
    assert_quiet(result, EXPECTED + "['CONN_DOWN', 'CONN_UP'] True True\nTrue True\n")
