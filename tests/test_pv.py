"""Class PV: one PV that connects by itself, is read, written, waited for and looked at."""

from __future__ import annotations

import gc
import math
import os
import pickle
import secrets
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any, Callable

import cachannel
import numpy as np
import pytest
from array_server import ArrayServer
from cachannel import PV, CaChannel, CaChannelException, CaChannelTimeout, ChannelGroup, ca, util
from conftest import HARD_LIMIT, SERVER_PORT
from helpers import RunScript, assert_quiet
from ioc import Ioc
from server_process import free_port, wait_for

MakePV = Callable[..., PV]

MISSING = "no-such-pv:in-any-ioc"


@pytest.fixture
def pv(prefix: str, ioc: Ioc) -> Iterator[MakePV]:
    """Gives a function from a name to a PV, which is closed after the test."""
    made: list[PV] = []

    def make(name: str, timeout: float = 10, **keywords: Any) -> PV:
        made.append(PV(prefix + name, timeout=timeout, **keywords))
        return made[-1]

    yield make
    for one in made:
        one.close()


def raised(kind: type[BaseException], function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    with pytest.raises(kind) as caught:
        function(*args, **keywords)
    return caught.value


# Connection


def test_it_connects_by_itself(pv: MakePV) -> None:
    test = pv("catest")
    wait_for(lambda: test.connected)
    assert test.name.endswith("catest")
    test.wait_connected(0)


def test_what_needs_the_connection_waits_for_it(pv: MakePV, prefix: str) -> None:
    assert pv("calong").type == "long"
    assert pv("cawave").count == 5
    assert pv("catest").access == "read/write"
    assert pv("readonly").access == "read-only"
    assert pv("hidden").access == "no access"
    assert pv("catest").host.endswith(f":{SERVER_PORT}")
    assert pv("catest").units == "mm"
    assert pv("catest").get().name == prefix + "catest"
    pv("calong").put(5, wait=True)
    assert {pv(name).type for name in ("castr", "cabo", "wfSHORT", "wfFLOAT", "wfCHAR", "catest")} == {
        "string",
        "enum",
        "short",
        "float",
        "char",
        "double",
    }


@pytest.mark.parametrize(
    "use",
    [
        lambda test: test.get(),
        lambda test: test.put(1),
        lambda test: test.units,
        lambda test: test.host,
        lambda test: test.value,
        lambda test: test.severity,
        lambda test: test.wait_connected(),
        lambda test: test.wait_for(1),
    ],
)
def test_what_is_not_found_raises_in_time(use: Callable[[PV], Any]) -> None:
    with PV(MISSING, timeout=0.2) as test:
        began = time.monotonic()
        error = raised(CaChannelTimeout, use, test)
        assert 0.2 <= time.monotonic() - began < 2
        assert isinstance(error, TimeoutError)
        assert error.pvname == MISSING
        assert str(error).startswith(f"{MISSING}: no server answered within 0.2 s: is the name right")


def test_timeouts(pv: MakePV) -> None:
    test = pv("catest")
    test.wait_connected()
    assert PV(MISSING).timeout == CaChannel.ca_timeout
    assert PV(MISSING, timeout=1.5).timeout == 1.5
    assert test.get(timeout=math.inf) == test.get(timeout=None)
    began = time.monotonic()
    for timeout in (0, 0.0, 1e-9):
        raised(CaChannelTimeout, PV(MISSING).get, timeout=timeout)
        raised(CaChannelTimeout, PV(MISSING).wait_for, 1, timeout=timeout)
    assert time.monotonic() - began < 2
    for wrong in (-1, math.nan):
        raised(ValueError, test.get, timeout=wrong)
        raised(ValueError, PV, MISSING, timeout=wrong)
    for other in ("1", [1]):
        raised(TypeError, test.get, timeout=other)
        raised(TypeError, test.wait_for, 1, timeout=other)


def test_names_that_cannot_be() -> None:
    raised(CaChannelException, PV, "")
    for wrong in (None, 5):
        raised(TypeError, PV, wrong)


def test_every_time_out_is_a_timeout_error(own_ioc: Ioc) -> None:
    def searched() -> CaChannel:
        channel = CaChannel(MISSING)
        channel.setTimeout(0.1)
        return channel

    def grouped() -> None:
        with ChannelGroup([MISSING], timeout=0.1) as group:
            group.get()

    channel = CaChannel(own_ioc.prefix + "catest")
    channel.setTimeout(10)
    channel.searchw()
    channel.setTimeout(0.1)
    own_ioc.pause()
    for call in (
        searched().searchw,
        channel.getw,
        grouped,
        lambda: util.caget(MISSING, timeout=0.1),
        lambda: util.caget(MISSING, timeout=0.1, format=1),
        lambda: util.cainfo(MISSING, timeout=0.1),
    ):
        error = raised(TimeoutError, call)
        assert isinstance(error, CaChannelTimeout)
        assert error.status is ca.ECA.TIMEOUT
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.pvname, again.errno) == (
            type(error),
            str(error),
            error.pvname,
            error.errno,
        )
    channel.clear_channel()


