"""Subscriptions that are made while their PV connects: libca brings each update once, and nothing after the end."""

from __future__ import annotations

from helpers import RunScript, assert_quiet


def test_each_update_comes_once(run_script: RunScript) -> None:
    """More elements are asked for than the PV has: that shows as it connects, when somebody is about to subscribe."""
    result = run_script(
        """
    ca.create_context(True)
    context = ca.current_context()
    made = []
    def subscribe():
        # Channels of their own connect at different times.
        ca.attach_context(context)
        chid = ca.create_channel(P + "catest", lambda args: None)[1]
        ca.flush_io()
        for _ in range(100):
            if ca.state(chid) == ca.ChannelState.CONN:
                break
            updates = []
            evid = ca.create_subscription(chid, updates.append, ca.DBR_TIME_DOUBLE, 10)[1]
            made.append((evid, updates))
        ca.flush_io()
        channels.append(chid)
    for _ in range(8):
        channels = []
        threads = [threading.Thread(target=subscribe) for _ in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_for(lambda: all(updates for _, updates in made), 20, "all have an update")
        # Had an update come twice, both would be here before the answer to a read that is sent now.
        for chid in channels:
            read(chid)
        ca.poll()
        # What is written meanwhile has another time.
        stamps = [[tuple(update["value"]["stamp"].values()) for update in updates] for _, updates in made]
        twice = sum(len(set(times)) < len(times) for times in stamps)
        if twice:
            print(twice, "of", len(made), "have come twice")
        for evid, _ in made:
            ca.clear_subscription(evid)
        made.clear()
        for chid in channels:
            ca.clear_channel(chid)
    print("done")
    """,
        timeout=60,
    )
    assert_quiet(result, "done\n")
