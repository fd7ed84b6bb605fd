"""Contexts: preemptive and not, several in one process, threads that attach and detach."""

from __future__ import annotations

import pytest
from cachannel import ca
from helpers import Connect, RunScript, assert_quiet, read


def test_version() -> None:
    assert isinstance(ca.version(), str)
    assert "4." in ca.version()


def test_create_again_where_there_is_one() -> None:
    assert ca.create_context() == ca.ECA_NORMAL
    assert ca.create_context(True) == ca.ECA_NORMAL
    assert ca.create_context(preemptive_callback=True) is ca.ECA.NORMAL


def test_attach_where_attached() -> None:
    ca.create_context()
    context = ca.current_context()
    assert context is not None
    assert ca.attach_context(context) is ca.ECA.ISATTACHED
    assert ca.attach_context(context=context) == ca.ECA_ISATTACHED


def test_attach_to_what_is_no_context() -> None:
    with pytest.raises(TypeError):
        ca.attach_context("context")


def test_detach_and_attach(connect: Connect) -> None:
    chid = connect("catest")
    context = ca.current_context()
    assert ca.detach_context() is None
    assert ca.current_context() is None
    assert ca.attach_context(context) == ca.ECA_NORMAL
    assert ca.current_context() is not None
    assert isinstance(read(chid), float)


def test_show_context(connect: Connect, run_script: RunScript) -> None:
    result = run_script(
        """
        connect("catest")
        assert ca.show_context() is None
        assert ca.show_context(ca.current_context(), 1) is None
        assert ca.show_context(context=None, level=2) is None
        """
    )
    assert result.returncode == 0, result
    assert "ca_client_context" in result.stdout