def test_its_connection_callback(own_ioc: Ioc) -> None:
    told: list[tuple[PV, bool]] = []
    with PV(own_ioc.prefix + "catest", connection_callback=lambda *args: told.append(args)) as test:
        wait_for(lambda: told == [(test, True)])
        own_ioc.kill()
        wait_for(lambda: told == [(test, True), (test, False)])
        assert not test.connected


# Reading and writing


def test_what_is_put_is_read(pv: MakePV) -> None:
    test = pv("catest")
    assert test.put(2.5, wait=True) is None
    assert test.get() == 2.5
    test.value = 3.5
    wait_for(lambda: test.value == 3.5)
    test.put(test.get() + 1, wait=True)
    assert test.get() == 4.5
    test.put(12.5, wait=True)
    assert (test.severity, test.status) == (ca.AlarmSeverity.Minor, ca.AlarmCondition.High)
    assert test.severity.name == "Minor"
    assert abs(test.timestamp - time.time()) < 60
    assert abs(test.datetime64 - np.datetime64(time.time_ns(), "ns")) < np.timedelta64(60, "s")
    test.put(0, wait=True)


def test_an_enum_is_its_number(pv: MakePV) -> None:
    test = pv("cabo")
    test.put("Busy", wait=True)
    value = test.get()
    assert (value, value.enums, test.enum_strings) == (1, ["Done", "Busy"], ["Done", "Busy"])
    assert test.get(as_string=True) == "Busy"
    test.put("Done")
    assert test.get(as_string=True) == "Done"
    test.put(1, wait=True)
    assert test.get() == 1
    test.put(0, wait=True)


def test_a_state_without_a_name(pv: MakePV) -> None:
    test = pv("gaps")
    test.put(2, wait=True)
    assert test.get() == 2
    assert test.get(as_string=True) == "2"
    assert test.enum_strings == ["zero", " one ", "", "three"]
    test.put(9, wait=True)
    assert test.get(as_string=True) == "9"
    test.put(" one ", wait=True)
    assert test.get() == 1
    test.put(0, wait=True)


def test_arrays(pv: MakePV) -> None:
    wave = pv("cawave")
    wave.put(range(4), wait=True)
    value = wave.get()
    assert value.tolist() == [0, 1, 2, 3]
    assert value.dtype == np.float64
    assert value.element_count == 5
    assert wave.get(count=2).tolist() == [0, 1]
    one = wave.get(count=1)
    assert (one, isinstance(one, float), one.units) == (0, True, "V")
    wave.put(value * 2, wait=True)
    assert wave.get().tolist() == [0, 2, 4, 6]
    wave.put([], wait=True)
    empty = wave.get()
    assert (empty.shape, empty.dtype, empty.units) == ((0,), np.float64, "V")
    for name, dtype in (("wfSHORT", np.int16), ("wfLONG", np.int32), ("wfFLOAT", np.float32), ("wfCHAR", np.uint8)):
        pv(name).put([1, 2, 3], wait=True)
        assert (pv(name).get().dtype, pv(name).get().tolist()) == (dtype, [1, 2, 3])
    texts = pv("cawaves")
    texts.put(["one", "three", ""], wait=True)
    assert texts.get().tolist() == ["one", "three", ""]
    assert texts.get().dtype == np.dtype("<U5")
    texts.put(texts.get()[:2], wait=True)
    assert texts.get()[1] == "three"


