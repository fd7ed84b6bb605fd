"""Recorder: the updates of many PVs in memory, in order of arrival, and nothing lost unnoticed."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
import weakref
from typing import Any

import numpy as np
import pytest
from cachannel import CaChannelException, CaChannelTypeError, CaChannelValueError, Recorder, ca
from helpers import Connect, RunScript, assert_quiet, read, write
from ioc import Ioc
from server_process import wait_for

DTYPE = np.dtype(
    [("channel", "i8"), ("time", "M8[ns]"), ("value", "f8"), ("severity", "i4"), ("status", "i4")],
)
LONG = 40.0


def test_contents_and_order(connect: Connect, prefix: str) -> None:
    count, plain = connect("count"), connect("plain")
    write(count, -1)
    write(plain, -1.5)
    names = [prefix + "count", prefix + "plain"]
    with Recorder(names) as recorder:
        first = recorder.read(10, 2)
        assert sorted(first["channel"]) == [0, 1]
        before = np.datetime64(time.time_ns(), "ns")
        for number in range(50):
            write(count, number)
            write(plain, number + 0.25)
        after = np.datetime64(time.time_ns(), "ns")
        rows = recorder.read(10, 100)
        assert rows.dtype == DTYPE
        assert rows.flags.writeable
        assert rows["channel"].tolist() == [0, 1] * 50
        assert rows["value"].tolist() == [value for number in range(50) for value in (number, number + 0.25)]
        assert set(rows["severity"]) == set(rows["status"]) == {0}
        assert (np.diff(rows["time"]) >= np.timedelta64(0, "ns")).all()
        # The IOC's clock is this computer's.
        slack = np.timedelta64(1, "s")
        assert before - slack <= rows["time"][0] <= rows["time"][-1] <= after + slack
        assert recorder.names == tuple(names)
        assert len(recorder) == 2
        assert recorder.capacity == 1_000_000
        assert recorder.connected.tolist() == [True, True]
        assert recorder.dropped.tolist() == [0, 0]
        assert recorder.dropped.dtype == np.int64
        assert repr(recorder) == "<Recorder of 2 PVs recording, 0 to read>"
    assert repr(recorder) == "<Recorder of 2 PVs stopped, 0 to read>"


def test_the_time_is_the_servers_stamp(connect: Connect, prefix: str) -> None:
    chid = connect("count")
    write(chid, 3)
    stamp = read(chid, ca.DBR_TIME_LONG)["stamp"]
    with Recorder(prefix + "count") as recorder:
        (row,) = recorder.read(10)
    assert row["time"].astype(int) == stamp["seconds"] * 1_000_000_000 + stamp["nanoseconds"]


def test_a_record_that_was_never_processed_has_no_time(prefix: str) -> None:
    with Recorder(prefix + "unprocessed") as recorder:
        row = recorder.read(10)[0]
    assert np.isnat(row["time"])
    assert (row["value"], row["status"]) == (0.0, ca.AlarmCondition.UDF)


def test_severity_and_status(connect: Connect, prefix: str) -> None:
    chid = connect("catest")
    field = {name: connect(f"catest.{name}") for name in ("HIHI", "HHSV")}
    before = {name: read(one) for name, one in field.items()}
    write(chid, 0)
    write(field["HIHI"], 50.0)
    write(field["HHSV"], 2)
    try:
        with Recorder(prefix + "catest") as recorder:
            recorder.read(10)
            write(chid, 60)
            (row,) = recorder.read(10)
            assert (row["value"], row["severity"], row["status"]) == (
                60,
                ca.AlarmSeverity.Major,
                ca.AlarmCondition.HiHi,
            )
    finally:
        for name, one in field.items():
            write(one, before[name])
        write(chid, 0)


def test_the_mask(connect: Connect, prefix: str) -> None:
    chid = connect("count")
    write(chid, 0)
    with Recorder(prefix + "count", ca.DBE_ALARM) as alarms, Recorder(prefix + "count", ca.DBE_VALUE) as values:
        assert len(alarms.read(10)) == len(values.read(10)) == 1
        write(chid, 1)
        assert values.read(10)["value"].tolist() == [1]
        assert len(alarms.read(0)) == 0
    for mask in (0, 1 << 10):
        with pytest.raises(CaChannelException) as caught:
            Recorder("x", mask)
        assert caught.value.status is ca.ECA.BADMASK


def test_every_numeric_scalar(connect: Connect, prefix: str) -> None:
    names = ["states", "cabo", "count", "catest", "oneCHAR", "oneFLOAT", "catest.PREC"]
    chids = [connect(name) for name in names]
    write(chids[0], 2)
    with Recorder([prefix + name for name in names]) as recorder:
        rows = recorder.read(10, len(names))
        by_channel = {int(row["channel"]): row["value"] for row in rows}
        assert by_channel == {number: float(read(chid)) for number, chid in enumerate(chids)}
        write(chids[0], 1)
        assert recorder.read(10)["value"].tolist() == [1]


def test_the_same_pv_twice(connect: Connect, prefix: str) -> None:
    write(connect("count"), 4)
    with Recorder([prefix + "count", (prefix + "count").encode()]) as recorder:
        rows = recorder.read(10, 2)
        assert sorted(rows["channel"]) == [0, 1]
        assert rows["value"].tolist() == [4, 4]


def test_disconnects_are_rows_and_it_goes_on(own_ioc: Ioc) -> None:
    names = [own_ioc.prefix + "calong", own_ioc.prefix + "cacalc"]
    with Recorder(names) as recorder:
        recorder.read(10, 2)
        before = np.datetime64(time.time_ns(), "ns")
        own_ioc.kill()
        wait_for(lambda: not recorder.connected.any())
        after = np.datetime64(time.time_ns(), "ns")
        rows = recorder.read(0)
        lost = rows[-2:]
        assert sorted(lost["channel"]) == [0, 1]
        assert np.isnan(lost["value"]).all()
        assert set(lost["severity"]) == {3}
        assert set(lost["status"]) == {Recorder.DISCONNECTED} == {int(ca.ECA_DISCONN)}
        assert (before <= lost["time"]).all()
        assert (lost["time"] <= after).all()
        assert not np.isnan(rows["value"][:-2]).any()

        own_ioc.start()
        wait_for(lambda: recorder.connected.all(), LONG, "it connects again")
        seen: set[int] = set()
        while seen != {0, 1}:
            rows = recorder.read(LONG)
            assert len(rows)
            assert not np.isnan(rows["value"]).any()
            seen.update(int(channel) for channel in rows["channel"])


def test_a_pv_that_joins_late(own_ioc: Ioc, caplog: pytest.LogCaptureFixture) -> None:
    own_ioc.stop()
    names = [own_ioc.prefix + name for name in ("calong", "castr", "cawave")]
    recorder = Recorder(names)
    began = time.monotonic()
    recorder.start(timeout=0, throw=False)
    assert time.monotonic() - began < 1
    assert not recorder.connected.any()
    assert len(recorder.read(0)) == 0
    with recorder:  # which does not start it again
        own_ioc.start()
        rows = recorder.read(LONG)
        assert rows["channel"].tolist() == [0]
        wait_for(lambda: len(caplog.records) == 2, LONG)
        assert recorder.connected.tolist() == [True, False, False]
        texts = sorted(record.getMessage() for record in caplog.records)
        assert texts == [
            f"{names[1]} is not recorded: it is a STRING, and only numbers are recorded",
            f"{names[2]} is not recorded: it has 5 elements, and only single numbers are recorded",
        ]
        assert {(record.name, record.levelno) for record in caplog.records} == {("cachannel", logging.WARNING)}


@pytest.mark.parametrize(
    ("record", "status", "text"),
    [
        ("castr", ca.ECA.BADTYPE, "it is a STRING, and only numbers are recorded"),
        ("cawave", ca.ECA.BADCOUNT, "it has 5 elements, and only single numbers are recorded"),
        ("catest.DESC", ca.ECA.BADTYPE, "it is a STRING"),
    ],
)
def test_what_is_no_number_raises_with_its_name(prefix: str, record: str, status: ca.ECA, text: str) -> None:
    recorder = Recorder([prefix + "catest", prefix + record, prefix + "count"])
    with pytest.raises(CaChannelException, match=text) as caught, recorder:
        pass
    assert caught.value.pvname == prefix + record
    assert caught.value.status is status
    assert prefix + record in str(caught.value)
    assert not recorder.connected.any()
    # Then the recorder is as it was before the start.
    assert len(recorder.read(5)) == 0


def test_several_that_are_no_number(prefix: str) -> None:
    names = [prefix + "castr", prefix + "cawave", prefix + "note"]
    with pytest.raises(CaChannelException) as caught:
        Recorder(names).start()
    assert all(name in str(caught.value) for name in names)


def test_unknown_pvs_raise_with_their_names(prefix: str) -> None:
    with pytest.raises(CaChannelException) as caught:
        Recorder([prefix + "catest", "no-such-pv"]).start(timeout=0.3)
    assert (caught.value.status, caught.value.pvname) == (ca.ECA.TIMEOUT, "no-such-pv")
    many = [f"no-such-pv{number}" for number in range(20)]
    with pytest.raises(CaChannelException, match="20 PVs did not connect") as caught:
        Recorder(many).start(timeout=0.1)
    assert caught.value.pvname == "no-such-pv0"
    assert many[9] in str(caught.value)
    assert many[10] not in str(caught.value)
    # The thread's own waits are not affected.
    assert ca.pend_io(5) is ca.ECA.NORMAL


def test_the_class_has_the_default_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    from cachannel import CaChannel

    monkeypatch.setattr(CaChannel, "ca_timeout", 0.1)
    began = time.monotonic()
    with pytest.raises(CaChannelException, match="no-such-pv"):
        Recorder(["no-such-pv"]).start()
    assert time.monotonic() - began < 5


def test_arguments_that_do_not_do(prefix: str) -> None:
    for wrong in ([], (), iter("")):
        with pytest.raises(CaChannelValueError):
            Recorder(wrong)
    for wrong_names in (5, [5], [None]):
        with pytest.raises((CaChannelTypeError, TypeError)):
            Recorder(wrong_names)  # type: ignore[arg-type]
    for capacity in (0, -1):
        with pytest.raises(CaChannelValueError):
            Recorder("x", capacity=capacity)
    with pytest.raises(CaChannelException) as caught:
        Recorder(["x", ""]).start()
    assert caught.value.status is ca.ECA.BADSTR
    recorder = Recorder("x", capacity=10)
    for least in (-1, 11):
        with pytest.raises(CaChannelValueError):
            recorder.read(0, least)
    for timeout in (-1, float("nan")):
        with pytest.raises(CaChannelValueError):
            recorder.read(timeout)
        with pytest.raises(CaChannelValueError):
            recorder.start(timeout)


def test_the_oldest_are_overwritten_and_counted(connect: Connect, prefix: str) -> None:
    count, plain = connect("count"), connect("plain")
    write(count, 0)
    write(plain, -1)
    with Recorder([prefix + "count", prefix + "plain"], capacity=10) as recorder:
        wait_for(lambda: recorder.pending == 2)
        for number in range(1, 15):
            write(count, number)
        rows = recorder.read(10, 10)
        # Two first values and fourteen updates, of which ten are kept.
        assert rows["value"].tolist() == [*range(5, 15)]
        assert set(rows["channel"]) == {0}
        assert recorder.dropped.tolist() == [5, 1]
        write(count, 15)
        assert recorder.read(10)["value"].tolist() == [15]
        for number in range(16, 26):
            write(count, number)
        assert recorder.read(10, 10)["value"].tolist() == [*range(16, 26)]
        assert recorder.dropped.tolist() == [5, 1]


def test_read_waits_for_as_many_as_are_asked_for(connect: Connect, prefix: str) -> None:
    chid = connect("count")
    write(chid, 0)
    with Recorder(prefix + "count") as recorder:
        wait_for(lambda: recorder.pending == 1)
        began = time.monotonic()
        rows = recorder.read(0.2, 2)
        assert 0.15 < time.monotonic() - began < 5
        assert rows["value"].tolist() == [0]
        began = time.monotonic()
        assert recorder.read(0).shape == (0,)
        assert recorder.read(0, 5).dtype == DTYPE
        assert recorder.read(None, 0).shape == (0,)
        assert time.monotonic() - began < 0.15

        got: list[Any] = []
        reader = threading.Thread(target=lambda: got.append(recorder.read(None, 3)))
        reader.start()
        for number in range(1, 4):
            assert not got
            write(chid, number)
        reader.join(10)
        assert got[0]["value"].tolist() == [1, 2, 3]


def test_the_array_is_the_callers_own(connect: Connect, prefix: str) -> None:
    chid = connect("count")
    write(chid, 1)
    with Recorder(prefix + "count") as recorder:
        one = recorder.read(10)
        write(chid, 2)
        two = recorder.read(10)
        one["value"] = 100
    reference = weakref.ref(recorder)
    del recorder
    gc.collect()
    assert reference() is None
    assert (one["value"].tolist(), two["value"].tolist()) == ([100], [2])
    # Not a copy: numpy holds on to the memory of whoever recorded it.
    assert one.base is not None
    assert not one.flags.owndata


def test_a_loop_goes_on_until_it_is_stopped(prefix: str) -> None:
    recorder = Recorder([f"{prefix}fast{number}" for number in range(20)])
    recorder.start()
    batches: list[Any] = []
    ended = threading.Event()

    def loop() -> None:
        batches.extend(recorder)
        ended.set()

    threading.Thread(target=loop, daemon=True).start()
    wait_for(lambda: sum(map(len, batches)) > 60)
    assert not ended.is_set()
    recorder.stop()
    assert ended.wait(10)
    rows = np.concatenate(batches)
    assert min(map(len, batches)) > 0
    for number in range(20):
        values = rows["value"][rows["channel"] == number]
        assert (np.diff(values) == 1).all()
    assert list(recorder) == []
    assert len(recorder.read()) == 0  # returns at once


def test_a_last_read_gives_the_rest(connect: Connect, prefix: str) -> None:
    chid = connect("count")
    write(chid, 1)
    with Recorder(prefix + "count") as recorder:
        write(chid, 2)
        wait_for(lambda: recorder.pending == 2)
    write(chid, 3)
    assert recorder.pending == 2
    assert recorder.read(None, 10)["value"].tolist() == [1, 2]
    recorder.stop()
    # And anew:
    write(chid, 4)
    with recorder:
        assert recorder.read(10)["value"].tolist() == [4]
        write(chid, 5)
        assert recorder.read(10)["value"].tolist() == [5]
        wait_for(lambda: recorder.pending == 0)
    assert [batch["value"].tolist() for batch in recorder] == []


def test_a_recorder_that_was_not_started_has_nothing(prefix: str) -> None:
    recorder = Recorder(prefix + "count")
    assert len(recorder.read()) == 0
    assert list(recorder) == []
    assert repr(recorder) == f"<Recorder of '{prefix}count' stopped, 0 to read>".replace("'", '"')
    recorder.stop()


def test_two_readers_share_the_updates(prefix: str) -> None:
    names = [f"{prefix}fast{number}" for number in range(20)]
    parts: list[list[Any]] = [[], []]
    with Recorder(names) as recorder:

        def work(mine: list[Any]) -> None:
            while not stopped.is_set():
                mine.append(recorder.read(0.05))

        stopped = threading.Event()
        readers = [threading.Thread(target=work, args=(part,)) for part in parts]
        for reader in readers:
            reader.start()
        wait_for(lambda: sum(map(len, parts[0] + parts[1])) > 100)
        stopped.set()
        for reader in readers:
            reader.join(10)
        parts[0].append(recorder.read(0))
    rows = np.concatenate(parts[0] + parts[1])
    for number in range(20):
        values = np.sort(rows["value"][rows["channel"] == number])
        assert len(values)
        assert (np.diff(values) == 1).all()


def test_a_stop_ends_a_start(prefix: str) -> None:
    recorder = Recorder(["no-such-pv"])
    started = threading.Event()

    def start() -> None:
        recorder.start(timeout=30)
        started.set()

    threading.Thread(target=start, daemon=True).start()
    wait_for(lambda: "recording" in repr(recorder))
    recorder.stop()
    assert started.wait(5)
    assert len(recorder.read()) == 0


def test_it_can_be_used_in_callbacks(connect: Connect, prefix: str) -> None:
    got: list[Any] = []

    def callback(args: Any) -> None:
        with Recorder(prefix + "calong") as recorder:
            got.append(recorder.read(10))

    assert ca.get(connect("count"), callback=callback)[0] == ca.ECA_NORMAL
    ca.flush_io()
    wait_for(lambda: got)
    assert len(got[0]) == 1


RECORD = """
    names = [P + f"fast{number}" for number in range(20)]
    recorder = cachannel.Recorder(names)
    recorder.start(10)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
