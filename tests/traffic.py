"""For scripts of tests: everything that a client does, with a server of its own that the script kills or stops.

The functions are called over and over by threads, until the server goes. What is written are numbers that count up.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy
from cachannel import CaChannel, CaChannelException, ChannelGroup, Recorder, ca
from ioc import HERE, Ioc
from server_process import wait_for

LONG = 60.0
WRITTEN = 1000
"""Values that are written are more than this, and values that a server begins with are less."""


class Server(Ioc):
    """The IOC, with the records of util.db."""

    def _command(self) -> list[str]:
        return [*super()._command(), "--database", str(HERE / "util.db"), f"P={self.prefix}"]


class Call(threading.Thread):
    """The same call again and again, until it fails: how often it succeeded, and the status of the failure."""

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__(daemon=True, name=call.__name__)
        self.call = call
        self.good = 0
        self.status: Any = None
        self.ended: float | None = None
        self.start()

    def run(self) -> None:
        try:
            while True:
                self.call()
                self.good += 1
        except CaChannelException as error:
            self.status = error.status
        self.ended = time.monotonic()


class Traffic:
    """Starts the server and the calls; `events` and `rights` are what callbacks were told."""

    def __init__(self, prefix: str) -> None:
        logging.getLogger("cachannel.libca").setLevel(logging.ERROR)  # it says that the circuit broke
        ca.replace_printf_handler(lambda text: None)  # likewise
        port = int(os.environ["EPICS_CA_ADDR_LIST"].split(":")[-1])
        self.server = Server(f"faulty{prefix}", port, full=False, bare=False, limit=100)
        self.server.start()
        self._numbers = iter(range(WRITTEN + 1, 10**9))
        names = ("catest", "calong", "never0", "cawave")
        self._number, self._waited, self._stuck, self._array = map(self._opened, names)
        self.group = self._connected_group("cacalc", "disabled", "micro")
        self.written_group = self._connected_group("bare")
        self.events: list[Any] = []
        self.rights: list[bool] = []
        self._watch()
        self.recorder = Recorder([self._name("catest"), self._name("cacalc")])
        self.recorder.start(20)
        self._calls = [
            Call(call)
            for call in (
                self.write_and_read,
                self.put_and_wait,
                self.put_that_never_completes,
                self.get_array,
                self.group_get,
                self.group_put,
            )
        ]
        self._run_in()

    def _name(self, name: str) -> str:
        return f"{self.server.prefix}{name}"

    def _opened(self, name: str) -> CaChannel:
        channel = CaChannel(self._name(name))
        channel.setTimeout(LONG)
        channel.searchw()
        return channel

    def _connected_group(self, *names: str) -> ChannelGroup:
        group = ChannelGroup([self._name(name) for name in names], LONG)
        group.connect()
        return group

    def _watch(self) -> None:
        self._watched = watched = CaChannel(self._name("catest"))
        watched.search_and_connect(None, lambda args, user_args: self.events.append(args[1].name))
        watched.flush_io()
        wait_for(lambda: self.events == ["CONN_UP"])
        watched.add_masked_array_event(None, None, None, lambda args, user_args: self.events.append(args["pv_value"]))
        watched.replace_access_rights_event(lambda args, user_args: self.rights.append(args["write_access"]))
        watched.flush_io()

    def _run_in(self) -> None:
        """Until each call has succeeded some times, but for the one that never returns."""
        busy = [call for call in self._calls if call.name != "put_that_never_completes"]
        end = time.monotonic() + 20
        while not (all(call.good > 20 for call in busy) or any(call.ended for call in busy)):
            assert time.monotonic() < end, [(call.name, call.good) for call in busy]
            time.sleep(0.01)
        assert not any(call.ended for call in busy), [(call.name, call.good, call.status) for call in busy]

    def next_number(self) -> int:
        """The next number to write."""
        return next(self._numbers)

    def values(self) -> list[float]:
        """The values that the subscription has brought."""
        return [value for value in self.events if not isinstance(value, str)]

    # The calls

    def write_and_read(self) -> None:
        value = self.next_number()
        self._number.putw(value)
        assert self._number.getw() == value

    def put_and_wait(self) -> None:
        done: list[Any] = []
        note = lambda args, user_args: done.append(args["status"])  # noqa: E731
        self._waited.array_put_callback(self.next_number(), None, None, note)
        self._waited.flush_io()
        wait_for(lambda: done, LONG)
        if done != [ca.ECA_NORMAL]:
            raise CaChannelException(done[0])

    def put_that_never_completes(self) -> None:
        gid = ca.sg_create()[1]
        ca.sg_put(gid, self._stuck._chid, 1)
        status = ca.sg_block(gid, LONG)
        if status != ca.ECA_NORMAL:
            raise CaChannelException(status)

    def get_array(self) -> None:
        self._array.array_get()
        self._array.pend_io(LONG)
        assert len(self._array.getValue()) == 5

    def group_get(self) -> None:
        assert self.group.get()[1:].tolist() == [1, 1.25]

    def group_put(self) -> None:
        self.written_group.put(self.next_number(), wait=True)

    # What is to be seen

    def all_end(self, began: float, patience: float) -> None:
        """Every call ends, and all hear of it; prints the statuses, and whether the recorder's last rows are NaN."""
        for call in self._calls:
            call.join(max(0, began + patience - time.monotonic()))
        hang = [call.name for call in self._calls if call.is_alive()]
        assert not hang, hang
        print({call.status.name for call in self._calls})
        wait_for(lambda: "CONN_DOWN" in self.events)
        wait_for(lambda: not self.recorder.connected.any() and not self.group.connected.any())
        ca.poll()
        rows = self.recorder.read(0)
        print([numpy.isnan(rows["value"][rows["channel"] == channel]).tolist()[-2:] for channel in (0, 1)])

    def all_goes_on(self, first: float, first_written: float = 0) -> None:
        """Everything works again; prints what the subscription and the recorder have brought since."""
        wait_for(lambda: self.events[-1] != "CONN_DOWN", LONG)
        together = self.group, self.written_group, self.recorder
        wait_for(lambda: all(each.connected.all() for each in together), LONG)
        for call in (self.write_and_read, self.put_and_wait, self.get_array, self.group_get, self.group_put):
            call()
        last = self.next_number()
        with self._opened("catest") as channel:
            channel.putw(last)
        wait_for(lambda: self.events[-1] == last, 20)
        wait_for(lambda: self.rights == [True, False, True], 10, str(self.rights))
        since = self.events[self.events.index("CONN_DOWN") :]
        values = [value for value in since if not isinstance(value, str)]
        print([value for value in since if isinstance(value, str)], values == sorted(values), values[0] >= first)
        # The first update is the value that the PV has now, not the one that it had.
        if first < WRITTEN:
            print("from its beginning", values[0] == first or values[0] > first_written)
        seen: list[float] = []
        while last not in seen:
            rows = self.recorder.read(20)
            assert len(rows)
            seen += rows["value"][rows["channel"] == 0].tolist()
        print(not numpy.isnan(seen).any(), seen == sorted(seen))