def test_texts(pv: MakePV) -> None:
    chars = pv("cawavec")
    chars.put("text", wait=True)
    assert chars.get(as_string=True) == "text"
    assert chars.get().tolist()[:4] == list(b"text")
    long = pv("catest.DESC$")
    assert long.type == "char"
    long.put("forty bytes, one more than a string has.", wait=True)
    assert long.get() == "forty bytes, one more than a string has."
    assert isinstance(long.get(), str)
    error = raised(ValueError, long.put, "x" * 41)
    assert error.status is ca.ECA.STRTOBIG
    plain = pv("castr")
    plain.put("hello", wait=True)
    assert plain.get() == "hello"


def test_64_bits(pv: MakePV) -> None:
    wide = pv("wide")
    wide.put(2**52 + 1, wait=True)
    assert wide.get() == 2**52 + 1
    wide.put(7, wait=True)
    several = pv("wfINT64")
    several.put([2**40, -1], wait=True)
    assert several.get().tolist() == [2**40, -1]


def test_datatypes(pv: MakePV) -> None:
    test = pv("catest")
    test.put(2.75, wait=True)
    for datatype, value, kind in (
        (float, 2.75, float),
        (str, "2.7500", str),
        ("f4", 2.75, float),
        (ca.DBR_LONG, 2, int),
        (ca.DBR_TIME_DOUBLE, 2.75, float),
        (ca.DBR_CTRL_DOUBLE, 2.75, float),
    ):
        got = test.get(datatype=datatype)
        assert (got, isinstance(got, kind), got.units) == (value, True, "mm"), datatype
    test.put("3.5", datatype=str, wait=True)
    assert test.get() == 3.5
    raised(ValueError, test.get, datatype=99)
    raised(TypeError, test.get, datatype=dict)
    # To these a server would cut the value, and nobody would hear of it.
    for datatype in (int, bool, "u1", "u2", np.uint32, np.int64):
        raised(TypeError, test.get, datatype=datatype)
        raised(TypeError, test.subscribe, print, datatype=datatype)
    test.put(0, wait=True)


def test_a_put_that_cannot_be(pv: MakePV) -> None:
    wave, test, enum = pv("cawave"), pv("catest"), pv("cabo")
    wave.put([1, 2], wait=True)
    for wait in (False, True):
        error = raised(ValueError, wave.put, range(6), wait=wait)
        assert error.status is ca.ECA.BADCOUNT
        raised(ValueError, pv("calong").put, "no number", wait=wait)
        raised(TypeError, test.put, object(), wait=wait)
        error = raised(CaChannelException, enum.put, "Neither", wait=wait)
        assert error.status is ca.ECA.PUTFAIL
        assert "'Neither'" in str(error)
        for name in ("readonly", "hidden"):
            error = raised(CaChannelException, pv(name).put, 1, wait=wait)
            assert (error.status, error.pvname) == (ca.ECA.NOWTACCESS, pv(name).name)
    assert wave.get().tolist() == [1, 2]
    pv("other.DISP").put(1, wait=True)
    error = raised(CaChannelException, pv("other").put, 1, wait=True)
    assert error.status is ca.ECA.PUTFAIL
    assert "other.DISP is 1" in str(error)
    pv("other.DISP").put(0, wait=True)