@pytest.mark.parametrize(
    "wait",
    [
        "recorder.read(min_updates=100_000)",
        "recorder.read(20, 100_000)",
        "list(recorder)",
        "cachannel.Recorder('no-such-pv').start(20)",
    ],
)
def test_ctrl_c(run_script: RunScript, wait: str) -> None:
    result = run_script(
        RECORD
        + f"""
    pressed = []
    def press():
        wait_for(lambda: recorder.pending > 40 or "list" in {wait!r})
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)
    threading.Timer(0.3, press).start()
    try:
        {wait}
    except KeyboardInterrupt:
        took = time.monotonic() - pressed[0]
        # 0.2 s is promised; the rest is for a machine that is busy.
        print("interrupted" if took < 0.5 else f"only after {{took}} s")
    rows = recorder.read(10)
    print("list" in {wait!r} or len(rows) > 40)
    """
    )
    assert_quiet(result, "interrupted\nTrue\n")


@pytest.mark.parametrize(
    "end",
    [
        "",
        "recorder.read(10, 40)",
        "rows = recorder.read(10, 40)",
        "threading.Thread(target=recorder.read, args=(None, 100_000), daemon=True).start()",
        "threading.Thread(target=lambda: [len(batch) for batch in recorder], daemon=True).start()",
        "threading.Thread(target=lambda: [recorder.read()[0] for _ in range(10**9)], daemon=True).start()",
        "threading.Thread(target=cachannel.Recorder('no-such-pv').start, args=(20,), daemon=True).start()",
        "import builtins; builtins.kept = [recorder, recorder.read(10, 40)]",
        "del recorder",
        "recorder.stop()",
        "sys.exit(0)",
        "ca.destroy_context()",
        "late = cachannel.Recorder('no-such-pv'); late.start(0, throw=False)",
        "stop_server(connect('fast0'))",
        "stop_server(connect('fast0')); recorder.stop()",
        "stop_server(connect('fast0')); del recorder",
    ],
)
def test_exit_while_recording(run_script: RunScript, end: str) -> None:
    result = run_script(RECORD + f"    {end}\n")
    assert_quiet(result, "")
    # The start waits for the search, and an exit for 0.8 s at most of what hangs.
    assert result.seconds < 10


