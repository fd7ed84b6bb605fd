"""Promise: memory is bounded; a slow callback loses the oldest updates, never the newest, and they are counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import RunScript, assert_quiet

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads resident memory there")

# A few seconds in all; the full counts are those of memory_loads.LOADS, for `make soak`.
COUNTS = {"gets": 20_000, "puts": 10_000, "events": 20_000, "channels": 10_000, "frames": 20, "contexts": 100}


def test_a_slow_callback_keeps_the_newest_and_counts_the_rest(run_script: RunScript) -> None:
    result = run_script(
        """
        chid, writer = connect("count"), connect("count")
        ca.put(writer, 0)
        values, release, held = [], threading.Event(), threading.Event()
        def callback(args):
            values.append(args["value"])
            held.set()
            release.wait(60)
        status, evid = ca.create_subscription(chid, callback)
        ca.flush_io()
        assert held.wait(10)
        assert ca.dropped(evid) == 0
        number = 0
        while ca.dropped(evid) < 1000:
            for _ in range(100):
                number += 1
                ca.put(writer, number)
            read(writer)  # libca goes on all the while
        release.set()
        wait_for(lambda: values[-1] == number, 30)
        ca.poll()
        assert values == sorted(values), "out of order"
        assert len(values) == len(set(values)), "twice"
        dropped = ca.dropped(evid)
        # The server may merge updates too, so not every value came here.
        assert dropped + len(values) <= number + 1, (dropped, len(values), number)
        # The oldest are the ones that went.
        assert values[1] > dropped, (values[1], dropped)
        print("kept the newest")
        """,
        timeout=60,
    )
    assert_quiet(result, "kept the newest\n")


def test_memory_is_bounded_by_bytes_too(run_script: RunScript) -> None:
    result = run_script(
        """
        import resource
        import numpy
        chid = connect("big")
        # 8 MB each, of which 2 GB come while the callback is held up.
        data = numpy.arange(1_000_000, dtype="f8")
        writer = connect("big")
        values, release, held = [], threading.Event(), threading.Event()
        def callback(args):
            values.append(float(args["value"][0]))
            held.set()
            release.wait(60)
        ca.put(writer, data)
        read(writer, None, 1)
        status, evid = ca.create_subscription(chid, callback, None, 0, use_numpy=True)
        ca.flush_io()
        assert held.wait(10)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        number = 0
        while ca.dropped(evid) < 20:
            number += 1
            data[0] = number
            ca.put(writer, data)
            read(writer, None, 1)
            assert number < 400
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert grown < 300, f"{grown} MB"
        release.set()
        wait_for(lambda: values[-1] == number, 30)
        assert values == sorted(values)
        print("bounded")
        """,
        timeout=60,
    )
    assert_quiet(result, "bounded\n")


def test_dropped_events_of_the_class(run_script: RunScript) -> None:
    result = run_script(
        """
        channel, writer = CaChannel(P + "count"), connect("count")
        channel.searchw()
        assert channel.dropped_events() == 0
        values, release, held = [], threading.Event(), threading.Event()
        def callback(args, user_args):
            values.append(args["pv_value"])
            held.set()
            release.wait(60)
        channel.add_masked_array_event(None, None, None, callback)
        channel.flush_io()
        assert held.wait(10)
        number = 0
        while channel.dropped_events() < 10:
            for _ in range(100):
                number += 1
                ca.put(writer, number)
            read(writer)
        assert channel.getw() == number
        release.set()
        wait_for(lambda: values[-1] == number, 30)
        print("ok")
        """,
        timeout=60,
    )
    assert_quiet(result, "ok\n")


@needs_proc
@pytest.mark.parametrize(("name", "count"), COUNTS.items(), ids=str)
def test_memory_levels_off(run_script: RunScript, name: str, count: int) -> None:
    result = run_script(
        f"""
        import memory_loads
        trend = memory_loads.run({name!r}, P, {count})
        assert trend.levels_off, trend
        print("levels off")
        """,
        timeout=60,
    )
    assert_quiet(result, "levels off\n")


@needs_proc
def test_a_leak_is_noticed(run_script: RunScript) -> None:
    result = run_script(
        """
        import memory_loads
        kept = []
        def leaky(prefix, count):
            for done in memory_loads.gets(prefix, count):
                kept.append([object() for _ in range(2000)])
                yield done
        memory_loads.LOADS["leaky"] = memory_loads.Kind(leaky, 1, memory_loads.LOADS["gets"].allowed)
        print(memory_loads.run("leaky", P, 20_000).levels_off)
        """
    )
    assert_quiet(result, "False\n")


@needs_proc
def test_a_callback_ten_times_too_slow_for_a_camera(run_script: RunScript) -> None:
    result = run_script(
        """
        from slow_camera import slow_camera
        camera = slow_camera(P, 40)
        assert camera.is_well, camera
        assert camera.received + camera.dropped <= 41, camera
        print("bounded")
        """,
        timeout=60,
    )
    assert_quiet(result, "bounded\n")