def test_a_read_that_cannot_be(pv: MakePV) -> None:
    hidden = pv("hidden")
    assert raised(CaChannelException, hidden.get).status is ca.ECA.NORDACCESS
    for _ in range(2):
        assert raised(CaChannelException, lambda: hidden.units).status is ca.ECA.NORDACCESS


def test_completion(pv: MakePV) -> None:
    stuck = pv("stuck6")
    stuck.wait_connected()
    error = raised(CaChannelTimeout, stuck.put, 1, wait=True, timeout=0.2)
    assert str(error).endswith("it was written, and may complete later")
    slow = pv("slow")
    slow.wait_connected()
    began = time.monotonic()
    slow.put(2, wait=True)
    assert time.monotonic() - began >= 0.3
    began = time.monotonic()
    slow.put(1)
    assert time.monotonic() - began < 0.4


def test_properties(pv: MakePV) -> None:
    test = pv("catest")
    assert (test.units, test.precision) == ("mm", 4)
    assert (test.upper_disp_limit, test.lower_disp_limit) == (20, -20)
    assert (test.upper_alarm_limit, test.lower_alarm_limit) == (20, -20)
    assert (test.upper_warning_limit, test.lower_warning_limit) == (10, -10)
    pv("catest.DRVH").put(15, wait=True)
    wait_for(lambda: (test.upper_ctrl_limit, test.lower_ctrl_limit) == (15, 0))
    value = test.get()
    names = [f"{end}_{kind}_limit" for end in ("upper", "lower") for kind in ("disp", "alarm", "warning", "ctrl")]
    assert [getattr(value, name) for name in names] == [getattr(test, name) for name in names]
    pv("catest.DRVH").put(0, wait=True)
    assert type(pv("calong").upper_disp_limit) is int
    pv("other.EGU").put("µm", wait=True)
    assert pv("other").units == "µm"
    pv("other.EGU").put("", wait=True)


def test_properties_are_kept_up_to_date(pv: MakePV, prefix: str) -> None:
    test, enum = pv("catest"), pv("states")
    assert test.units == "mm"
    assert enum.enum_strings[0] == "zero"
    value = test.get()
    util.caput([f"{prefix}catest.EGU", f"{prefix}catest.PREC", f"{prefix}catest.HOPR"], ["m", "2", "40"], wait=True)
    util.caput(f"{prefix}states.ZRST", "none", wait=True)
    try:
        wait_for(lambda: (test.units, test.precision, test.upper_disp_limit) == ("m", 2, 40))
        wait_for(lambda: enum.enum_strings[0] == "none")
        assert test.get().units == "m"
        enum.put("none", wait=True)
        assert enum.get(as_string=True) == "none"
        assert value.units == "mm", "a value is as it came"
    finally:
        util.caput([f"{prefix}catest.EGU", f"{prefix}catest.PREC", f"{prefix}catest.HOPR"], ["mm", "4", "20"])
        util.caput(f"{prefix}states.ZRST", "zero", wait=True)
    wait_for(lambda: (test.units, test.precision, enum.enum_strings[0]) == ("mm", 4, "zero"))


def test_properties_that_a_pv_does_not_have(pv: MakePV) -> None:
    text, enum, test = pv("castr"), pv("cabo"), pv("catest")
    assert not hasattr(text, "units")
    assert not hasattr(enum, "units")
    assert not hasattr(test, "enum_strings")
    assert not hasattr(text.get(), "units")
    assert not hasattr(test.get(), "enums")
    assert str(raised(AttributeError, lambda: text.units)) == f"{text.name} has no properties: string"


def test_a_record_that_was_never_processed(pv: MakePV) -> None:
    test = pv("unprocessed")
    assert test.timestamp is None
    assert np.isnat(test.datetime64)
    value = test.get()
    assert (value, value.timestamp, value.datetime, value.raw_stamp) == (0.0, None, None, None)
    assert np.isnat(value.datetime64)
    assert value.severity is ca.AlarmSeverity.Invalid


# Waiting