def test_after_the_context_is_destroyed(run_script: RunScript) -> None:
    result = run_script(
        RECORD
        + """
    ended = threading.Event()
    def loop():
        for batch in recorder:
            pass
        ended.set()
    threading.Thread(target=loop).start()
    ca.destroy_context()
    assert ended.wait(10)
    print(len(recorder.read()), recorder.connected.any())
    # In a new one.
    recorder.start(10)
    print(len(recorder.read(10, 40)) >= 40)
    recorder.stop()
    """
    )
    assert_quiet(result, "0 False\nTrue\n")


def test_in_a_context_that_is_not_preemptive(run_script: RunScript) -> None:
    result = run_script(
        """
        ca.create_context(False)
        with cachannel.Recorder(P + "fast0") as recorder:
            values = recorder.read(20, 5)["value"]
            print(values[4] - values[0])
        """
    )
    assert_quiet(result, "4.0\n")


def test_dropped_without_a_stop(run_script: RunScript) -> None:
    result = run_script(
        RECORD
        + """
    context = ca.current_context()
    status, extra = ca.create_channel(P + "fast0")
    assert ca.pend_io(10) == ca.ECA_NORMAL
    began = time.monotonic()
    del recorder
    print(time.monotonic() - began < 1, flush=True)
    # libca has forgotten the channels: it prints those that there are.
    import re
    def channels():
        read_end, write_end = os.pipe()
        saved = os.dup(1)
        os.dup2(write_end, 1)
        try:
            ca.show_context(None, 10)
        finally:
            os.dup2(saved, 1)
            os.close(write_end)
        with os.fdopen(read_end) as text:
            return set(re.findall(P + "fast[0-9]+", text.read()))
    wait_for(lambda: channels() == {P + "fast0"})
    print("gone")
    """
    )
    assert_quiet(result, "True\ngone\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_forked_child_has_no_recorder(run_script: RunScript) -> None:
    result = run_script(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        recorder = cachannel.Recorder([P + f"fast{number}" for number in range(20)])
        recorder.start(10)
        recorder.read(10, 40)
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            for call in (recorder.read, recorder.start, lambda: list(recorder), lambda: recorder.pending,
                         lambda: recorder.dropped, lambda: recorder.connected):
                try:
                    call()
                    print("no exception")
                except CaChannelException as error:
                    print(error.status)
            print(recorder, len(recorder))
            recorder.stop()
            del recorder
            sys.stdout.flush()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        print(len(recorder.read(10, 40)) >= 40)
        recorder.stop()
        """
    )
    said = "ECA.BADCHID\n" * 6 + "<Recorder of 20 PVs in another process> 20\nTrue\n"
    assert_quiet(result, said)


def test_memory_is_bounded_and_taken_as_needed(run_script: RunScript) -> None:
    result = run_script(
        """
        import resource
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        before = peak()
        # 32 TB, and nothing at all.
        large = cachannel.Recorder(P + "count", capacity=10**12)
        large.start(10)
        small = cachannel.Recorder(P + "count", capacity=1_000)
        small.start(10)
        chid = connect("count")
        number = 0
        while small.dropped[0] < 20_000:
            for _ in range(1000):
                number += 1
                ca.put(chid, number)
            read(chid)
        assert small.pending == 1_000
        kept = small.read()["value"]
        assert len(kept) == 1_000 and kept[-1] == large.read()["value"][-1], (kept[-1], number)
        used = peak() - before
        print("bounded" if used < 30e6 else used)
        """,
        timeout=60,
    )
    assert_quiet(result, "bounded\n")


def test_many_starts_and_stops(prefix: str) -> None:
    names = [f"{prefix}fast{number}" for number in range(20)]
    for _ in range(20):
        with Recorder(names) as recorder:
            assert len(recorder.read(10, 20)) >= 20
    threads = [threading.Thread(target=call) for call in (recorder.start, recorder.stop) * 10]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    recorder.stop()
    assert not recorder.connected.any()
