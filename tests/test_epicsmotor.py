"""epicsMotor, with simulated motor records (motor_server.py): section 2.3.4 of the manual, and beyond."""

from __future__ import annotations

import importlib
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Callable

import cachannel.epicsMotor
import pytest
from cachannel import CaChannel, CaChannelException, CaChannelTypeError, CaChannelValueError, _ca, _set_mode, ca
from cachannel.epicsMotor import epicsMotor, epicsMotorException
from cachannel.epicsPV import epicsPV
from conftest import HARD_LIMIT, RESTART_PORT
from helpers import RunScript, assert_quiet
from motor_server import MotorServer
from server_process import wait_for

MOTORS = 110  # one for each test

# libca searches for a channel that it has lost once in 10 s.
RECONNECTS = 30


class Rig:
    """One simulated motor, and the object under test."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.channels: dict[str, CaChannel] = {}
        self.motor = epicsMotor(name)

    def channel(self, suffix: str) -> CaChannel:
        if suffix not in self.channels:
            channel = CaChannel(self.name + suffix)
            channel.setTimeout(10)
            channel.searchw()
            self.channels[suffix] = channel
        return self.channels[suffix]

    def field(self, field: str) -> Any:
        return self.channel(f".{field}").getw()

    def put(self, **fields: Any) -> None:
        for field, value in fields.items():
            self.channel(f".{field}").putw(value)
            self.channel(f".{field}").getw()

    def fault(self, **faults: Any) -> None:
        for fault, value in faults.items():
            self.channel(f":{fault}").putw(value)
            self.channel(f":{fault}").getw()

    def writes(self) -> list[str]:
        return str(self.channel(":writes").getw()).split()

    def positions(self, readback: bool = True) -> tuple[float, float, float]:
        """User, dial, step."""
        m = self.motor
        user, dial = m.get_position(readback=readback), m.get_position(dial=True, readback=readback)
        return user, dial, m.get_position(step=True, readback=readback)

    def close(self) -> None:
        self.motor.close()
        for channel in self.channels.values():
            channel.clear_channel()


@pytest.fixture(scope="module")
def server(prefix: str, repeater: None) -> Iterator[MotorServer]:
    with MotorServer(prefix, RESTART_PORT, motors=MOTORS, limit=HARD_LIMIT) as motors:
        yield motors


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return iter(range(1, MOTORS + 1))


@pytest.fixture
def rig(server: MotorServer, numbers: Iterator[int]) -> Iterator[Rig]:
    """A motor that no other test has used; at 0, with limits of -100 and 100 mm, 20 mm/s, 0.001 mm a step."""
    server.start()
    one = Rig(f"{server.prefix}m{next(numbers)}")
    yield one
    one.close()


@pytest.fixture
def m(rig: Rig) -> epicsMotor:
    return rig.motor


#
# The object
#
def test_all_fields_connect_in_one_round(
    server: MotorServer, numbers: Iterator[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []
    wait_io = _ca.wait_io

    def counted(*args: Any, **kwargs: Any) -> None:
        waits.append(args)
        wait_io(*args, **kwargs)

    monkeypatch.setattr(_ca, "wait_io", counted)
    with epicsMotor(f"{server.prefix}m{next(numbers)}") as motor:
        assert len(waits) == 1
        assert {pv.state() for pv in motor.pvs.values()} == {ca.ChannelState.CONN}


def test_a_motor_that_is_not_there(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epicsPV, "ca_timeout", 0.3)
    said = r"nosuch: no server answered within 0\.3 s: there is no connection to any of its fields"
    with pytest.raises(CaChannelException, match=said) as error:
        epicsMotor(f"{prefix}nosuch")
    assert error.value.status == ca.ECA_TIMEOUT


@pytest.mark.parametrize("name", ["", None, 5])
def test_what_is_no_name(name: Any) -> None:
    with pytest.raises(TypeError, match=f"name of its record, not {name!r}"):
        epicsMotor(name)


def test_a_record_that_is_no_motor(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epicsPV, "ca_timeout", 0.5)
    with pytest.raises(CaChannelException) as error:
        epicsMotor(f"{prefix}catest")
    fields = str(error.value).partition("no connection to ")[2].partition(" within")[0].split(", ")
    assert {".DVAL", ".DMOV", ".SET"} <= set(fields)
    assert not {".VAL", ".DESC"} & set(fields)


def test_repr(rig: Rig) -> None:
    wait_for(lambda: "done moving" in repr(rig.motor))
    assert repr(rig.motor) == f"<epicsMotor {rig.name!r} done moving>"
    rig.motor.close()
    assert repr(rig.motor) == f"<epicsMotor {rig.name!r} disconnected>"


def test_closed(m: epicsMotor) -> None:
    with m as same:
        assert same is m
    for use in (lambda: m.move(1), m.get_position, m.wait, m.stop, m.check_limits, lambda: m.slew_speed):
        with pytest.raises(CaChannelException):
            use()


def test_it_goes_with_its_last_reference(server: MotorServer, numbers: Iterator[int]) -> None:
    motor = epicsMotor(f"{server.prefix}m{next(numbers)}")
    motor.move(1)
    motor.wait()
    gone = weakref.ref(motor), weakref.ref(motor.pvs["dmov"])
    del motor
    assert [ref() for ref in gone] == [None, None]


def test_old_name() -> None:
    old = importlib.import_module("epicsMotor")
    assert old is cachannel.epicsMotor
    assert not issubclass(old.epicsMotorException, CaChannelException)


#
# Properties
#
@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("slew_speed", "VELO", 12.5),
        ("base_speed", "VBAS", 0.5),
        ("acceleration", "ACCL", 0.25),
        ("description", "DESC", "slit, top blade"),
        ("resolution", "MRES", -0.002),
        ("high_limit", "HLM", 50.5),
        ("low_limit", "LLM", -50.5),
        ("dial_high_limit", "DHLM", 60.5),
        ("dial_low_limit", "DLLM", -60.5),
        ("backlash", "BDST", -0.1),
        ("offset", "OFF", 3.25),
    ],
)
def test_property(rig: Rig, name: str, field: str, value: Any) -> None:
    setattr(rig.motor, name, value)
    assert rig.field(field) == value
    assert getattr(rig.motor, name) == value
    assert type(getattr(rig.motor, name)) is type(value)


def test_done_moving_is_read_only(m: epicsMotor) -> None:
    assert m.done_moving == 1
    with pytest.raises(AttributeError, match=r"done_moving \(\.DMOV\) is read-only"):
        m.done_moving = 0
    m.move(10)
    assert m.done_moving == 0
    m.wait()
    assert m.done_moving == 1


def test_property_without_write_access(rig: Rig) -> None:
    rig.motor.pvs["velo"] = epicsPV(f"{rig.name}.RBV")
    with pytest.raises(CaChannelException) as error:
        rig.motor.slew_speed = 3
    assert error.value.status == ca.ECA_NOWTACCESS


def test_properties_have_docstrings() -> None:
    assert "per second" in str(epicsMotor.slew_speed.__doc__)


#
# Moves
#
def test_a_move_takes_its_time(rig: Rig) -> None:
    m = rig.motor
    began = time.monotonic()
    m.move(10)
    assert m.get_position() == 10
    assert m.get_position(readback=True) < 10
    m.wait()
    assert 0.4 < time.monotonic() - began < 5
    assert rig.positions() == rig.positions(readback=False) == (10, 10, 10000)


@pytest.mark.parametrize(
    ("field", "move", "expected"),
    [
        ({}, {"value": 3}, (3, 3, 3000)),
        ({}, {"value": 3, "dial": True}, (3, 3, 3000)),
        ({}, {"value": 3, "step": True}, (0.003, 0.003, 3)),
        ({"OFF": 5}, {"value": 3}, (3, -2, -2000)),
        ({"OFF": 5}, {"value": 3, "dial": True}, (8, 3, 3000)),
        ({"OFF": 5, "DIR": 1, "MRES": -0.25}, {"value": 3}, (3, 2, -8)),
        ({"OFF": 5, "DIR": 1, "MRES": -0.25}, {"value": 3, "dial": True}, (2, 3, -12)),
        ({"OFF": 5, "DIR": 1, "MRES": -0.25}, {"value": 12, "step": True}, (8, -3, 12)),
        ({"DIR": "Neg", "MRES": 1 / 3}, {"value": 2.0, "step": True}, (-2 / 3, 2 / 3, 2)),
    ],
)
def test_coordinates(
    rig: Rig, field: dict[str, Any], move: dict[str, Any], expected: tuple[float, float, float]
) -> None:
    rig.put(FOFF=1, **field)
    rig.motor.move(**move)
    rig.motor.wait()
    assert rig.positions() == pytest.approx(expected)
    assert rig.positions(readback=False) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("keywords", "amount", "expected"),
    [({}, 2, (3, -3, 12)), ({"dial": True}, 2, (-1, 1, -4)), ({"step": True}, 16, (5, -5, 20))],
)
def test_relative(rig: Rig, keywords: dict[str, bool], amount: float, expected: tuple[float, float, float]) -> None:
    rig.put(DIR=1, MRES=-0.25)
    rig.motor.move(1)
    rig.motor.wait()
    assert rig.positions() == (1, -1, 4)
    rig.motor.move(amount, relative=True, **keywords)
    rig.motor.wait(poll=0.5)
    assert rig.positions() == expected


def test_a_subscription_of_the_program_to_dmov_leaves_the_motors_alone(m: epicsMotor) -> None:
    told: list[Any] = []
    dmov = m.pvs["dmov"]
    dmov.add_masked_array_event(None, None, None, lambda event, user_args: told.append(event["pv_value"]))
    dmov.change_connection_event(lambda event, user_args: None)
    dmov.flush_io()
    wait_for(lambda: told == [1])
    m.move(0.01)
    m.wait(start=True, stop=True, timeout=10)
    wait_for(lambda: told[-2:] == [0, 1])
    dmov.clear_event()
    m.move(10)
    m.wait(start=True, timeout=10)
    assert m.get_position(readback=True) < 10


def test_a_new_target_in_the_middle(m: epicsMotor) -> None:
    m.move(10)
    m.wait(start=True)
    m.move(-1)
    m.wait(start=True, stop=True, timeout=20)
    assert m.get_position(readback=True) == -1


@pytest.mark.parametrize("method", ["move", "set_position"])
def test_dial_and_step_exclude_each_other(rig: Rig, method: str) -> None:
    with pytest.raises(CaChannelTypeError, match="exclude each other"):
        getattr(rig.motor, method)(1, dial=True, step=True)
    with pytest.raises(CaChannelTypeError, match="exclude each other"):
        rig.motor.get_position(dial=True, step=True)
    assert rig.writes() == []


@pytest.mark.parametrize("method", ["move", "set_position"])
@pytest.mark.parametrize("value", ["here", None, float("nan"), float("-inf"), [1, 2]])
def test_what_is_no_position(rig: Rig, method: str, value: Any) -> None:
    with pytest.raises((CaChannelTypeError, CaChannelValueError), match=rig.name):
        getattr(rig.motor, method)(value)
    assert rig.writes() == []


def test_steps_are_whole(rig: Rig) -> None:
    with pytest.raises(CaChannelValueError, match="whole"):
        rig.motor.move(1.5, step=True)
    assert rig.writes() == []


def test_stop_in_the_middle(rig: Rig) -> None:
    m = rig.motor
    m.move(90)
    wait_for(lambda: m.get_position(readback=True) > 1)
    m.stop()
    m.wait(timeout=5)
    user, dial, step = rig.positions()
    assert 1 < user < 80
    assert (user, dial, step) == rig.positions(readback=False)


#
# Waiting
#
def test_a_move_between_two_polls(rig: Rig) -> None:
    rig.fault(instant=1)
    for target in range(1, 30):
        rig.motor.move(target)
        rig.motor.wait(start=True, stop=True, timeout=10)
        assert rig.motor.get_position(readback=True) == target


def test_a_move_between_two_polls_after_it_is_long_over(rig: Rig) -> None:
    rig.fault(instant=1)
    rig.motor.move(5)
    ca.pend_event(0.05)
    rig.motor.wait(start=True, stop=True, timeout=10)
    rig.motor.move(6)
    rig.motor.wait(start=True, timeout=10)
    rig.motor.wait(stop=True, timeout=10)


def test_a_move_of_which_the_monitor_tells_the_end_alone(rig: Rig) -> None:
    wait_for(lambda: "done" in repr(rig.motor))
    rig.fault(instant=2)
    rig.motor.move(5)
    rig.motor.wait(start=True, stop=True, timeout=10)


def test_a_move_that_begins_late(rig: Rig) -> None:
    rig.fault(lag=0.2)
    rig.motor.move(2)
    rig.motor.wait(start=True, stop=True, timeout=10)
    assert rig.motor.get_position(readback=True) == 2


def test_a_move_to_where_it_is(m: epicsMotor) -> None:
    m.move(0)
    m.wait(start=True, stop=True, timeout=10)


def test_a_second_start_is_another_start(m: epicsMotor) -> None:
    m.move(1)
    m.wait(start=True, stop=True)
    with pytest.raises(CaChannelException, match=r"it has not started within 0.1 s; it stands at 1.000 mm") as error:
        m.wait(start=True, timeout=0.1)
    assert error.value.status == ca.ECA_TIMEOUT


def test_somebody_elses_move(rig: Rig) -> None:
    ended = threading.Event()

    def wait() -> None:
        rig.motor.wait(start=True, stop=True, timeout=20)
        ended.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert not ended.wait(0.1)
    rig.put(VAL=8)
    assert ended.wait(20)
    assert rig.motor.get_position(readback=True) == 8
    waiter.join()


def test_not_moving_is_no_wait(m: epicsMotor) -> None:
    m.wait(timeout=10)
    m.wait()


def test_timeout(m: epicsMotor) -> None:
    m.move(20)
    began = time.monotonic()
    with pytest.raises(
        CaChannelException, match=rf"{m.name}: .*it has not stopped within 0.2 s; it stands at"
    ) as error:
        m.wait(start=True, stop=True, timeout=0.2)
    assert error.value.status == ca.ECA_TIMEOUT
    assert 0.15 < time.monotonic() - began < 2
    # The motor goes on, and the earlier start still counts.
    m.wait(start=True, stop=True, timeout=20)
    assert m.get_position(readback=True) == 20


@pytest.mark.parametrize("timeout", [-1, float("nan"), "soon"])
def test_bad_timeout(m: epicsMotor, timeout: Any) -> None:
    with pytest.raises(CaChannelValueError, match="timeout"):
        m.wait(timeout=timeout)


def test_a_server_that_hangs(rig: Rig, server: MotorServer) -> None:
    rig.motor.move(50)
    server.pause()
    try:
        began = time.monotonic()
        with pytest.raises(CaChannelException) as error:
            rig.motor.wait(timeout=0.3)
        assert error.value.status == ca.ECA_TIMEOUT
        assert time.monotonic() - began < 3
    finally:
        server.resume()
    rig.motor.stop()
    rig.motor.wait(timeout=10)


def test_in_a_callback(rig: Rig) -> None:
    reached: list[Any] = []

    def move(epics_args: Any, user_args: Any) -> None:
        with suppress(Exception):
            rig.motor.move(2)
            rig.motor.wait(start=True, stop=True, timeout=10)
            reached.append(rig.motor.get_position(readback=True))

    rig.channel(".DESC").array_get_callback(None, None, move)
    ca.flush_io()
    wait_for(lambda: reached, 15)
    assert reached == [2]


def test_in_a_context_that_is_not_preemptive(rig: Rig, run_script: RunScript) -> None:
    code = """
    from cachannel.epicsMotor import epicsMotor
    ca.create_context(False)
    m = epicsMotor({!r})
    for target in (2, 1):
        m.move(target)
        m.wait(start=True, stop=True, timeout=20)
        print(m.get_position(readback=True))
    """
    assert_quiet(run_script(code.format(rig.name)), "2.0\n1.0\n")


@pytest.mark.parametrize("preemptive", [True, False])
def test_in_a_callback_that_is_called_at_once(rig: Rig, run_script: RunScript, preemptive: bool) -> None:
    """No other callback runs in it, but the updates that the motor needs reach the motor."""
    code = f"""
    from cachannel.epicsMotor import epicsMotor
    ca.create_context({preemptive})
    m, c = epicsMotor({rig.name!r}), CaChannel({rig.name + ".DESC"!r})
    c.searchw()
    def changed(args, user_args):
        for target in (2, 1):
            m.move(target)
            m.wait(start=True, stop=True, timeout=20)
            print(m.get_position(readback=True))
    c.replace_access_rights_event(changed)
    """
    assert_quiet(run_script(code), "2.0\n1.0\n")


def test_ctrl_c(rig: Rig, run_script: RunScript) -> None:
    code = """
    from cachannel.epicsMotor import epicsMotor
    m = epicsMotor({!r})
    m.move(100)
    m.wait(start=True)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    try:
        m.wait()
    except KeyboardInterrupt:
        print(time.monotonic() - began < 0.8, m.done_moving)
    m.stop()
    """
    assert_quiet(run_script(code.format(rig.name)), "True 0\n")


#
# Soft limits
#
@pytest.mark.parametrize(
    ("move", "limit", "text"),
    [
        ({"value": 101}, "high soft", "a move to 101 mm was asked for; the limits are -10 and 100 mm"),
        ({"value": -15.5}, "low soft", "a move to -15.5 mm was asked for; the limits are -10 and 100 mm"),
        ({"value": 99, "relative": True}, "high soft", "a move by 99 mm was asked for; the limits are -10 and 100 mm"),
        (
            {"value": 96, "dial": True},
            "high soft",
            "a move to 96 mm (dial) was asked for; the limits are -15 and 95 mm (dial)",
        ),
        (
            {"value": -20000, "step": True, "relative": True},
            "low soft",
            "a move to -23000 steps was asked for; the limits are -15000 and 95000 steps",
        ),
    ],
)
def test_soft_limit(rig: Rig, move: dict[str, Any], limit: str, text: str) -> None:
    m = rig.motor
    rig.put(OFF=5)
    m.high_limit, m.low_limit = 100, -10
    m.move(2)
    m.wait()
    with pytest.raises(epicsMotorException) as error:
        m.move(**move)
    title = f"Soft limit violation ({limit.split()[0]})"
    assert str(error.value) == error.value.message == f"{title}: {rig.name} stands at 2.000 mm; {text}"
    assert (error.value.motor, error.value.limit, error.value.position) == (rig.name, limit, 2)
    assert (rig.positions(), m.done_moving) == ((2, -3, -3000), 1)
    for again in (m.check_limits, lambda: m.wait(start=True, stop=True, timeout=10), m.wait):
        with pytest.raises(epicsMotorException) as error:
            again()
        assert error.value.limit == limit
    m.move(3)
    m.wait()
    m.check_limits()


def test_soft_limit_ignored(m: epicsMotor) -> None:
    m.move(200, ignore_limits=True)
    m.wait(start=True, stop=True, ignore_limits=True, timeout=10)
    assert m.get_position() == m.get_position(readback=True) == 0
    with pytest.raises(epicsMotorException, match=r"^Soft limit violation \(high\)"):
        m.check_limits()


def test_somebody_elses_soft_limit(rig: Rig) -> None:
    rig.motor.move(1)
    rig.motor.wait()
    rig.put(VAL=500)
    with pytest.raises(epicsMotorException) as error:
        rig.motor.check_limits()
    assert str(error.value) == f"Soft limit violation: {rig.name} stands at 1.000 mm; the limits are -100 and 100 mm"


#
# Limit switches
#
@pytest.mark.parametrize(
    ("field", "fault", "target", "limit", "stands"),
    [
        ({}, {"high_switch": 5000}, 20, "high hard", 5),
        ({}, {"low_switch": -5000}, -20, "low hard", -5),
        ({"DIR": 1}, {"high_switch": 5000}, -20, "low hard", -5),
        ({"MRES": -0.001}, {"low_switch": -5000}, 20, "high hard", 5),
    ],
)
def test_limit_switch(
    rig: Rig, field: dict[str, Any], fault: dict[str, float], target: float, limit: str, stands: float
) -> None:
    m = rig.motor
    rig.put(**field)
    rig.fault(**fault)
    m.move(target)
    with pytest.raises(epicsMotorException) as error:
        m.wait(start=True, stop=True, timeout=20)
    title = f"{limit.capitalize()} limit violation"
    text = f"{title}: {rig.name} stands at {stands:.3f} mm; a move to {target} mm was asked for"
    assert str(error.value) == text
    assert (error.value.limit, error.value.position) == (limit, stands)
    assert m.get_position(readback=True) == stands
    # Further is refused, back is not.
    with pytest.raises(epicsMotorException, match=title):
        m.move(target)
    with pytest.raises(epicsMotorException, match=title):
        m.wait()
    m.wait(ignore_limits=True)
    m.move(0)
    m.wait()
    assert m.get_position(readback=True) == 0


def test_limit_switch_ignored(rig: Rig) -> None:
    rig.fault(high_switch=1000)
    rig.motor.move(3)
    rig.motor.wait(ignore_limits=True)
    assert rig.motor.get_position(readback=True) == 1
    with pytest.raises(epicsMotorException, match=r"^High hard limit violation"):
        rig.motor.check_limits()


#
# SET mode
#
@pytest.mark.parametrize(
    ("frozen", "position", "keywords", "expected", "offset"),
    [
        (0, 20, {}, (20, -1, -4), 19),
        (0, 20, {"dial": True}, (1, 20, 80), 21),
        (0, 80, {"step": True}, (1, 20, 80), 21),
        (1, 20, {}, (20, -20, -80), 0),
        (1, 20, {"dial": True}, (-20, 20, 80), 0),
    ],
)
def test_set_position(
    rig: Rig,
    frozen: int,
    position: float,
    keywords: dict[str, bool],
    expected: tuple[float, float, float],
    offset: float,
) -> None:
    m = rig.motor
    rig.put(FOFF=1, DIR=1, MRES=0.25)
    m.move(1)
    m.wait()
    rig.put(FOFF=frozen)
    rig.channel(":writes").putw("")
    m.set_position(position, **keywords)
    m.wait()
    assert rig.positions() == rig.positions(readback=False) == expected
    assert m.offset == offset
    assert rig.field("SET") == 0
    assert [write.partition("=")[0] for write in rig.writes()] == [
        "SET",
        "DVAL" if keywords.get("dial") else "RVAL" if keywords else "VAL",
        "SET",
    ]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"refuse": "VAL"}, ca.ECA_PUTFAIL),
        ({"swallow": "VAL"}, ca.ECA_PUTFAIL),
        ({"refuse": "SET"}, ca.ECA_PUTFAIL),
        ({"swallow": "SET"}, ca.ECA_PUTFAIL),
    ],
)
def test_set_position_fails_in_between(
    rig: Rig, fault: dict[str, str], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    for pv in rig.motor.pvs.values():
        pv.setTimeout(0.5)
    rig.fault(**fault)
    with pytest.raises(CaChannelException) as error:
        rig.motor.set_position(7)
    assert error.value.status == status
    assert rig.field("SET") == 0
    if "SET" in fault.values():
        # Not in SET mode, the write would have been a move.
        assert not any(write.startswith("VAL") for write in rig.writes())
    assert rig.positions() == rig.positions(readback=False) == (0, 0, 0)


def test_set_position_without_write_access(rig: Rig) -> None:
    rig.motor.pvs["val"] = epicsPV(f"{rig.name}.RBV")
    with pytest.raises(CaChannelException) as error:
        rig.motor.set_position(7)
    assert error.value.status == ca.ECA_NOWTACCESS
    assert rig.writes() == []


@pytest.mark.parametrize("when", ["SET=1", "VAL=7", "SET=0"])
def test_set_position_and_ctrl_c(rig: Rig, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C right before each of the three writes."""
    pending = [when]

    def interrupted(field: str, put: Callable[..., None]) -> Callable[..., None]:
        def putw(value: Any, *args: Any) -> None:
            if pending == [f"{field}={value:g}"]:
                pending.clear()
                raise KeyboardInterrupt
            put(value, *args)

        return putw

    for field in ("set", "val"):
        pv = rig.motor.pvs[field]
        monkeypatch.setattr(pv, "putw", interrupted(field.upper(), pv.putw))
    with pytest.raises(KeyboardInterrupt):
        rig.motor.set_position(7)
    assert rig.writes()[-1] == "SET=0"
    assert rig.field("SET") == 0


