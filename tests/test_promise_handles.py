"""Promise: a handle used after it was cleared gives ECA_BADCHID or CaChannelException, never a crash."""

from __future__ import annotations

from typing import Any

import pytest
from cachannel import CaChannelException, ca
from helpers import Connect, RunScript, assert_quiet


def test_a_cleared_chid(prefix: str) -> None:
    status, chid = ca.create_channel(prefix + "calong")
    assert status == ca.ECA_NORMAL
    assert ca.pend_io(10) == ca.ECA_NORMAL
    status, evid = ca.create_subscription(chid, lambda args: None)
    assert status == ca.ECA_NORMAL
    assert ca.clear_channel(chid) is ca.ECA.NORMAL
    status, gid = ca.sg_create()
    assert status == ca.ECA_NORMAL

    def nothing(args: Any) -> None:
        pytest.fail("called")

    assert ca.clear_channel(chid) is ca.ECA.BADCHID
    assert ca.get(chid) == (ca.ECA_BADCHID, None)
    assert ca.get(chid, ca.DBR_DOUBLE, 1, nothing) == (ca.ECA_BADCHID, None)
    assert ca.put(chid, 1) is ca.ECA.BADCHID
    assert ca.put(chid, 1, ca.DBR_LONG, 1, nothing) is ca.ECA.BADCHID
    assert ca.create_subscription(chid, nothing) == (ca.ECA_BADCHID, None)
    assert ca.create_subscription(chid, nothing, ca.DBR_LONG, 1) == (ca.ECA_BADCHID, None)
    assert ca.change_connection_event(chid, nothing) is ca.ECA.BADCHID
    assert ca.replace_access_rights_event(chid, nothing) is ca.ECA.BADCHID
    assert ca.sg_get(gid, chid) == (ca.ECA_BADCHID, None)
    assert ca.sg_put(gid, chid, 1) is ca.ECA.BADCHID
    assert ca.clear_subscription(evid) in (ca.ECA_BADCHID, ca.ECA_BADMONID)
    ca.dropped(evid)
    for function in (ca.name, ca.field_type, ca.element_count, ca.host_name, ca.read_access, ca.write_access):
        with pytest.raises(CaChannelException) as caught:
            function(chid)
        assert caught.value.status is ca.ECA.BADCHID
    assert ca.state(chid) is ca.ChannelState.CLOSED
    repr(chid), repr(evid), hash(chid), hash(evid)
    ca.sg_delete(gid)


def test_a_cleared_evid(connect: Connect) -> None:
    chid = connect("calong")
    _, evid = ca.create_subscription(chid, lambda args: None)
    assert ca.clear_subscription(evid) is ca.ECA.NORMAL
    assert ca.clear_subscription(evid) in (ca.ECA_BADMONID, ca.ECA_BADCHID)
    assert ca.clear_subscription(None) in (ca.ECA_BADMONID, ca.ECA_BADCHID)


@pytest.mark.parametrize("chid", [None])
def test_none_as_a_chid(chid: Any) -> None:
    assert ca.get(chid) == (ca.ECA_BADCHID, None)
    assert ca.put(chid, 1) is ca.ECA.BADCHID
    assert ca.clear_channel(chid) is ca.ECA.BADCHID
    assert ca.create_subscription(chid, lambda args: None) == (ca.ECA_BADCHID, None)
    assert ca.change_connection_event(chid) is ca.ECA.BADCHID
    assert ca.replace_access_rights_event(chid) is ca.ECA.BADCHID


def test_clearing_with_everything_under_way(run_script: RunScript) -> None:
    """A channel may be cleared at any moment; what was asked for on it ends, and the rest goes on.

    In a process of its own, in which nobody else flushes a request before its channel is cleared.
    """
    result = run_script(
        """
        from helpers import write
        other = connect("calong")
        write(other, 5)
        for _ in range(30):
            chid = connect("wfDOUBLE")
            _, value = ca.get(chid)
            ca.get(chid, callback=lambda args: None)
            ca.put(chid, [1, 2], callback=lambda args: None)
            ca.create_subscription(chid, lambda args: None)
            assert ca.clear_channel(chid) == ca.ECA_NORMAL
            ca.pend_io(10)
            try:
                value.get()
            except CaChannelException:
                assert read(other) == 5
            else:
                raise AssertionError("a value, though its channel was cleared")
        print("done")
        """
    )
    assert_quiet(result, "done\n")


def test_threads_that_clear_what_others_use(run_script: RunScript) -> None:
    result = run_script(
        """
        # Without this one the circuit has no channel at times: libca closes it, and complains if one comes just then.
        kept = connect("calong")
        chids = [None] * 4
        stop = threading.Event()
        def renew(slot):
            while not stop.is_set():
                status, chid = ca.create_channel(P + "calong", lambda args: None)
                chids[slot] = chid
                ca.create_subscription(chid, lambda args: None, ca.DBR_LONG, 1)
                ca.flush_io()
                time.sleep(0.002)
                ca.clear_channel(chid)
        def use():
            while not stop.is_set():
                for chid in chids:
                    if chid is not None:
                        ca.get(chid, callback=lambda args: None)
                        ca.put(chid, 5)
                        ca.create_subscription(chid, lambda args: None, ca.DBR_LONG, 1)
                        try:
                            ca.name(chid), ca.field_type(chid), ca.host_name(chid), ca.state(chid)
                        except CaChannelException:
                            pass
                ca.flush_io()
        threads = [threading.Thread(target=renew, args=(slot,)) for slot in range(4)]
        threads += [threading.Thread(target=use) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(2)  # of stress, with nothing to wait for
        stop.set()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)
        print(read(connect("calong")))
        """,
        timeout=60,
    )
    assert_quiet(result, "5\n")


def test_searching_and_clearing_one_object_in_threads(run_script: RunScript) -> None:
    """A channel may be cleared before libca knows of it."""
    result = run_script(
        """
        sys.setswitchinterval(1e-5)
        kept = connect("calong")
        channels = [CaChannel(P + "calong") for _ in range(4)]
        end = time.monotonic() + 2  # of stress, with nothing to wait for
        def search():
            count = 0
            while time.monotonic() < end:
                count += 1
                try:
                    channels[count % 4].search()
                except CaChannelException:
                    pass
                if count % 50 == 0:
                    ca.poll()
        def clear():
            count = 0
            while time.monotonic() < end:
                count += 1
                try:
                    channels[count % 4].clear_channel()
                except CaChannelException:
                    pass
        threads = [threading.Thread(target=work) for work in (search, search, clear, clear)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        print(*[thread.is_alive() for thread in threads], read(kept))
        """,
        timeout=60,
    )
    assert_quiet(result, "False False False False 5\n")