def test_wait_for(pv: MakePV) -> None:
    test, enum, wave, text = pv("catest"), pv("cabo"), pv("cawave"), pv("castr")
    test.put(1.5, wait=True)
    assert test.wait_for(1.5) == 1.5
    timers = [
        threading.Timer(0.1, test.put, [7.5]),
        threading.Timer(0.2, enum.put, ["Busy"]),
        threading.Timer(0.3, wave.put, [[1, 2, 3]]),
        threading.Timer(0.4, text.put, ["there"]),
    ]
    for timer in timers:
        timer.start()
    value = test.wait_for(lambda value: value > 5, timeout=10)
    assert (value, value.units, value.timestamp > 0) == (7.5, "mm", True)
    assert enum.wait_for("Busy") == "Busy"
    assert enum.wait_for(1) == 1
    assert wave.wait_for([1, 2, 3]).tolist() == [1, 2, 3]
    assert wave.wait_for(np.array([1.0, 2, 3])).units == "V"
    assert text.wait_for("there") == "there"
    for timer in timers:
        timer.join()
    error = raised(CaChannelTimeout, test.wait_for, 99, timeout=0.1)
    assert str(error) == f"{test.name}: 99 did not come within 0.1 s"
    raised(CaChannelTimeout, wave.wait_for, [1, 2], timeout=0.1)
    raised(CaChannelTimeout, test.wait_for, lambda value: False, timeout=0.1)
    enum.put(0, wait=True)
    test.put(0, wait=True)


def test_what_a_predicate_raises(pv: MakePV) -> None:
    class OwnError(BaseException):
        pass

    def fails(value: Any) -> bool:
        raise OwnError(float(value))

    test = pv("catest")
    test.put(2, wait=True)
    assert raised(OwnError, test.wait_for, fails).args == (2.0,)
    test.put(0, wait=True)


def test_wait_for_sees_each_update(pv: MakePV) -> None:
    """Also one that is over at once."""
    test = pv("count")
    test.put(0, wait=True)
    found: list[Any] = []
    waiter = threading.Thread(target=lambda: found.append(test.wait_for(1234, timeout=20)))
    seen: list[Any] = []
    waiter.start()
    with test.subscribe(seen.append):
        while waiter.is_alive():
            test.put(1234)
            test.put(0)
            waiter.join(0.01)
    assert found == [1234]


# In callbacks, threads and processes


def test_in_a_callback(pv: MakePV) -> None:
    test, other = pv("catest"), pv("calong")
    other.put(5, wait=True)
    done: list[Any] = []

    def use(value: Any) -> None:
        missing = PV(MISSING, timeout=20)
        began = time.monotonic()
        for call in (missing.get, lambda: missing.put(1), lambda: missing.host, missing.wait_connected):
            error = raised(CaChannelException, call)
            done.append(error.status)
        done.append(raised(AttributeError, lambda: missing.units) is not None)
        done.append(raised(CaChannelException, other.wait_for, 5).status)
        done.append(time.monotonic() - began < 5)
        done.append(repr(other).startswith(f"<PV '{other.name}', connected to"))
        done.append((other.get(), other.units, other.get(as_string=True), other.count))
        other.put(6)
        other.put(7, wait=True)
        done.append(other.get())
        missing.close()

    with test.subscribe(use):
        wait_for(lambda: len(done) == 10, 20)
    assert done == [
        *[ca.ECA.DISCONN] * 4,
        True,
        ca.ECA.EVDISALLOW,
        True,
        True,
        (5, "steps", 5, 1),
        7,
    ]
    other.put(5, wait=True)


