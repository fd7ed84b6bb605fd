"""A storm of threads that make, use, share and drop channels at random, and check each value that comes.

Every PV belongs to one thread, which alone writes it: numbers that nobody else could have written, each larger than the
one before. So whatever is read, by whomever and however, can be judged. ``storm`` raises on the first wrong value, on
an answer that does not come, and on a thread that does not get on. Run as a program it starts an IOC of its own:

    python tests/storm.py SECONDS [SEED]
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import random
import secrets
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable

if __name__ == "__main__":  # before anything loads libca, which reads it once
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from server_process import free_port

    PORT = free_port()
    os.environ.update(
        EPICS_CA_ADDR_LIST=f"127.0.0.1:{PORT}",
        EPICS_CA_AUTO_ADDR_LIST="NO",
        EPICS_CA_REPEATER_PORT=str(free_port()),
        EPICS_CAS_INTF_ADDR_LIST="127.0.0.1",
        EPICS_CAS_BEACON_ADDR_LIST="127.0.0.1",
        EPICS_CAS_AUTO_BEACON_ADDR_LIST="NO",
    )

from cachannel import CaChannel, CaChannelException, ChannelGroup, ca
from ioc import BUNCHES, Ioc

THREADS = 32
OWN = 4
"""PVs of each thread."""
STEP = 1 << 32
"""The numbers of one PV lie between its place times this and the next place's."""
PATIENCE = 30.0
"""Seconds in which every answer comes, however busy the machine."""


class Wrong(AssertionError):
    """Something that must not happen."""


class Pv:
    """A PV, and what its owner has written."""

    def __init__(self, name: str, place: int) -> None:
        self.name = name
        self.first = place * STEP
        self.last = self.first

    def next(self) -> int:
        self.last += 1
        return self.last

    def check(self, value: Any, least: int | None = None) -> int:
        """It is the PV's, not older than ``least``, and not newer than what was written."""
        if not isinstance(value, float) or not (self.first if least is None else least) <= value <= self.last:
            raise Wrong(f"{self.name}: {value!r} was read, and must be {least or self.first} to {self.last}")
        return int(value)


