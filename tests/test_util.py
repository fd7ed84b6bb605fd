"""caget, caput and cainfo: one PV and several, what is kept from call to call, and what a failure looks like."""

from __future__ import annotations

import inspect
import sys
import threading
import time
from typing import Any

import cachannel
import numpy as np
import pytest
from cachannel import (
    CaChannel,
    CaChannelException,
    CaChannelTypeError,
    CaChannelValueError,
    ChannelGroup,
    _connections,
    ca,
    util,
)
from cachannel.util import CaNothing, caget, cainfo, camonitor, caput
from helpers import Connect, RunScript, assert_quiet, write
from ioc import Ioc
from server_process import wait_for

MISSING = "no-such-pv:in-any-ioc"


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that are searched from here on."""
    searched: list[str] = []
    create = ca.create_channel

    def recorded(name: str, *args: Any, **kwargs: Any) -> Any:
        searched.append(name)
        return create(name, *args, **kwargs)

    monkeypatch.setattr(ca, "create_channel", recorded)
    return searched


def test_the_old_parameters() -> None:
    old = {
        caget: ["name", "as_string", "count"],
        caput: ["name", "value", "wait", "timeout"],
        camonitor: ["name", "as_string", "count", "callback"],
        cainfo: ["name"],
    }
    for function, names in old.items():
        parameters = inspect.signature(function).parameters.values()
        assert [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD] == names


def test_the_examples_of_the_manual(run_script: RunScript) -> None:
    result = run_script(
        '''
        import doctest
        manual = """
        >>> import time
        >>> caput('catest', 1.23, wait=True)
        >>> caget('catest')
        1.23
        >>> caput('cabo', 'Busy')
        >>> caget('cabo')
        1
        >>> caget('cabo', as_string=True)
        'Busy'
        >>> caput('cawavec', 'this can be a long string')
        >>> caget('cawavec', as_string=True)
        'this '
        >>> caput('cawave', range(4))
        >>> caget('cawave', count=4)
        [0.0, 1.0, 2.0, 3.0]
        >>> camonitor('cacalc'); time.sleep(2) # doctest: +ELLIPSIS
        cacalc ...
        >>> def monitor_callback(epics_args, _):
        ...     for k in sorted(epics_args):
        ...         print(k, epics_args[k])
        >>> camonitor('cacalc', callback=monitor_callback); time.sleep(2) # doctest: +ELLIPSIS
        chid ...
        count 1
        pv_nseconds ...
        pv_seconds ...
        pv_severity AlarmSeverity.No
        pv_status AlarmCondition.No
        pv_value ...
        status ECA.NORMAL
        type DBR.TIME_DOUBLE
        chid ...
        >>> camonitor('cacalc', callback=())
        >>> time.sleep(2)
        >>> caput ('cabo', 1)
        >>> cainfo('cabo') # doctest: +ELLIPSIS
        cabo
            State:          Connected
            Host:           ...
            Data type:      DBF_ENUM
            Element count:  1
            Access:         RW
            Status:         STATE
            Severity:       MINOR
            Enumerates:     ('Done', 'Busy')
        """
        from CaChannel.util import caget, cainfo, camonitor, caput
        test = doctest.DocTestParser().get_doctest(manual, globals(), "manual", None, 0)
        print(doctest.DocTestRunner().run(test))
        '''
    )
    assert (result.returncode, result.stdout) == (0, "TestResults(failed=0, attempted=17)\n"), result.stderr
    # The long string is cut, as in the manual.
    assert result.stderr.splitlines() == [
        "cawavec: 25 elements were given, and the PV holds 5: those after the first 5 were not written"
    ]


#
# One PV
#
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("plain", 2.5),
        ("calong", -7),
        ("cabo", 1),
        ("castr", "some text"),
        ("cawave", [1.0, 2.0, 3.0, 4.0, 5.0]),
        ("cawavec", [1, 2, 3, 4, 5]),
        ("cawaves", ["a", "", "c"]),
        ("wfFLOAT", [0.5, 1.5, 2.5, 3.5, 4.5]),
    ],
)
def test_a_value_goes_and_comes_back(prefix: str, name: str, value: Any) -> None:
    assert caput(prefix + name, value) is None
    got = caget(prefix + name)
    assert repr(got) == repr(value)
    assert caput(prefix + name, value, True) is None
    assert caget((prefix + name).encode()) == value


def test_count_and_use_numpy(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = prefix + "cawave"
    caput(name, np.arange(5.0), wait=True)
    assert caget(name, count=1) == 0.0
    assert caget(name, False, 3) == [0.0, 1.0, 2.0]
    assert isinstance(caget(name), list)
    array = caget(name, use_numpy=True)
    assert array.dtype == np.float64
    assert array.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    caput(name, [1.0, 2.0], wait=True)
    assert caget(name, count=0) == [1.0, 2.0]
    monkeypatch.setattr(cachannel, "USE_NUMPY", True)
    assert isinstance(caget(name), np.ndarray)
    assert isinstance(caget(name, use_numpy=False), list)


def test_caput_raises_where_it_does_not_complete(prefix: str) -> None:
    name, done = prefix + "slow", prefix + "slow:done"
    caput(done, 0, wait=True)
    for timeout in (0.05, 0):
        with pytest.raises(CaChannelException, match="may complete later") as raised:
            caput(name, 1, wait=True, timeout=timeout)
        assert (raised.value.status, raised.value.pvname) == (ca.ECA_TIMEOUT, name)
    late = caput(name, 1, wait=True, timeout=0.05, throw=False)
    assert isinstance(late, CaNothing)
    assert (late.status, late.pvname) == (ca.ECA_TIMEOUT, name)
    assert caput(name, 2, wait=True) is None
    assert caget(done) == 1
    assert caput(name, 3, wait=True, throw=False) is True
    assert caput(name, 4, True, 10) is None


@pytest.mark.parametrize("timeout", [-1, float("nan"), "soon", "5"])
def test_what_is_no_timeout(prefix: str, timeout: Any) -> None:
    name = prefix + "calong"
    caput(name, 5, wait=True)
    for call in (
        lambda: caget(name, timeout=timeout),
        lambda: caput(name, 6, timeout=timeout),
        lambda: caput(name, 6, wait=True, timeout=timeout),
        lambda: camonitor(name, timeout=timeout),
        lambda: cainfo(name, timeout=timeout),
    ):
        with pytest.raises((CaChannelValueError, CaChannelTypeError), match=f"timeout.*{timeout}"):
            call()
    assert caget(name) == 5


def test_a_short_timeout_of_caput_does_not_keep_it_from_connecting(prefix: str, searches: list[str]) -> None:
    name = prefix + "wfLONG.DESC"
    assert caput(name, "described", wait=True, timeout=1e-4, throw=False) is not None
    assert searches == [name]
    assert caget(name) == "described"


def test_a_refused_write_raises(prefix: str) -> None:
    caput(prefix + "other.DISP", 1, wait=True)
    try:
        with pytest.raises(CaChannelException) as raised:
            caput(prefix + "other", 3, wait=True)
    finally:
        caput(prefix + "other.DISP", 0, wait=True)
    assert (raised.value.status, raised.value.pvname) == (ca.ECA_PUTFAIL, prefix + "other")
    assert str(raised.value).endswith(
        f"the PV takes no writes now, as {prefix}other.DISP is 1: the server does not take 3"
    )
    with pytest.raises(CaChannelException, match="does not take 'no such state'") as raised:
        caput(prefix + "cabo", "no such state")
    assert (raised.value.status, raised.value.pvname) == (ca.ECA_PUTFAIL, prefix + "cabo")
    for wait in (False, True):
        with pytest.raises(CaChannelException) as raised:
            caput(prefix + "readonly", 1, wait=wait)
        assert raised.value.status == ca.ECA_NOWTACCESS
        with pytest.raises(CaChannelValueError) as value_error:
            caput(prefix + "calong", "seven", wait=wait)
        assert value_error.value.pvname == prefix + "calong"
    with pytest.raises(CaChannelException) as raised:
        caget(prefix + "hidden")
    assert (raised.value.status, raised.value.pvname) == (ca.ECA_NORDACCESS, prefix + "hidden")


@pytest.mark.parametrize("function", [caget, cainfo, lambda name, **kw: caput(name, 1, **kw)])
def test_a_pv_that_is_not_there(monkeypatch: pytest.MonkeyPatch, function: Any) -> None:
    monkeypatch.setattr(CaChannel, "ca_timeout", 0.1)
    began = time.monotonic()
    with pytest.raises(CaChannelException) as raised:
        function(MISSING)
    assert time.monotonic() - began < 2
    assert (raised.value.status, raised.value.pvname) == (ca.ECA_TIMEOUT, MISSING)
    assert MISSING in str(raised.value)
    stand_in = function(MISSING, throw=False)
    assert isinstance(stand_in, CaNothing)
    assert not stand_in
    assert (stand_in.status, stand_in.pvname) == (ca.ECA_TIMEOUT, MISSING)
    assert MISSING in str(stand_in)
    assert repr(stand_in) == f"<CaNothing {MISSING!r} ECA.TIMEOUT>"
    with pytest.raises(CaChannelException):
        raise stand_in


@pytest.mark.parametrize("name", [None, 3, ["catest", None], ""])
def test_what_is_no_name(name: Any) -> None:
    for function in (caget, cainfo, camonitor, lambda name: caput(name, 1)):
        with pytest.raises(CaChannelException) as raised:
            function(name)
        assert raised.value.status == ca.ECA_BADSTR
        assert name == "" or isinstance(raised.value, CaChannelTypeError)


#
# Several PVs
#
def test_several_pvs_go_at_once(prefix: str) -> None:
    names = [prefix + name for name in ("plain", "calong", "castr", "cawave")]
    values = [0.5, 6, "x", [5.0, 4.0, 3.0, 2.0, 1.0]]
    assert caput(names, values) is None
    assert caget(names) == values
    assert caget(tuple(names[::-1])) == values[::-1]
    assert caget(iter(names)) == values
    assert caget([names[0], names[0]]) == [0.5, 0.5]
    assert caget(names, count=1) == [0.5, 6, "x", 5.0]
    assert caget([]) == []
    assert caput([], []) is None
    assert caput([], [], wait=True) is None
    assert caput([], [], wait=True, throw=False) == []
    assert caget(np.array(names[:2])) == [0.5, 6]


def test_a_single_value_for_several_pvs(prefix: str) -> None:
    names = [prefix + "plain", prefix + "other", prefix + "count"]
    for value, expected in ((3, [3.0, 3.0, 3]), ("4", [4.0, 4.0, 4]), (np.float64(5), [5.0, 5.0, 5])):
        assert caput(names, value, wait=True) is None
        assert caget(names) == expected
    assert caput(names, np.array([1, 2, 3]), wait=True, throw=False) == [True, True, True]
    assert caget(names) == [1.0, 2.0, 3]
    for wrong in ([1, 2], [1, 2, 3, 4], []):
        with pytest.raises(CaChannelValueError):
            caput(names, wrong)
    assert caget(names) == [1.0, 2.0, 3]


def test_several_puts_complete_side_by_side(prefix: str) -> None:
    caput(prefix + "slow:done", 0, wait=True)
    names = [prefix + "slow", prefix + "plain"]
    late, done = caput(names, [1, 2], wait=True, timeout=0.05, throw=False)
    assert (late.status, late.pvname, done) == (ca.ECA_TIMEOUT, names[0], True)
    with pytest.raises(CaChannelException) as raised:
        caput(names, [1, 2], wait=True, timeout=0.05)
    assert (raised.value.status, raised.value.pvname) == (ca.ECA_TIMEOUT, names[0])
    assert caput(names, [1, 2], wait=True) is None
    assert caget(prefix + "slow:done") == 1


def test_one_of_several_that_fails_raises_with_its_name(prefix: str) -> None:
    caget([prefix + "plain", prefix + "calong"])
    caput(prefix + "plain", 1)
    names = [prefix + "plain", MISSING, prefix + "calong", MISSING + "2"]
    began = time.monotonic()
    with pytest.raises(CaChannelException) as raised:
        caget(names, timeout=0.3)
    assert 0.25 < time.monotonic() - began < 2
    assert (raised.value.status, raised.value.pvname) == (ca.ECA_TIMEOUT, MISSING)
    # The others that failed are told too.
    assert f"also {MISSING}2" in str(raised.value)
    with pytest.raises(CaChannelException) as raised:
        caget([MISSING + str(number) for number in range(20)], timeout=0.1)
    assert "and 9 more; is the name right" in str(raised.value)


def test_one_of_several_that_fails_stands_for_itself(prefix: str) -> None:
    caput(prefix + "plain", 1)
    # Connecting takes all of the time; the PVs that are there are read nevertheless.
    values = caget([prefix + "plain", MISSING, prefix + "hidden", prefix + "calong"], timeout=0.3, throw=False)
    assert values[0] == 1.0
    assert isinstance(values[3], int)
    assert [(bool(value), value.status, value.pvname) for value in values[1:3]] == [
        (False, ca.ECA_TIMEOUT, MISSING),
        (False, ca.ECA_NORDACCESS, prefix + "hidden"),
    ]


def test_nothing_is_written_where_one_of_several_does_not_connect(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CaChannel, "ca_timeout", 0.2)
    caput(prefix + "plain", 1)
    for wait in (False, True):
        with pytest.raises(CaChannelException) as raised:
            caput([prefix + "plain", MISSING], 2, wait=wait)
        assert raised.value.pvname == MISSING
        assert caget(prefix + "plain") == 1
    written, missing = caput([prefix + "plain", MISSING], 2, throw=False)
    assert written is True
    assert (bool(missing), missing.status) == (False, ca.ECA_TIMEOUT)
    assert caget(prefix + "plain") == 2


def test_a_value_that_does_not_fit_among_several(prefix: str) -> None:
    names = [prefix + "plain", prefix + "calong", prefix + "other"]
    caput(names, 0)
    for wait in (False, True):
        with pytest.raises(CaChannelValueError) as raised:
            caput(names, [1, "no number", 1], wait=wait)
        assert raised.value.pvname == prefix + "calong"
        # It ended there.
        assert caget(names) == [1.0, 0, 0.0]
        first, second, third = caput(names, [2, "no number", 2], wait=wait, throw=False)
        assert (first, third) == (True, True)
        assert (bool(second), second.pvname, second.status) == (False, prefix + "calong", raised.value.status)
        assert "no number" in str(second)
        assert caget(names) == [2.0, 0, 2.0]
        caput(names, 0)


#
# What is kept
#
def test_later_calls_use_the_connections_of_earlier_ones(prefix: str, searches: list[str]) -> None:
    names = [name + ".EGU" for name in (prefix + "catest", prefix + "calong", prefix + "cawave")]
    caget(names[:2])
    assert searches == names[:2]
    caget(names)
    caput(names[1], "steps", wait=True)
    camonitor(names, callback=lambda *args: None)
    camonitor(names, callback=())
    cainfo(names)
    assert searches == names


def test_a_pv_that_was_not_found_is_searched_anew(searches: list[str]) -> None:
    for _ in range(2):
        assert not caget(MISSING, timeout=0.05, throw=False)
    assert searches == [MISSING, MISSING]
    assert not [key for key in _connections._channels if key[1] == MISSING]


def test_removing_callbacks_needs_no_connection(searches: list[str]) -> None:
    assert camonitor(MISSING, callback=()) is None
    assert searches == []


#
# Threads, contexts, processes
#
def test_many_threads(prefix: str) -> None:
    caput([prefix + "plain", prefix + "calong", prefix + "castr"], [1.25, 7, "text"], wait=True)
    names = [prefix + name for name in ("plain", "calong", "castr", "plain.PREC", "calong.EGU")]
    failed: list[Any] = []

    def work(number: int) -> None:
        try:
            for _ in range(50):
                assert caget(names[:3]) == [1.25, 7, "text"]
                assert caget(names[0], as_string=bool(number % 2)) in (1.25, "1.250")
                assert caget(names[3:]) == [3, "steps"]
                caput(prefix + f"fast{number}.DESC", str(number), wait=True)
                assert caget(prefix + f"fast{number}.DESC") == str(number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failed


def test_in_a_callback(prefix: str, connect: Connect) -> None:
    results: list[Any] = []

    def update(args: dict[str, Any]) -> None:
        if not results:
            results.append(caput([prefix + "plain", prefix + "other"], [8, 9], wait=True))
            results.append(caget([prefix + "plain", prefix + "other"]))
            results.append(caput(prefix + "slow", 1, wait=True))
            results.append(caget(prefix + "wfSHORT.EGU"))

    status, evid = ca.create_subscription(connect("fast"), update)
    assert status == ca.ECA_NORMAL
    ca.flush_io()
    wait_for(lambda: len(results) == 4)
    ca.clear_subscription(evid)
    assert results == [None, [8.0, 9.0], None, "V"]


def test_contexts_have_channels_of_their_own(run_script: RunScript) -> None:
    result = run_script(
        """
        from cachannel.util import caget, camonitor, caput
        name = P + "calong"
        print(caput(name, 3, wait=True), caget(name))
        def other():
            ca.create_context(False)
            print(caget(name))
            updates = []
            camonitor(name, callback=lambda args, _: updates.append((args["pv_value"], threading.get_ident())))
            while not updates:
                ca.pend_event(0.01)
            print(updates[0] == (3, threading.get_ident()))
            camonitor(name, callback=())
            ca.destroy_context()
            ca.create_context(True)
            print(caget(name))
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        print(caget(name))
        ca.destroy_context()
        print(caput(name, 4, wait=True), caget(name))
        """
    )
    assert_quiet(result, "None 3\n3\nTrue\n3\n3\nNone 4\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_after_fork(run_script: RunScript) -> None:
    result = run_script(
        """
        import warnings
        warnings.simplefilter("ignore")
        from cachannel.util import caget, camonitor, caput
        name = P + "calong"
        updates = []
        caput(name, 3, wait=True)
        camonitor(name, callback=lambda args, _: updates.append(args["pv_value"]))
        wait_for(lambda: updates)
        child = os.fork()
        if child == 0:
            print("child", caget(name), flush=True)
            camonitor(name, callback=())
            os._exit(0)
        os.waitpid(child, 0)
        caput(name, 4, wait=True)
        wait_for(lambda: updates[-1] == 4)
        print("parent", caget(name))
        """
    )
    # libCom warns of its use in a process that came from a fork.
    lines = [line for line in result.stderr.splitlines() if "fork()" not in line and "Undefined Behavior" not in line]
    assert_quiet(result._replace(stderr="".join(lines)), "child 3\nparent 4\n")


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
@pytest.mark.parametrize("call", ["caget('no-such-pv:in-any-ioc', timeout=20)", "caput(P + 'stuck9', 1, wait=True)"])
def test_ctrl_c(run_script: RunScript, call: str) -> None:
    result = run_script(
        f"""
        from cachannel.util import caget, caput
        caget([P + "stuck9", P + "calong"])
        pressed = []
        def press():
            time.sleep(0.3)
            pressed.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=press, daemon=True).start()
        try:
            {call}
        except KeyboardInterrupt:
            took = time.monotonic() - pressed[0]
            # 0.2 s is promised; the rest is for a machine that is busy.
            print("interrupted" if took < 0.5 else f"only after {{took}} s")
        print(isinstance(caget(P + "calong"), int))
        """
    )
    assert_quiet(result, "interrupted\nTrue\n")


#
# cainfo
#
def test_cainfo(prefix: str, ioc: Ioc, capsys: pytest.CaptureFixture[str], connect: Connect) -> None:
    host = ca.host_name(connect("cawave"))
    write(connect("cawave"), [1.0])
    names = [prefix + name for name in ("cawave", "readonly", "hidden", "castr")]
    assert cainfo(names) is None
    wanted = [("DOUBLE", 5, "RW", True), ("DOUBLE", 1, "R", True), ("DOUBLE", 1, "No access", False)]
    wanted.append(("STRING", 1, "RW", True))
    text = ""
    for name, (kind, count, access, readable) in zip(names, wanted):
        text += f"{name}\n    State:          Connected\n    Host:           {host}\n"
        text += f"    Data type:      DBF_{kind}\n    Element count:  {count}\n    Access:         {access}\n"
        if readable:
            text += "    Status:         NO_ALARM\n    Severity:       NO_ALARM\n"
    assert capsys.readouterr().out == text


def test_cainfo_prints_the_others_where_one_fails(prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CaChannelException) as raised:
        cainfo([MISSING, prefix + "calong"], timeout=0.3)
    assert raised.value.pvname == MISSING
    assert capsys.readouterr().out.startswith(prefix + "calong\n")
    missing, found = cainfo([MISSING, prefix + "calong"], timeout=0.3, throw=False)
    assert missing.pvname == MISSING
    assert found is None


@pytest.mark.parametrize("name", ["catest", "calong", "castr", "cabo", "cawave", "cawavec", "cawaves"])
def test_what_could_not_be_read_is_not_written(prefix: str, name: str) -> None:
    """A CaNothing counts as its status where an integer is wanted: not as a value to write."""
    nothing = caget(MISSING, timeout=0.1, throw=False)
    before = caget(prefix + name)
    for value in (nothing, [nothing], [nothing, nothing], np.array([nothing])):
        with pytest.raises(CaChannelTypeError):
            caput(prefix + name, value)
    with ChannelGroup([prefix + name] * 2) as group, pytest.raises((CaChannelException, TypeError)):
        group.put([nothing, nothing])
    assert caget(prefix + name) == before


def test_the_channels_as_a_dict(prefix: str) -> None:
    """As 3.x kept them."""
    name = prefix + "catest"
    caget([name, prefix + "calong"])
    assert {name, prefix + "calong"} <= set(util._channels_)
    assert len(util._channels_) == len(list(util._channels_))
    channel = util._channels_[name]
    assert type(channel) is CaChannel
    assert channel is util._channels_[name] is util._channels_.get(name)
    channel.putw(2.5)
    assert caget(name) == channel.getw() == 2.5
    # A channel that is taken out of the dict is made anew.
    assert util._channels_.pop(name) is channel
    assert name not in util._channels_
    with pytest.raises(KeyError):
        util._channels_[name]
    with pytest.raises(KeyError):
        del util._channels_[name]
    assert caget(name) == 2.5
    assert util._channels_[name] is not channel
    # So is one that was cleared.
    util._channels_[name].clear_channel()
    assert caget(name) == 2.5
    # One that is put in is used.
    own = CaChannel(name)
    own.searchw()
    util._channels_[name] = own
    assert util._channels_[name] is own
    assert caget(name) == 2.5
    assert repr(own) in repr(util._channels_)
    calls: list[Any] = []
    monitor = util.camonitor(name, callback=lambda event, _: calls.append(event), add=True)
    wait_for(lambda: calls)
    util._channels_.clear()
    assert len(util._channels_) == 0
    assert repr(monitor).endswith("stopped>")
