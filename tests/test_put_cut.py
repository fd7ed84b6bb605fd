"""Values with more elements than the PV holds: cut with a warning by the calls of the manual, refused by others."""

from __future__ import annotations

import itertools
import logging
import time
from typing import Any

import numpy as np
import pytest
from cachannel import CaChannel, CaChannelException, CaChannelTypeError, CaChannelValueError, ChannelGroup, ca, epicsPV
from cachannel.util import caput
from helpers import Connect, MakeChannel, RunScript, assert_quiet, read, write
from server_process import wait_for


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "cachannel"]


def text_of(name: str, given: int, held: int) -> str:
    return (
        f"{name}: {given} elements were given, and the PV holds {held}: those after the first {held} were not written"
    )


VALUES = [
    ("wfDOUBLE", list(range(7)), 7, [0, 1, 2, 3, 4]),
    ("wfDOUBLE", range(8), 8, [0, 1, 2, 3, 4]),
    ("wfDOUBLE", np.arange(9.0), 9, [0, 1, 2, 3, 4]),
    ("wfDOUBLE", np.arange(12).reshape(3, 4)[::-1], 12, [8, 9, 10, 11, 4]),
    ("wfLONG", np.arange(6.0), 6, [0, 1, 2, 3, 4]),
    ("wfSTRING", list("abcdef"), 6, list("abcde")),
    ("wfSTRING", np.array(list("abcdef")), 6, list("abcde")),
    ("wfCHAR", "abcdefg", 7, [97, 98, 99, 100, 101]),
    ("wfCHAR", b"abcdefg", 7, [97, 98, 99, 100, 101]),
    ("wfCHAR", "ééé", 6, [*"ééé".encode()[:5]]),
    ("oneLONG", [5, 6], 2, 5),
    ("castr", ["one", "two"], 2, "one"),
]


@pytest.mark.parametrize(("name", "value", "given", "written"), VALUES)
def test_every_call_of_the_manual_cuts_and_warns(
    make_channel: MakeChannel,
    prefix: str,
    caplog: pytest.LogCaptureFixture,
    name: str,
    value: Any,
    given: int,
    written: Any,
) -> None:
    channel = make_channel(name)
    pv = epicsPV.epicsPV(prefix + name)
    _, gid = ca.sg_create()
    done: list[Any] = []

    def group() -> None:
        assert ca.sg_put(gid, channel._chid, value) is ca.ECA.NORMAL
        assert ca.sg_block(gid, 10) is ca.ECA.NORMAL

    calls = [
        lambda: channel.putw(value),
        lambda: channel.array_put(value),
        lambda: channel.array_put(value, None, channel.element_count()),
        lambda: channel.array_put_callback(value, None, None, lambda args, _: done.append(args["status"])),
        lambda: ca.put(channel._chid, value),
        lambda: pv.putWait(value),
        lambda: caput(prefix + name, value),
        lambda: caput(prefix + name, value, wait=True),
        group,
    ]
    channel.pend_event(1.1)  # what was cut before is told
    for number, call in enumerate(calls):
        channel.putw("x" if "STR" in name or name == "castr" else 1)
        caplog.clear()
        call()
        told = warnings_in(caplog)
        # All warnings have the same text, and are told as one.
        assert told == ([text_of(prefix + name, given, channel.element_count())] if number == 0 else [])
        assert channel.getw() == written
    wait_for(lambda: done == [ca.ECA_NORMAL])
    ca.sg_delete(gid)
    wait_for(lambda: warnings_in(caplog), 5, "the rest of the warnings")
    assert warnings_in(caplog) == [
        f"{text_of(prefix + name, given, channel.element_count())} (and {len(calls) - 1} times more within a second)"
    ]


@pytest.mark.parametrize(
    ("name", "value", "count"),
    [
        ("wfDOUBLE", [1, 2, 3, 4, 5], None),
        ("wfDOUBLE", np.arange(5.0), 5),
        # Asked for, and so no news.
        ("wfDOUBLE", list(range(9)), 3),
        ("wfCHAR", "abcdef", 2),
        # The NUL at the end of a text is none of its elements.
        ("wfCHAR", "abcde", None),
        ("wfCHAR", "abcde\0\0\0", None),
        ("wfCHAR", b"abcd\0\0\0", 5),
        ("wfSTRING", "one", None),
    ],
)
def test_what_is_not_cut_is_not_told(
    connect: Connect, caplog: pytest.LogCaptureFixture, name: str, value: Any, count: int | None
) -> None:
    write(connect(name), value, None, count)
    assert warnings_in(caplog) == []