def test_many_threads(pv: MakePV, prefix: str) -> None:
    names = [prefix + f"many{tens}_{ones}" for tens in range(3) for ones in range(4)]
    failures: list[BaseException] = []
    shared = [PV(name, timeout=20) for name in names]

    def work(number: int) -> None:
        try:
            own = PV(names[number], timeout=20)
            got: list[Any] = []
            with own.subscribe(got.append):
                for count in range(50):
                    own.put(1000 * number + count, wait=True)
                    assert own.get() == 1000 * number + count
                    assert shared[number].get().name == names[number]
                    shared[(number + 1) % len(shared)].get()
                own.wait_for(1000 * number + 49)
                wait_for(lambda: got[-1] == 1000 * number + 49)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(names))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for one in shared:
        one.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_in_a_forked_child(run_script: RunScript) -> None:
    result = run_script(
        """
        import warnings
        from cachannel import PV
        logging.getLogger("cachannel.libca").setLevel(logging.ERROR)
        warnings.simplefilter("ignore", DeprecationWarning)
        test = PV(P + "catest")
        subscription = test.subscribe(lambda value: None)
        print(test.get(), test.units)
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            try:
                signal.alarm(20)
                for call in (test.get, lambda: test.put(1), lambda: test.units, lambda: test.wait_for(1),
                             lambda: test.host, lambda: test.subscribe(print)):
                    try:
                        print(call())
                    except CaChannelException as error:
                        print(str(error).partition(": ")[2])
                print(test.connected, subscription.closed)
                subscription.close()
                test.close()
                new = PV(P + "calong", timeout=10)
                print(new.get(), new.units)
                sys.stdout.flush()
            finally:
                os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        print(test.get(), test.connected)
        """
    )
    lines = result.stdout.splitlines()
    assert (result.returncode, result.stderr) == (0, ""), result
    assert lines[0] == lines[-1].replace(" True", " mm") == "0.0 mm"
    made = "Virtual circuit disconnect: the PV was made in another process, which has forked this one"
    assert lines[1:7] == [made] * 6, lines
    assert lines[7:9] == ["False True", "5 steps"]


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_ends_the_waits(run_script: RunScript) -> None:
    result = run_script(
        f"""
        import numpy
        from cachannel import PV
        test, missing = PV(P + "catest", timeout=20), PV({MISSING!r}, timeout=20)
        test.wait_connected()
        stuck = PV(P + "stuck5")
        for wait in (lambda: test.wait_for(99), missing.get, missing.wait_connected, lambda: missing.wait_for(1),
                     lambda: stuck.put(1, wait=True), lambda: test.wait_for(99, timeout=float("inf"))):
            timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            began = time.monotonic()
            try:
                wait()
            except KeyboardInterrupt:
                print(time.monotonic() - began < 0.6)
            timer.join()
        print(test.get())
        """
    )
    assert_quiet(result, "True\n" * 6 + "0.0\n")


# Servers that stop, and that know little


@pytest.mark.skipif(os.name == "nt", reason="stops a process")
def test_a_server_that_has_stopped(run_script: RunScript) -> None:
    result = run_script(
        """
        from cachannel import PV
        test, big, enum = PV(P + "calong"), PV(P + "big"), PV(P + "cabo")
        test.put(5, wait=True)
        big.wait_connected()
        enum.put("Done")
        print(test.units)
        stop_server(connect("calong"))

        def timed(call, *args, **keywords):
            began = time.monotonic()
            try:
                print(call(*args, **keywords))
            except TimeoutError as error:
                print(str(error).partition(": ")[2])
            assert 0.3 < time.monotonic() - began < 2, time.monotonic() - began

        timed(test.get, timeout=0.5)
        timed(test.wait_for, 6, timeout=0.5)
        timed(enum.put, "Busy", timeout=0.5)
        timed(test.put, 6, wait=True, timeout=0.5)
        print(test.units, repr(test).startswith(f"<PV '{test.name}', connected to "))
        written = -1
        try:
            for number in range(10):
                big.put([number] * 4_000_000, timeout=0.5)
                written = number
        except TimeoutError as error:  # libca has it in part
            print(str(error).partition(": ")[2], written)
        timed(test.put, 7, timeout=0.5)
        timed(test.put, 7, timeout=0.5, wait=True)
        os.kill(IOC_PID, signal.SIGCONT)
        print(test.get(timeout=20), enum.get(as_string=True), set(big.get(timeout=20).tolist()))
        test.put(5, wait=True)
        enum.put(0, wait=True)
        """,
        timeout=60,
    )
    over = "User specified timeout on IO operation expired"
    late, not_read, in_part = (
        f"{over}: {detail}"
        for detail in (
            "it was written, and may complete later",
            "the server does not read: it was not written",
            "the server does not read: it will be written when the server reads again",
        )
    )
    assert_quiet(
        result,
        "steps\n"
        "the server did not answer within 0.5 s\n"
        "6 did not come within 0.5 s\n"
        f"{late}\n{late}\nsteps True\n{in_part} 0\n{not_read}\n{not_read}\n6 Busy {{1.0}}\n",
    )


