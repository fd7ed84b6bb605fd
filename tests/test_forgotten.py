"""Channels that nothing but their callbacks refers to: they live as long as these, and go with the last of them."""

from __future__ import annotations

import sys
import textwrap

import pytest
from helpers import RunScript, assert_quiet

WAYS = {
    "a subscription": """
        c = CaChannel()
        c.searchw(pv)
        c.add_masked_array_event(None, None, None, called)
        c.flush_io()
    """,
    "a subscription, the channel its own user argument": """
        c = CaChannel()
        c.searchw(pv)
        c.add_masked_array_event(None, None, None, called, c)
        c.flush_io()
    """,
    "a subscription, made before the PV is found": """
        c = CaChannel(pv)
        c.search()
        c.add_masked_array_event(ca.DBR_DOUBLE, 1, None, called)
        c.flush_io()
    """,
    "a subscription that was replaced": """
        c = CaChannel(pv)
        c.searchw()
        c.add_masked_array_event(None, None, None, print)
        c.add_masked_array_event(None, None, None, called)
        c.flush_io()
    """,
    "a connection callback": """
        c = CaChannel(pv)
        c.search_and_connect(None, called)
        c.flush_io()
    """,
    "a connection callback, the channel its own user argument": """
        c = CaChannel(pv)
        c.search_and_connect(None, called, c)
        c.flush_io()
    """,
    "a connection callback, set later": """
        c = CaChannel(pv)
        c.search()
        c.change_connection_event(called, c)
        c.flush_io()
    """,
    "an access rights callback": """
        c = CaChannel(pv)
        c.search()
        c.replace_access_rights_event(called, c)
        c.flush_io()
    """,
    "a read with a callback": """
        c = CaChannel(pv)
        c.searchw()
        c.array_get_callback(None, None, called)
        c.flush_io()
    """,
    "a write with a callback": """
        c = CaChannel(pv)
        c.searchw()
        c.array_put_callback(1, None, None, called, c)
        c.flush_io()
    """,
    "many requests": """
        c = CaChannel(pv)
        c.searchw()
        for _ in range(50):
            c.array_get_callback(None, None, called)
            c.array_put_callback(1, None, None, called)
        c.flush_io()
    """,
    "a method of an object that has the channel": """
        class Watch:
            def __init__(self):
                self.channel = CaChannel(pv)
                self.channel.searchw()
                self.channel.add_masked_array_event(None, None, None, self.changed, self)
                self.channel.flush_io()
            def changed(self, args, user_args):
                called(args, user_args)
        Watch()
    """,
    "ca: a subscription": """
        chid = connect(pv[len(P):])
        ca.create_subscription(chid, called)
        ca.flush_io()
    """,
    "ca: a connection callback": """
        ca.create_channel(pv, called)
        ca.flush_io()
    """,
    "ca: a request": """
        chid = connect(pv[len(P):])
        ca.get(chid, callback=called)
        ca.flush_io()
    """,
}
"""Each makes a channel to the PV, has `called` called of it, and forgets it."""