def test_what_is_not_sent_is_not_told(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    assert ca.put(connect("readonly"), [1, 2]) is ca.ECA.NOWTACCESS
    with pytest.raises(CaChannelValueError):
        ca.put(connect("oneLONG"), [2**40, 2])
    assert warnings_in(caplog) == []


def test_a_flood_of_cuts(make_channel: MakeChannel, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    """One line at once, and one a second."""
    channel = make_channel("wfFLOAT")
    began = time.monotonic()
    number = 0
    while time.monotonic() - began < 2.5:
        channel.array_put([1, 2, 3, 4, 5, 6])
        number += 1
    channel.flush_io()
    text = text_of(f"{prefix}wfFLOAT", 6, 5)

    def counted() -> int:
        told = warnings_in(caplog)
        assert told[0] == text
        return 1 + sum(int(line.removeprefix(f"{text} (and ").split()[0]) for line in told[1:])

    wait_for(lambda: counted() == number, 5, "all of them are counted")
    assert len(warnings_in(caplog)) <= 4
    assert {record.levelno for record in caplog.records if record.name == "cachannel"} == {logging.WARNING}


def test_different_cuts_are_told_apart(
    make_channel: MakeChannel, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    channel = make_channel("wfLONG")
    for given in (10, 11, 12):
        channel.array_put([1] * given)
    assert warnings_in(caplog) == [text_of(f"{prefix}wfLONG", given, 5) for given in (10, 11, 12)]


def test_the_end_of_the_program_tells_what_has_gathered(run_script: RunScript) -> None:
    result = run_script(
        """
        import logging
        logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
        channel = CaChannel(P + "wfSHORT")
        channel.searchw()
        for _ in range(100):
            channel.array_put([1] * 6)
        channel.flush_io()
        began = time.monotonic()
        import atexit
        atexit.register(lambda: print("first", flush=True))
        """
    )
    lines = result.stdout.splitlines()
    assert (result.returncode, result.stderr, len(lines)) == (0, "", 3), (lines, result.stderr)
    assert lines[0].startswith("WARNING cachannel ")
    assert lines[0].endswith(
        "wfSHORT: 6 elements were given, and the PV holds 5: those after the first 5 were not written"
    )
    assert lines[2] == f"{lines[0]} (and 99 times more within a second)"


def test_a_child_after_fork_tells_its_own(run_script: RunScript) -> None:
    result = run_script(
        """
        import logging, os, warnings
        warnings.simplefilter("ignore")
        logging.basicConfig(stream=sys.stdout, format="%(process)d %(message)s")
        channel = CaChannel(P + "wfSHORT")
        channel.searchw()
        for _ in range(10):
            channel.array_put([1] * 6)
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            channel = CaChannel(P + "wfSHORT")
            channel.searchw()
            for _ in range(3):
                channel.array_put([1] * 6)
            channel.flush_io()
            sys.exit()
        os.waitpid(child, 0)
        print(child, os.getpid())
        """
    )
    assert (result.returncode, result.stderr) == (0, ""), result
    counts: dict[str, list[int]] = {}
    for line in result.stdout.splitlines():
        process, _, text = line.partition(" ")
        if text.isdigit():
            child, parent = process, text
        elif "were given" in text:  # libca warns of the fork, too
            counts.setdefault(process, []).append(int(text.partition("(and ")[2].partition(" ")[0] or 1))
    assert counts == {child: [1, 2], parent: [1, 9]}


def test_no_thread_is_left(run_script: RunScript) -> None:
    result = run_script(
        """
        import contextlib, logging, os
        logging.disable()
        channel = CaChannel(P + "wfSHORT")
        channel.searchw()
        channel.putw(1)
        def threads():
            names = []
            for task in os.listdir("/proc/self/task"):
                with contextlib.suppress(FileNotFoundError):
                    names.append(open(f"/proc/self/task/{task}/comm").read().strip())
            return sorted(names)
        before = threads()
        channel.array_put([1] * 6)
        assert threads() == before, threads()
        channel.array_put([1] * 6)
        wait_for(lambda: "cachannel log" in threads(), 10)
        wait_for(lambda: threads() == before, 10)
        print("gone")
        """
    )
    assert_quiet(result, "gone\n")


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, value, *_ in VALUES] + [("wfCHAR", np.arange(6, dtype="u1"))],
)
def test_a_group_refuses(
    prefix: str, make_channel: MakeChannel, caplog: pytest.LogCaptureFixture, name: str, value: Any
) -> None:
    channel = make_channel(name)
    channel.putw("x" if "STR" in name or name == "castr" else 1)
    before = channel.getw()
    with ChannelGroup([prefix + name, prefix + "plain"]) as group:
        group[1].putw(7)
        with pytest.raises(CaChannelValueError, match=r"were given, and the PV holds \d") as caught:
            group.put([value, 8])
        assert (caught.value.status, caught.value.pvname) == (ca.ECA_BADCOUNT, prefix + name)
        assert (channel.getw(), group[1].getw()) == (before, 7)
        group.put([channel.getw(), 8], wait=True)
        assert (channel.getw(), group[1].getw()) == (before, 8)
    assert warnings_in(caplog) == []


def test_a_group_empties_an_array(prefix: str, make_channel: MakeChannel) -> None:
    number = make_channel("wfLONG.NORD")
    with ChannelGroup([prefix + "wfLONG", prefix + "plain"]) as group:
        for wait in (True, False):
            group.put([[1, 2], 1], wait=True)
            assert number.getw() == 2
            group.put([[], 1], wait=wait)
            assert number.getw() == 0
        with pytest.raises(CaChannelValueError, match="empty") as caught:
            group.put([[1, 2], []])
        assert caught.value.status == ca.ECA_BADCOUNT


class Endless:
    """A sequence that does not end, whatever it says."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.asked = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> int:
        self.asked += 1
        return index % 100


@pytest.mark.parametrize("name", ["catest", "wfDOUBLE", "wfLONG", "wfSTRING", "wfCHAR"])
@pytest.mark.parametrize("length", [3, 10**12])
def test_a_sequence_without_an_end(make_channel: MakeChannel, name: str, length: int) -> None:
    channel = make_channel(name)
    endless = Endless(length)
    began = time.monotonic()
    channel.putw(endless)
    assert time.monotonic() - began < 1
    assert endless.asked <= 5
    sent = min(length, channel.element_count())
    values = [str(number) if name == "wfSTRING" else number for number in range(sent)]
    now = channel.getw()
    assert (now[:sent] if isinstance(now, list) else [now]) == values


@pytest.mark.parametrize("name", ["catest", "wfDOUBLE", "castr", "wfCHAR", "cabo"])
def test_large_and_endless_values_are_answered_at_once(make_channel: MakeChannel, prefix: str, name: str) -> None:
    channel = make_channel(name)
    began = time.monotonic()
    channel.putw(range(10**12))
    channel.putw(np.broadcast_to(np.float64(1), (10**6, 10**6)))
    channel.putw(np.broadcast_to(np.array("1"), (10**6, 10**6)))
    with pytest.raises(CaChannelValueError) as caught:
        channel.putw(range(10**30))
    assert isinstance(caught.value.__cause__, OverflowError)
    for value in (itertools.count(), (number for number in itertools.count()), iter([1, 2])):
        with pytest.raises(CaChannelTypeError):
            channel.putw(value)
    with ChannelGroup([prefix + name, prefix + "plain"]) as group:
        for wrong in (range(10**12), Endless(2), itertools.count()):
            with pytest.raises(CaChannelException):
                group.put(wrong)
    caput([prefix + "plain", prefix + "other"], Endless(2))
    with pytest.raises(CaChannelValueError):
        caput([prefix + "plain", prefix + "other"], Endless(10**12))
    assert time.monotonic() - began < 5


def test_an_index_without_an_end_or_a_length(make_channel: MakeChannel) -> None:
    class Indexed:
        def __getitem__(self, index: int) -> int:
            return index

    with pytest.raises(CaChannelTypeError):
        make_channel("wfDOUBLE").putw(Indexed())


@pytest.mark.parametrize("name", ["castr", "wfSTRING"])
@pytest.mark.parametrize("value", [memoryview(b"12"), memoryview(np.arange(3.0))])
def test_a_memoryview_is_no_text(make_channel: MakeChannel, name: str, value: Any) -> None:
    channel = make_channel(name)
    channel.putw("before")
    before = channel.getw()
    with pytest.raises(CaChannelTypeError):
        channel.putw(value)
    with pytest.raises(CaChannelTypeError):
        CaChannel.array_put(channel, value, ca.DBR_STRING)
    assert channel.getw() == before


def test_a_value_of_the_whole_size_is_written(connect: Connect) -> None:
    chid = connect("text")
    write(chid, "x" * 2000)
    assert bytes(read(chid, None, 0, use_numpy=True)) == b"x" * 2000


def test_each_second_ends_for_itself(make_channel: MakeChannel, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    """The second of a text ends while the end of a later one is waited for."""
    channel = make_channel("wfUSHORT")
    began = time.monotonic()
    channel.array_put([1] * 21)
    time.sleep(0.5)
    channel.array_put([1] * 22)
    channel.array_put([1] * 22)
    time.sleep(0.2)
    channel.array_put([1] * 21)
    first, last = (f"{text_of(f'{prefix}wfUSHORT', given, 5)} (and 1 time more within a second)" for given in (21, 22))
    wait_for(lambda: first in warnings_in(caplog), 5)
    assert time.monotonic() - began < 1.3
    wait_for(lambda: last in warnings_in(caplog), 5)


def test_what_the_log_raises_is_no_error_of_the_write(run_script: RunScript) -> None:
    """Ctrl-C in the log ends the call; the callback comes all the same, though nothing else refers to the channel."""
    result = run_script(
        """
        import gc
        raised = []
        class Handler(logging.Handler):
            def emit(self, record):
                raise self.error
        handler = Handler()
        logging.getLogger("cachannel").addHandler(handler)
        sys.unraisablehook = lambda args: raised.append(args.exc_type)
        done = []
        def write(given):
            channel = CaChannel(P + "wfSHORT")
            channel.searchw()
            handler.error = ValueError("full")
            channel.array_put([1] * given)
            print(raised)
            handler.error = KeyboardInterrupt()
            try:
                channel.array_put_callback([2] * (given + 1), None, None, lambda args, _: done.append(args["status"]))
            except KeyboardInterrupt:
                print("interrupted")
            channel.flush_io()
        write(30)
        gc.collect()
        wait_for(lambda: done, 5)
        print(done)
        """
    )
    assert_quiet(result, "[<class 'ValueError'>]\ninterrupted\n[<ECA.NORMAL: 1>]\n")