@pytest.mark.skipif(os.name == "nt", reason="stops a process")
def test_what_is_queued_behind_others_is_withdrawn(run_script: RunScript) -> None:
    result = run_script(
        """
        from cachannel import PV
        test, big = PV(P + "calong", timeout=0.5), PV(P + "big", timeout=10)
        test.put(5, wait=True)
        big.wait_connected()
        stop_server(connect("calong"))
        big.put([1] * 4_000_000)
        for options in ({}, {}, {"wait": True, "timeout": 0.5}):
            try:
                test.put(7, **options)
            except TimeoutError as error:
                print(str(error).rpartition(": ")[2])

        os.kill(IOC_PID, signal.SIGCONT)
        big.get(timeout=20)
        print(test.get(timeout=20))
        test.put(5, wait=True, timeout=20)
        """,
        timeout=60,
    )
    assert_quiet(result, "it will be written when the server reads again\nit was not written\nit was not written\n7\n")


def test_in_a_context_that_is_not_preemptive(run_script: RunScript) -> None:
    result = run_script(
        """
        from cachannel import PV
        ca.create_context(False)
        test, got = PV(P + "count", timeout=10), []
        with test.subscribe(got.append):
            test.put(0, wait=True)
            print(test.get(), test.units == "", test.wait_for(0))
            threading.Timer(0.2, lambda: (ca.attach_context(context), test.put(3))).start()
            context = ca.current_context()
            print(test.wait_for(3), got[-1])
            began = time.monotonic()
            try:
                test.wait_for(4, timeout=0.2)
            except TimeoutError as error:
                print(0.2 <= time.monotonic() - began < 1)
        test.put(0, wait=True)
        """
    )
    assert_quiet(result, "0 True 0\n3 3\nTrue\n")


@pytest.fixture(scope="module")
def arrays(repeater: None) -> Iterator[ArrayServer]:
    with ArrayServer("pvs:", free_port(), limit=HARD_LIMIT) as server:
        yield server


def test_a_server_of_another_kind(arrays: ArrayServer, run_script: RunScript) -> None:
    """caproto: it never sends an update for a change of properties alone."""
    result = run_script(
        """
        from cachannel import PV
        one, text = PV("pvs:double", timeout=10), PV("pvs:char", timeout=10)
        got = []
        with one.subscribe(got.append), text.subscribe(got.append, as_string=True):
            wait_for(lambda: len(got) >= 2)
            print(sorted(map(str, got)))
            print(one.get(count=2).tolist(), repr(one.units), text.get(as_string=True))
            print(PV("pvs:string", timeout=10).get()[:2].tolist())
            one.put([4.5, 5.5, 6.5], wait=True)
            print(one.wait_for(lambda value: value[0] == 4.5).tolist()[:3])
        """,
        env={"EPICS_CA_ADDR_LIST": f"127.0.0.1:{SERVER_PORT} 127.0.0.1:{arrays.port}"},
    )
    assert_quiet(result, "['[1.5 2.5]', 'text']\n[1.5, 2.5] '' text\n['one', 'two']\n[4.5, 5.5, 6.5]\n")


# Its life