def test_set_position_and_a_server_that_hangs(
    rig: Rig, server: MotorServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is put back when the server goes on, though set_position has given up long since."""
    m = rig.motor
    for pv in m.pvs.values():
        pv.setTimeout(0.2)
    wait_until_taken = _set_mode.wait_until_taken

    def hang(*args: Any) -> None:
        wait_until_taken(*args)
        server.pause()

    monkeypatch.setattr(_set_mode, "wait_until_taken", hang)
    try:
        with pytest.raises(CaChannelException) as error:
            m.set_position(7)
        assert error.value.status == ca.ECA_TIMEOUT
        assert f"{rig.name}: " in caplog.text
        assert "it may be in SET mode still" in caplog.text
    finally:
        server.resume()
    wait_for(lambda: rig.field("SET") == 0)


#
# The IOC goes away
#
def test_the_server_is_killed_in_the_middle_of_a_move(rig: Rig, server: MotorServer) -> None:
    m = rig.motor
    rig.fault(die_at=3)
    m.move(50)
    began = time.monotonic()
    with pytest.raises(CaChannelException, match=rf"{rig.name}: .*its IOC has gone") as error:
        m.wait(timeout=30)
    assert error.value.status == ca.ECA_DISCONN
    assert time.monotonic() - began < 5
    assert "disconnected" in repr(m)
    for use in (lambda: m.move(1), m.get_position, m.wait, m.check_limits, lambda: m.set_position(1)):
        with pytest.raises(CaChannelException) as error:
            use()
        assert error.value.status == ca.ECA_DISCONN
    # Its connections end a little before the process does.
    server.kill()
    server.start()
    connected = ca.ChannelState.CONN
    wait_for(lambda: {pv.state() for pv in m.pvs.values()} == {connected} and "disconn" not in repr(m), RECONNECTS)
    m.move(2)
    m.wait(start=True, stop=True, timeout=10)
    assert m.get_position(readback=True) == 2


def test_the_connection_is_lost_for_a_moment(
    rig: Rig, server: MotorServer, numbers: Iterator[int], caplog: pytest.LogCaptureFixture
) -> None:
    """In the middle of set_position, and between another motor's move and wait."""
    mover = Rig(f"{server.prefix}m{next(numbers)}")
    mover.motor.move(20)
    rig.fault(drop_on="VAL")
    rig.motor.pvs["set"].setTimeout(0.2)
    with pytest.raises(CaChannelException) as error:
        rig.motor.set_position(7)
    assert error.value.status == ca.ECA_DISCONN
    # New channels are found at once.
    witness = CaChannel(f"{rig.name}.SET")
    witness.searchw()
    wait_for(lambda: witness.getw() == 0, RECONNECTS, "it is taken out of SET mode")
    wait_for(lambda: "disconnected" not in repr(mover.motor), RECONNECTS, "it reconnects")
    with pytest.raises(CaChannelException, match="its IOC has gone") as error:
        mover.motor.wait()
    assert error.value.status == ca.ECA_DISCONN
    # A second wait is for what the motor does now.
    wait_for(lambda: mover.motor.pvs["rbv"].state() == ca.ChannelState.CONN, RECONNECTS)
    mover.motor.wait(timeout=20, ignore_limits=True)
    assert mover.motor.get_position(readback=True) == 20
    mover.close()