@pytest.mark.parametrize("collect", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_callbacks_of_a_forgotten_channel_come(run_script: RunScript, way: str, collect: bool) -> None:
    """Callbacks of subscriptions come again and again; others come once."""
    repeated = "subscription" in way or "method" in way
    result = run_script(
        f"""
        import gc
        calls = []
        def called(args, user_args=None):
            calls.append(args)
        def watch(pv):
{textwrap.indent(textwrap.dedent(WAYS[way]), " " * 12)}
        {"gc.disable()" if not collect else ""}
        for number in range(3):
            watch(P + f"fast{{number}}")
            {"gc.collect()" if collect else ""}
        wait_for(lambda: len(calls) >= {30 if repeated else 100 * 3 if way == "many requests" else 3}, 20)
        print("called")
        """
    )
    assert_quiet(result, "called\n")


def test_a_monitored_epicspv_that_is_forgotten(run_script: RunScript) -> None:
    result = run_script(
        """
        import gc
        from cachannel.epicsPV import epicsPV
        def watch(pv):
            pv = epicsPV(pv)
            pv.setMonitor()
            return pv.callBack
        state = watch(P + "fast")
        gc.collect()
        seen = set()
        wait_for(lambda: seen.add(getattr(state, "pv_value", None)) or len(seen) > 5)
        print("updated")
        """
    )
    assert_quiet(result, "updated\n")


ENDS = {
    "clear_channel": "c.clear_channel()",
    "the end of with": "c.__exit__(None, None, None)",
    "each by itself": """
            c.clear_event()
            c.change_connection_event(None)
            c.replace_access_rights_event(None)
    """,
    "a new search": "c.search(P + 'calong')",
    "destroy_context": "ca.destroy_context()",
}


@pytest.mark.parametrize("end", ENDS)
def test_what_ends_the_callbacks_frees_the_channel(run_script: RunScript, end: str) -> None:
    """With all kinds of them, in cycles; the chid and what the callbacks refer to go at once."""
    result = run_script(
        f"""
        from collected import *
        class Watch:
            def __init__(self, name):
                self.channel = c = CaChannel(name)
                c.searchw()
                c.change_connection_event(self.called, self)
                c.replace_access_rights_event(self.called, self)
                c.add_masked_array_event(None, None, None, self.called, self, c)
                c.array_get_callback(None, None, self.called, self, c)
                c.array_put_callback(1, None, None, self.called, self, c)
                c.flush_io()
                calls.append(1)
            def called(self, args, user_args):
                calls.append(self)
        calls = []
        gone = []
        for number in range(10):
            watch = Watch(P + f"fast{{number}}")
            c = watch.channel
            wait_for(lambda: len(calls) >= 5)
            ca.poll()
            {textwrap.dedent(ENDS[end]).strip().replace(chr(10), chr(10) + " " * 12)}
            gone += [weakref.ref(watch), weakref.ref(c)]
            calls.clear()
            del watch, c
        wait_for(lambda: gc.collect() or not any(one() for one in gone))
        if {end!r} != "destroy_context":
            wait_for(lambda: channels() == ["calong"])
        print("gone")
        """
    )
    assert_quiet(result, "gone\n")


WHERE = {
    "a forked child": """
        if pid := os.fork():
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            os._exit(0)
    """,
    "a non-preemptive context": "number.getw()",
    "a context whose dispatcher is in a callback": "number.getw()",
}
"""Where the answers to requests are not delivered; and what is done after they were made."""


@pytest.mark.parametrize("where", WHERE)
def test_clear_channel_lets_go_of_requests_whose_answers_are_not_delivered(run_script: RunScript, where: str) -> None:
    """The chid and what the callbacks refer to go at once; those of another channel stay until their answers come."""
    if "fork" in where and sys.platform == "win32":
        pytest.skip("needs fork")
    result = run_script(
        f"""
        import gc, warnings, weakref
        warnings.simplefilter("ignore", DeprecationWarning)
        ca.create_context({"non-preemptive" not in where})
        class Watch:
            def __init__(self, name):
                self.channel = CaChannel(name)
                self.channel.searchw()
            def ask(self):
                c = self.channel
                c.array_get_callback(None, None, self.called, self, c)
                c.array_put_callback(1, None, None, self.called, self, c)
                ca.get(c._chid, callback=self.called)
                ca.put(c._chid, 1, callback=self.called)
            def called(self, args, user_args=None):
                calls.append(args)
        calls = []
        watch, other, number = Watch(P + "fast0"), Watch(P + "fast1"), CaChannel(P + "calong")
        number.searchw()
        held, release = threading.Event(), threading.Event()
        def hold(args, user_args):
            held.set()
            release.wait(20)
        if "dispatcher" in {where!r}:
            number.array_get_callback(None, None, hold)
            number.flush_io()
            assert held.wait(10)
        watch.ask()
        other.ask()
{textwrap.indent(textwrap.dedent(WHERE[where]), " " * 8)}
        c = watch.channel
        gone, kept = ([weakref.ref(w), weakref.ref(w.channel), weakref.ref(w.channel._chid)] for w in (watch, other))
        del watch, other
        gc.collect()
        assert all(one() for one in gone + kept), gone + kept
        c.clear_channel()
        del c
        gc.collect()
        print([one() for one in gone], all(one() for one in kept), calls)
        release.set()
        if ca.current_context():
            wait_for(lambda: ca.poll() and len(calls) == 4)
            calls.clear()
            gc.collect()
            print([one() for one in kept])
        sys.stdout.flush()
        os._exit(0)
        """
    )
    none = "[None, None, None]"
    assert_quiet(result, f"{none} True []\n" + ("0\n" if "fork" in where else f"{none}\n"))


def test_the_last_answer_frees_the_channel_without_the_collector(run_script: RunScript) -> None:
    """Answers that were brought, that came to nothing, and requests that were refused."""
    result = run_script(
        """
        from collected import *
        gc.disable()
        answers = []
        def called(args, user_args):
            answers.append(args["status"])
        def ask():
            c = CaChannel(P + "fast0")
            c.searchw()
            c.array_get_callback(None, None, called)
            c.array_put_callback(1, None, None, called)
            c.flush_io()
            return weakref.ref(c._chid)
        def refused():
            c = CaChannel(P + "fast0")
            c.searchw()
            for wrong in (
                lambda: c.array_put_callback("no number", None, None, called),
                lambda: c.array_put_callback([], None, None, called),
                lambda: c.array_put_callback(1, 77, None, called),
                lambda: c.array_get_callback(77, None, called),
                lambda: c.add_masked_array_event(77, None, None, called),
                lambda: c.add_masked_array_event(None, None, 1 << 20, called),
            ):
                try:
                    wrong()
                except CaChannelException:
                    pass
                else:
                    raise AssertionError
            return weakref.ref(c._chid)
        def not_connected():
            c = CaChannel(P + "no-such-pv")
            c.search()
            for wrong in (
                lambda: c.array_put_callback(1, None, None, called),
                lambda: c.array_get_callback(None, None, called),
                lambda: c.add_masked_array_event(None, None, None, called),
            ):
                try:
                    wrong()
                except CaChannelException:
                    pass
            return weakref.ref(c._chid)
        chid = ask()
        wait_for(lambda: len(answers) == 2)
        wait_for(lambda: chid() is None)
        for make in (refused, not_connected):
            assert make()() is None, make
        ca.test_io()
        wait_for(lambda: channels() == ["calong"])
        print(answers)
        """
    )
    assert_quiet(result, "[<ECA.NORMAL: 1>, <ECA.NORMAL: 1>]\n")


def test_a_channel_with_nothing_of_the_users_goes(run_script: RunScript) -> None:
    """With its last reference; in a cycle by the collector."""
    result = run_script(
        """
        from collected import *
        from cachannel.epicsPV import epicsPV
        gc.disable()
        c = CaChannel(P + "fast0")
        c.searchw()
        c.getw()
        c.array_get()
        c.pend_io()
        pv = epicsPV(P + "fast1")
        pv.setMonitor()
        pv.clearMonitor()
        gone = [weakref.ref(c._chid), weakref.ref(pv._chid)]
        del c, pv
        assert [one() for one in gone] == [None, None]
        wait_for(lambda: channels() == ["calong"])
        c = CaChannel(P + "fast0")
        c.searchw()
        c.itself = c
        gone = weakref.ref(c._chid)
        del c
        assert gone() is not None
        gc.collect()
        assert gone() is None
        wait_for(lambda: channels() == ["calong"])
        print("gone")
        """
    )
    assert_quiet(result, "gone\n")


FORGETFUL = """
def called(args, user_args=None):
    pass
def watch(name):
    c = CaChannel(P + name)
    c.searchw()
    c.add_masked_array_event(None, None, None, called, c)
    c.flush_io()
for number in range(2):
    watch(f"fast{number}")
c = CaChannel(P + "fast2")
c.search_and_connect(None, called)
c.replace_access_rights_event(called)
wait_for(lambda: c.state() == ca.cs_conn)
c = CaChannel(P + "fast3")
c.searchw()
c.add_masked_array_event(None, None, None, called)
chid = connect("fast4")
ca.create_subscription(chid, called)
evid = ca.create_subscription(connect("fast5"), called)
x, y = ca.create_subscription(connect("fast6"), called), ca.create_subscription(connect("fast6"), called)
z = connect("fast7")
ca.create_subscription(z, called)
ca.create_subscription(z, called)
del z
ca.pend_event(0.1)
"""


def test_development_mode_names_forgotten_channels(run_script: RunScript, prefix: str) -> None:
    """In one ResourceWarning, at exit: those that only callbacks have kept, and which."""
    result = run_script(FORGETFUL, options=("-X", "dev"))
    assert (result.returncode, result.stdout) == (0, "")
    shown = (
        f"{prefix}fast0 (a subscription); {prefix}fast1 (a subscription); "
        f"{prefix}fast2 (a connection callback, an access rights callback); {prefix}fast7 (2 subscriptions)\n"
    )
    assert result.stderr.endswith(shown), result.stderr
    assert result.stderr.count("\n") == result.stderr.count("ResourceWarning") == 1


def test_without_it_nobody_is_bothered(run_script: RunScript) -> None:
    assert_quiet(run_script(FORGETFUL), "")


def test_development_mode_has_nothing_to_say_of_channels_that_were_cleared(run_script: RunScript) -> None:
    result = run_script(FORGETFUL + "\nca.destroy_context()\n", options=("-X", "dev"))
    assert_quiet(result, "")