def test_repr(pv: MakePV, prefix: str) -> None:
    test, wave, enum, text = pv("catest"), pv("cawave"), pv("cabo"), pv("castr")
    for one in (test, wave, enum, text):
        one.wait_connected()
    test.put(2.5, wait=True)
    text.put("hello", wait=True)
    enum.put("Done", wait=True)
    server = f"connected to {test.host}>"
    assert repr(test) == f"<PV '{prefix}catest' 2.5 mm, {server}"
    assert repr(wave) == f"<PV '{prefix}cawave' of 5 elements, {server}"
    assert repr(enum) == f"<PV '{prefix}cabo' Done, {server}"
    assert repr(text) == f"<PV '{prefix}castr' hello, {server}"
    hidden = pv("hidden")
    hidden.wait_connected()
    assert repr(hidden) == f"<PV '{prefix}hidden', {server}"
    with PV(MISSING) as missing:
        assert repr(missing) == f"<PV '{MISSING}' not connected>"
    assert repr(missing) == f"<PV '{MISSING}' closed>"
    test.put(0, wait=True)


def test_what_is_closed(prefix: str) -> None:
    with PV(prefix + "catest", timeout=10) as test:
        subscription = test.subscribe(lambda value: None)
        test.get()
    assert not test.connected
    assert subscription.closed
    assert repr(subscription) == f"<Subscription to '{prefix}catest' closed>"
    for call in (
        test.get,
        lambda: test.put(1),
        lambda: test.units,
        lambda: test.host,
        lambda: test.subscribe(print),
        lambda: test.wait_for(1),
        test.wait_connected,
    ):
        error = raised(CaChannelException, call)
        assert (error.status, str(error)) == (
            ca.ECA.DISCONN,
            f"{prefix}catest: Virtual circuit disconnect: the PV was closed",
        )
    test.close()
    subscription.close()


def test_what_is_waited_for_when_the_pv_is_closed() -> None:
    with PV(MISSING, timeout=20) as test:
        threading.Timer(0.2, test.close).start()
        began = time.monotonic()
        assert raised(CaChannelException, test.get).status is ca.ECA.DISCONN
        assert time.monotonic() - began < 5


def test_a_wait_for_a_value_ends_when_the_pv_is_closed(pv: MakePV) -> None:
    test = pv("plain")
    test.get()
    threading.Timer(0.2, test.close).start()
    began = time.monotonic()
    assert raised(CaChannelException, test.wait_for, lambda value: False, 20).status is ca.ECA.DISCONN
    assert time.monotonic() - began < 5


def test_many_that_are_dropped_leave_nothing(prefix: str) -> None:
    before = len(gc.get_objects())
    for number in range(100):
        made = [PV(f"{prefix}{secrets.token_hex(4)}") for _ in range(99)]
        made.append(PV(prefix + "catest", timeout=10))
        refs = [weakref.ref(one) for one in made]
        if number % 20 == 0:
            assert made[-1].units == "mm"
        del made
    gc.collect()
    assert [ref for ref in refs if ref() is not None] == []
    assert len(gc.get_objects()) - before < 2000


def test_one_with_a_subscription_is_collected_when_that_is_closed(prefix: str) -> None:
    class Seen(list):  # type: ignore[type-arg]
        pass

    seen = Seen()
    test = PV(prefix + "catest", timeout=10)
    subscription = test.subscribe(seen.append)
    wait_for(lambda: seen)
    refs = [weakref.ref(test), weakref.ref(subscription), weakref.ref(seen)]
    subscription.close()
    del test, subscription
    seen = Seen()
    gc.collect()
    wait_for(lambda: gc.collect() >= 0 and not any(ref() for ref in refs), 10, f"{[ref() for ref in refs]}")


def test_it_is_where_it_is_to_be_imported_from() -> None:
    assert repr(PV) == "<class 'cachannel.PV'>"
    assert repr(cachannel.Subscription) == "<class 'cachannel.Subscription'>"