def test_pend_functions(connect: Connect) -> None:
    chid = connect("catest")
    assert ca.pend_io(1) is ca.ECA.NORMAL
    assert ca.pend_event(0.001) is ca.ECA.TIMEOUT
    assert ca.poll() is ca.ECA.TIMEOUT
    assert ca.pend(0.001, 0) is ca.ECA.TIMEOUT
    assert ca.pend(timeout=0.001, early=False) is ca.ECA.TIMEOUT
    assert ca.pend(1, 1) is ca.ECA.NORMAL
    assert ca.flush_io() is ca.ECA.NORMAL
    assert ca.test_io() is ca.ECA.IODONE
    status, value = ca.get(chid)
    assert status == ca.ECA_NORMAL
    assert ca.test_io() is ca.ECA.IOINPROGRESS
    assert ca.pend(timeout=10, early=True) is ca.ECA.NORMAL
    assert ca.test_io() is ca.ECA.IODONE
    assert isinstance(value.get(), float)


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan")])
@pytest.mark.parametrize("function", ["pend_io", "pend_event"])
def test_a_timeout_that_is_none(function: str, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        getattr(ca, function)(timeout)


@pytest.mark.parametrize("function", ["pend_io", "pend_event"])
@pytest.mark.parametrize("timeout", ["1", None, [1]])
def test_a_timeout_of_another_type(function: str, timeout: object) -> None:
    with pytest.raises(TypeError):
        getattr(ca, function)(timeout)


def test_pend_io_times_out_and_forgets(connect: Connect) -> None:
    status, chid = ca.create_channel("no-such-pv:in-any-ioc")
    assert status == ca.ECA_NORMAL
    assert ca.pend_io(0.05) is ca.ECA.TIMEOUT
    assert ca.test_io() == ca.ECA_IODONE
    assert ca.pend_io(0.05) is ca.ECA.NORMAL
    assert ca.state(chid) is ca.ChannelState.NEVER_CONN
    assert ca.clear_channel(chid) == ca.ECA_NORMAL


def test_no_context_to_begin_with(run_script: RunScript) -> None:
    result = run_script(
        """
        from cachannel import ca
        print(ca.current_context())
        print(ca.create_context(), ca.current_context() is not None)
        """,
        preamble=False,
    )
    assert_quiet(result, "None\nECA.NORMAL True\n")


def test_the_first_call_makes_a_context(run_script: RunScript) -> None:
    assert_quiet(
        run_script(
            """
            print(read(connect("calong")))
            print(ca.current_context() is not None)
            """
        ),
        "5\nTrue\n",
    )


def test_destroy_and_create_anew(run_script: RunScript) -> None:
    result = run_script(
        """
        events = []
        for turn in range(3):
            assert ca.create_context() == ca.ECA_NORMAL
            chid = connect("calong")
            old = chid
            status, evid = ca.create_subscription(chid, events.append)
            ca.flush_io()
            wait_for(lambda: events)
            assert read(chid) == 5
            assert ca.destroy_context() is None
            assert ca.current_context() is None
            events.clear()
            for call in (lambda: ca.get(chid)[0], lambda: ca.put(chid, 1), lambda: ca.clear_channel(chid)):
                assert call() in (ca.ECA_BADCHID, ca.ECA_NOCACTX), call()
            assert ca.clear_subscription(evid) != ca.ECA_NORMAL
        print(events)
        """
    )
    assert_quiet(result, "[]\n")


def test_destroy_without_a_context(run_script: RunScript) -> None:
    assert_quiet(run_script("print(ca.destroy_context(), ca.detach_context())"), "None None\n")


def test_two_contexts_in_one_process(run_script: RunScript) -> None:
    result = run_script(
        """
        got = {"a": [], "b": []}
        ready = threading.Barrier(2)
        def other():
            assert ca.create_context() == ca.ECA_NORMAL
            contexts["b"] = ca.current_context()
            chid = connect("count")
            ca.create_subscription(chid, lambda args: got["b"].append((args["value"], threading.get_ident())))
            ca.flush_io()
            ready.wait(10)
            ready.wait(10)
            ca.destroy_context()
        contexts = {}
        assert ca.create_context() == ca.ECA_NORMAL
        thread = threading.Thread(target=other)
        thread.start()
        ready.wait(10)
        chid = connect("count")
        ca.create_subscription(chid, lambda args: got["a"].append((args["value"], threading.get_ident())))
        ca.put(chid, 41)
        ca.flush_io()
        wait_for(lambda: all(values and values[-1][0] == 41 for values in got.values()))
        # Each context has a thread of its own to deliver its callbacks.
        assert got["a"][-1][1] != got["b"][-1][1]
        ready.wait(10)
        thread.join(10)
        count = len(got["b"])
        ca.put(chid, 42)
        ca.flush_io()
        wait_for(lambda: got["a"][-1][0] == 42)
        assert len(got["b"]) == count
        print(read(chid))
        """
    )
    assert_quiet(result, "42\n")


def test_a_thread_attaches_itself(run_script: RunScript) -> None:
    result = run_script(
        """
        chid = connect("calong")
        context = ca.current_context()
        def explicitly():
            print(ca.attach_context(context))
            print(ca.attach_context(context))
            print(read(chid))
            ca.detach_context()
            print(ca.current_context())
        thread = threading.Thread(target=explicitly)
        thread.start()
        thread.join(10)
        """
    )
    assert_quiet(result, "ECA.NORMAL\nECA.ISATTACHED\n5\nNone\n")


NON_PREEMPTIVE = """
    assert ca.create_context(False) is ca.ECA.NORMAL
    chid = connect("calong")
"""


def test_non_preemptive_runs_callbacks_where_pend_is_called(run_script: RunScript) -> None:
    result = run_script(
        NON_PREEMPTIVE
        + """
    threads = []
    status, evid = ca.create_subscription(chid, lambda args: threads.append(threading.get_ident()))
    ca.get(chid, callback=lambda args: threads.append(threading.get_ident()))
    ca.put(chid, 5, callback=lambda args: threads.append(threading.get_ident()))
    assert read(chid) == 5
    wait_for(lambda: ca.pend_event(0.01) and len(threads) >= 3)
    print(set(threads) == {threading.get_ident()})
    """
    )
    assert_quiet(result, "True\n")


def test_non_preemptive_runs_no_callback_elsewhere(run_script: RunScript) -> None:
    result = run_script(
        NON_PREEMPTIVE
        + """
    count = []
    fast = connect("fast")
    ca.create_subscription(fast, count.append)
    ca.flush_io()
    wait_for(lambda: ca.pend_event(0.01) and count)
    seen = len(count)
    time.sleep(0.5)  # five updates come meanwhile, and wait
    assert len(count) == seen, "a callback ran while nobody called pend"
    ca.poll()
    wait_for(lambda: ca.poll() and len(count) > seen)
    print("ok")
    """
    )
    assert_quiet(result, "ok\n")


def test_non_preemptive_takes_no_other_threads(run_script: RunScript) -> None:
    result = run_script(
        NON_PREEMPTIVE
        + """
    context = ca.current_context()
    thread = threading.Thread(target=lambda: print(ca.attach_context(context)))
    thread.start()
    thread.join(10)
    print(ca.create_context(True))
    print(read(chid))
    """
    )
    assert_quiet(result, "ECA.NOTTHREADED\nECA.NOTTHREADED\n5\n")
