"""Promise: memory is bounded; a slow callback loses the oldest updates, never the newest, and they are counted."""

from __future__ import annotations

from helpers import RunScript, assert_quiet


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


def test_memory_of_many_gets_does_not_grow(run_script: RunScript) -> None:
    result = run_script(
        """
        import resource
        chid = connect("big")
        def use():
            read(chid, use_numpy=True)
            done = []
            ca.get(chid, callback=lambda args: done.append(args["value"][5]), use_numpy=True)
            ca.flush_io()
            wait_for(lambda: done)
        for _ in range(4):
            use()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(25):
            use()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print("bounded" if grown < 100 else f"grown by {grown} MB")
        """,
        timeout=60,
    )
    assert_quiet(result, "bounded\n")


def test_memory_of_channels_and_subscriptions_does_not_grow(run_script: RunScript) -> None:
    result = run_script(
        """
        import gc, resource
        def use():
            chids = [ca.create_channel(P + f"many{t}_{o}")[1] for t in range(15) for o in range(10)]
            assert ca.pend_io(10) == ca.ECA_NORMAL
            seen = set()
            for number, chid in enumerate(chids):
                ca.create_subscription(chid, lambda args, number=number: seen.add(number))
            ca.flush_io()
            wait_for(lambda: len(seen) == 150)
            for chid in chids:
                ca.clear_channel(chid)
        for _ in range(5):
            use()
        gc.collect()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(20):
            use()
        gc.collect()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print("bounded" if grown < 8 else f"grown by {grown} MB")
        """,
        timeout=60,
    )
    assert_quiet(result, "bounded\n")