class Shared:
    """What the threads have in common."""

    def __init__(self, pvs: list[Pv], seed: int, end: float) -> None:
        self.pvs = pvs
        self.seed = seed
        self.end = end
        self.failures: list[BaseException] = []
        self.victims: list[CaChannel] = []
        """Channels that anybody may clear at any moment."""
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.over = threading.Event()

    def failed(self, error: BaseException) -> None:
        self.failures.append(error)
        self.over.set()

    def wait(self, condition: Callable[[], object], what: str, wait: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            if self.failures:
                raise SystemExit  # of this thread: another has told
            if time.monotonic() > end:
                raise Wrong(f"lost: {what}")
            wait()


class Watch:
    """A subscription's callback: its updates are the PV's, and in order."""

    def __init__(self, shared: Shared, pv: Pv) -> None:
        self.shared = shared
        self.pv = pv
        self.newest = pv.first
        self.count = 0

    def __call__(self, args: dict[str, Any], user_args: tuple[Any, ...]) -> None:
        try:
            if args["status"] != ca.ECA_NORMAL:
                raise Wrong(f"{self.pv.name}: an update with {args['status']!s}")
            self.newest = self.pv.check(args["pv_value"], self.newest)
            self.count += 1
        except BaseException as error:
            self.shared.failed(error)


class Worker(threading.Thread):
    """One of the threads."""

    def __init__(self, shared: Shared, number: int) -> None:
        super().__init__(name=f"storm {number}", daemon=True)
        self.shared = shared
        self.number = number
        self.random = random.Random(f"{shared.seed} {number}")
        self.own = shared.pvs[number * OWN : (number + 1) * OWN]
        self.kept: list[tuple[CaChannel, Pv]] = []
        self.counts: Counter[str] = Counter()
        self.doing = "nothing"
        self.since = time.monotonic()
        # Most share the process's context; some have their own, some poll theirs.
        self.context = {1: "own", 2: "polled", 3: "own"}.get(number % 8, "shared")

    def run(self) -> None:
        try:
            self.enter()
            names = [name for name in dir(self) if name.startswith("do_")]
            while time.monotonic() < self.shared.end and not self.shared.over.is_set():
                name = self.random.choice(names)
                self.since, self.doing = time.monotonic(), name
                getattr(self, name)()
                self.counts[name.removeprefix("do_")] += 1
            self.since, self.doing = time.monotonic(), "the end"
            self.kept.clear()
            if self.context == "shared":
                self.anchor.clear_channel()
            else:
                ca.destroy_context()
        except SystemExit:
            pass
        except BaseException as error:
            self.shared.failed(error)
        with self.shared.lock:
            self.shared.counts.update(self.counts)
        self.doing = "nothing"

    def enter(self) -> None:
        if self.context != "shared":
            status = ca.create_context(self.context == "own")
            if status != ca.ECA_NORMAL:
                raise Wrong(f"no context: {status!s}")
        # libca closes a circuit whose last channel goes. A search that is answered at that moment takes libca long.
        self.anchor = CaChannel(self.own[0].name)
        self.anchor.setTimeout(PATIENCE)
        self.anchor.searchw()

    def pause(self) -> None:
        """Waits a moment, as a thread of its context does."""
        if self.context == "polled":
            ca.pend_event(0.01)
        else:
            time.sleep(0.002)

    def expect(self, condition: Callable[[], object], what: str) -> None:
        self.shared.wait(condition, what, self.pause)

    def open(self, pv: Pv) -> CaChannel:
        channel = CaChannel(pv.name)
        channel.setTimeout(PATIENCE)
        if self.random.random() < 0.5:
            channel.searchw()
            return channel
        ups: list[Any] = []
        channel.search_and_connect(None, lambda args, user_args: ups.append(args[1]))
        channel.flush_io()
        self.expect(lambda: ups, f"the connection of {pv.name}")
        if ups[0] is not ca.CA_OP.CONN_UP:
            raise Wrong(f"{pv.name}: its first connection event is {ups[0]}")
        return channel

    def mine(self) -> tuple[CaChannel, Pv]:
        """A channel to a PV of this thread: one that there is, or a new one."""
        if not self.kept or (len(self.kept) < 8 and self.random.random() < 0.3):
            pv = self.random.choice(self.own)
            self.kept.append((self.open(pv), pv))
        return self.random.choice(self.kept)

    def do_write_and_read(self) -> None:
        channel, pv = self.mine()
        for _ in range(self.random.randrange(1, 10)):
            value = pv.next()
            channel.putw(value)
            pv.check(channel.getw(), value)

    def do_write_and_read_at_once(self) -> None:
        channel, pv = self.mine()
        value = pv.next()
        channel.array_put(value)
        channel.array_get()
        channel.pend_io(PATIENCE)
        pv.check(channel.getValue(), value)

    def do_callbacks(self) -> None:
        channel, pv = self.mine()
        answers: list[Any] = []
        count = self.random.randrange(1, 20)

        def done(args: dict[str, Any], user_args: tuple[Any, ...]) -> None:
            answers.append((*user_args, args["status"]))

        def got(args: dict[str, Any], user_args: tuple[Any, ...]) -> None:
            answers.append((*user_args, args["pv_value"]))

        for number in range(count):
            value = pv.next()
            channel.array_put_callback(value, None, None, done, number)
            channel.array_get_callback(None, None, got, number, value)
        channel.flush_io()
        self.expect(lambda: len(answers) == 2 * count, f"{2 * count} answers of {pv.name}")
        for number in range(count):
            mine = [answer[1:] for answer in answers if answer[0] == number]
            if sorted(map(len, mine)) != [1, 2] or (ca.ECA_NORMAL,) not in mine:
                raise Wrong(f"{pv.name}: the answers to request {number} are {mine}")
            least, got_value = next(answer for answer in mine if len(answer) == 2)
            pv.check(got_value, least)

    def do_watch(self) -> None:
        pv = self.random.choice(self.own)
        channel = self.open(pv)
        watch = Watch(self.shared, pv)
        channel.add_masked_array_event(None, None, None, watch)
        for _ in range(self.random.randrange(1, 50)):
            channel.array_put(pv.next())
        channel.flush_io()
        self.expect(lambda: watch.newest == pv.last, f"the newest update of {pv.name}")
        end = self.random.choice(("clear_event", "clear_channel", "drop"))
        if end != "drop":
            getattr(channel, end)()
            ca.poll()  # one that was running has returned
            count = watch.count
            with CaChannel(pv.name) as again:
                again.setTimeout(PATIENCE)
                again.putw(pv.next())
                again.getw()
            ca.poll()
            if watch.count != count:
                raise Wrong(f"{pv.name}: a callback after {end}")

    def do_look_at_anothers(self) -> None:
        pv = self.random.choice(self.shared.pvs)
        with CaChannel(pv.name) as channel:
            channel.setTimeout(PATIENCE)
            seen = pv.check(channel.getw())
            pv.check(channel.getw(ca.DBR_TIME_DOUBLE)["pv_value"], seen)

    def do_watch_anothers(self) -> None:
        pv = self.random.choice(self.shared.pvs)
        channel = self.open(pv)
        watch = Watch(self.shared, pv)
        channel.add_masked_array_event(None, None, None, watch)
        channel.flush_io()
        self.expect(lambda: watch.count, f"the first update of {pv.name}")
        self.shared.victims.append(channel)

    def do_clear_in_a_callback(self) -> None:
        """Its own channel, and one of somebody else, who is told by an exception at most."""
        pv = self.random.choice(self.own)
        channel = self.open(pv)
        done: list[Any] = []

        def clear(args: Any, user_args: Any) -> None:
            try:
                if not done:
                    self.clear_a_victim()
                    channel.clear_channel()
                done.append(1)
            except BaseException as error:
                self.shared.failed(error)

        channel.add_masked_array_event(None, None, None, clear)
        channel.flush_io()
        self.expect(lambda: done, f"the first update of {pv.name}")
        with contextlib.suppress(CaChannelException):
            channel.getw()
            raise Wrong(f"{pv.name} was cleared, and can be read")

    def clear_a_victim(self) -> None:
        with contextlib.suppress(IndexError, CaChannelException):
            self.shared.victims.pop(0).clear_channel()

    def do_use_a_victim(self) -> None:
        """What others clear meanwhile."""
        channel, pv = self.mine()
        self.shared.victims.append(channel)
        self.kept = [(kept, its) for kept, its in self.kept if kept is not channel]
        for _ in range(5):
            value = pv.next()
            try:
                channel.putw(value)
                pv.check(channel.getw(), value)
            except CaChannelException as error:
                if error.status not in (ca.ECA_BADCHID, ca.ECA_CHANDESTROY):
                    raise
                # What was written is still on its way. A later write through another circuit must not overtake it.
                with self.open(pv) as other:
                    other.getw()
                return

    def do_clear_victims(self) -> None:
        for _ in range(self.random.randrange(10)):
            self.clear_a_victim()

    def do_group(self) -> None:
        pvs = [pv for pv in self.own if self.random.random() < 0.7]
        with ChannelGroup([pv.name for pv in pvs], PATIENCE) as group:
            group.connect()
            for _ in range(3):
                values = [pv.next() for pv in pvs]
                group.put(values, wait=self.random.random() < 0.5)
                for pv, least, value in zip(pvs, values, group.get().tolist()):
                    pv.check(value, least)

    def do_chids(self) -> None:
        """The same with module ca, and a group of libca's kind."""
        pv = self.random.choice(self.own)
        status, chid = ca.create_channel(pv.name)
        status, gid = ca.sg_create()
        if chid is None or gid is None or ca.pend_io(PATIENCE) != ca.ECA_NORMAL:
            raise Wrong(f"{pv.name} did not connect")
        value = pv.next()
        ca.sg_put(gid, chid, value)
        status, read = ca.sg_get(gid, chid)
        status = ca.sg_block(gid, PATIENCE)
        if status != ca.ECA_NORMAL or read is None:
            raise Wrong(f"{pv.name}: {status!s}")
        pv.check(read.get(), value)
        ca.sg_delete(gid)
        ca.get(chid, callback=lambda args: None)  # in flight as the channel goes
        if self.random.random() < 0.5:
            ca.clear_channel(chid)

    def do_drop(self) -> None:
        self.random.shuffle(self.kept)
        del self.kept[self.random.randrange(len(self.kept) + 1) :]
        if self.random.random() < 0.05:
            gc.collect()

    def do_search_again(self) -> None:
        """Another PV with the same object, with requests in flight."""
        channel = self.open(self.random.choice(self.own))
        channel.array_get_callback(None, None, lambda args, user_args: None)
        for pv in self.random.sample(self.own, 2):
            channel.search(pv.name)
        channel.pend_io(PATIENCE)
        value = pv.next()
        channel.putw(value)
        pv.check(channel.getw(), value)

    def do_end_the_context(self) -> None:
        if self.context == "shared" or self.random.random() < 0.8:
            return
        channel, pv = self.mine()
        channel.array_get_callback(None, None, lambda args, user_args: None)
        ca.destroy_context()
        try:
            channel.getw()
        except CaChannelException as error:
            if error.status not in (ca.ECA_BADCHID, ca.ECA_NOCACTX):
                raise
        else:
            raise Wrong(f"{pv.name} can be read though its context is gone")
        self.kept.clear()
        self.enter()


def storm(seconds: float, seed: int, names: list[str], threads: int = THREADS) -> dict[str, int]:
    """Runs the storm over PVs of type DOUBLE (:data:`OWN` for each thread); gives how often what was done.

    :raises Wrong: with the seed, and what was wrong.
    """
    pvs = [Pv(name, place + 1) for place, name in enumerate(names[: threads * OWN])]
    if len(pvs) < threads * OWN:
        raise ValueError(f"{threads * OWN} PVs are needed")
    with ChannelGroup([pv.name for pv in pvs], PATIENCE) as group:
        group.connect()
        group.put([pv.first for pv in pvs], wait=True)
    shared = Shared(pvs, seed, time.monotonic() + seconds)
    workers = [Worker(shared, number) for number in range(threads)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers) and not shared.failures:
        shared.over.wait(0.1)
        for worker in workers:
            if worker.is_alive() and worker.doing != "nothing" and time.monotonic() - worker.since > 3 * PATIENCE:
                faulthandler.dump_traceback(all_threads=True)
                shared.failed(Wrong(f"{worker.name} hangs in {worker.doing}"))
    for worker in workers:
        worker.join(1 if shared.failures else PATIENCE)
    while shared.victims:
        shared.victims.pop().clear_channel()
    if shared.failures:
        raise Wrong(f"seed {seed}: {shared.failures[0]!r}") from shared.failures[0]
    return dict(sorted(shared.counts.items()))


if __name__ == "__main__":
    duration = float(sys.argv[1])
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbelow(1 << 32)
    prefix = f"s{secrets.token_hex(4)}:"
    with Ioc(prefix, PORT, limit=int(duration) + 300) as ioc:
        many = [f"{prefix}many{tens}_{ones}" for tens in range(BUNCHES) for ones in range(10)]
        print(f"seed {chosen}", flush=True)
        print(*(f"{what}: {count}" for what, count in storm(duration, chosen, many).items()), sep="\n")
