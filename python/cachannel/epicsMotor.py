"""The class :class:`epicsMotor`: an EPICS motor record as an object."""

from __future__ import annotations

import math
import numbers
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, cast

from . import _ca, ca
from ._constants import (
    DBR_CTRL_DOUBLE,
    ECA_BADCHID,
    ECA_BADSTR,
    ECA_BADTYPE,
    ECA_DISCONN,
    ECA_NOCONVERT,
    ECA_NOWTACCESS,
    ECA_TIMEOUT,
)
from ._enums import ChannelState
from ._errors import CaChannelException, CaChannelTypeError, CaChannelValueError
from ._motion import Motion, TooLate
from ._motor_fields import DIAL, FIELDS, STEP, USER, Field, Frame
from ._motor_limits import Request, Standing, violation
from ._not_found import one_not_found
from ._set_mode import SetMode, wait_until_taken
from .epicsPV import epicsPV

# What `from epicsMotor import *` gave in 3.x.
__all__ = ["epicsMotor", "epicsMotorException", "epicsPV", "time"]


class epicsMotorException(Exception):
    """A soft limit refused a move, or a limit switch is on. The text says which limit of which motor, where the motor
    stands and what was asked for.

    :ivar message: the text.
    :ivar motor: name of the motor.
    :ivar limit: ``high soft``, ``low soft`` or ``soft`` (where it is not clear which), ``high hard``, ``low hard``.
    :ivar position: where the motor stands: the readback in user coordinates (engineering units); None where unknown.
    """

    def __init__(
        self, message: str = "", motor: str | None = None, limit: str | None = None, position: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.motor = motor
        self.limit = limit
        self.position = position


class epicsMotor:
    """A motor, by its motor record.

    Positions are in user coordinates (engineering units, EGU: mm, degrees, …), with ``dial=True`` in dial coordinates
    (engineering units as well), with ``step=True`` in steps of the motor (raw, whole numbers):
    user = ± dial + offset, and dial = step * resolution.

    >>> m = epicsMotor("13BMD:m38")
    >>> m.move(10)
    >>> m.wait()
    >>> m.get_position(readback=True)
    10.0
    >>> m.move(1000, step=True, relative=True)
    >>> m.wait(start=True, stop=True, timeout=30)
    >>> m.get_position()
    11.0

    Some fields of the record are properties, to read and to write:

    >>> m.slew_speed = 50
    >>> m.slew_speed
    50.0
    >>> m.done_moving
    1

    Whatever is asked of the motor while its IOC is gone raises :class:`~cachannel.CaChannelException`. As a context
    manager, an epicsMotor closes its channels at the end.

    :param name: name of the record, without a period and a field.
    :raises CaChannelException: ECA_TIMEOUT where not all of the record's fields have connected within
        :attr:`CaChannel.ca_timeout`, which is for all together; the text names those that have not.
    """

    slew_speed: Field[float] = Field("velo", "Speed, in engineering units per second.")
    base_speed: Field[float] = Field("vbas", "Speed at which the motor starts, in engineering units per second.")
    acceleration: Field[float] = Field("accl", "Seconds in which the motor gets from base_speed to slew_speed.")
    description: Field[str] = Field("desc", "What the motor is, in up to 40 characters.")
    resolution: Field[float] = Field("mres", "Size of a step in engineering units, with its sign.")
    high_limit: Field[float] = Field("hlm", "High soft limit in user coordinates, in engineering units.")
    low_limit: Field[float] = Field("llm", "Low soft limit in user coordinates, in engineering units.")
    dial_high_limit: Field[float] = Field("dhlm", "High soft limit in dial coordinates, in engineering units.")
    dial_low_limit: Field[float] = Field("dllm", "Low soft limit in dial coordinates, in engineering units.")
    backlash: Field[float] = Field("bdst", "Backlash distance in engineering units, with its sign.")
    offset: Field[float] = Field("off", "From dial to user coordinates, in engineering units.")
    done_moving: Field[int] = Field("dmov", "1 when done, 0 while moving. Writing it raises.", writable=False)

    name: str
    """The record's name."""

    pvs: dict[str, epicsPV]
    """The fields' PVs, by the fields' names in lower case."""

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            detail = f"a motor's name is a str with the name of its record, not {name!r}"
            raise CaChannelTypeError(ECA_BADSTR, None, detail)
        self.name = name
        self._motion = Motion()
        self._request: Request | None = None
        self._unwatched = False
        """Whether nobody has waited yet for the end of the last move()."""
        self.pvs = {field: epicsPV(f"{name}.{field.upper()}", wait=False) for field in FIELDS}
        # Not that of `pvs`: a program may subscribe to it, which replaces the subscription before.
        self._dmov = epicsPV(f"{name}.DMOV", wait=False)
        try:
            self.pvs["val"].pend_io()
        except CaChannelException as error:
            missing = [field for field, pv in self.pvs.items() if pv.state() != ChannelState.CONN]
            self.close()
            if not missing:
                raise
            seconds = epicsPV.ca_timeout
            if len(missing) == len(FIELDS):
                raise one_not_found(name, seconds, "there is no connection to any of its fields") from None
            which = f".{', .'.join(missing).upper()}"
            raise CaChannelException(error.status, name, "", f"no connection to {which} within {seconds:g} s") from None
        self._set_mode = SetMode(self.pvs["set"], name)
        self._motion.watch(self._dmov)

    def __enter__(self) -> epicsMotor:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._dmov.state() != ChannelState.CONN:
            state = "disconnected"
        else:
            state = {None: "connected", True: "done moving", False: "moving"}[self._motion.done]
        return f"<epicsMotor {self.name!r} {state}>"

    def close(self) -> None:
        """Closes the channels; what is asked of the motor after that raises. A motor that moves goes on moving."""
        for pv in (*self.pvs.values(), self._dmov):
            pv.clear_channel()

    #
    # Move
    #
    def move(
        self,
        value: float,
        relative: bool = False,
        dial: bool = False,
        step: bool = False,
        ignore_limits: bool = False,
    ) -> None:
        """Starts to move; :meth:`wait` waits for the end.

        This returns when the record has taken or refused the request. A motor that moves already gets a new target.

        :param value: where to, or with ``relative`` how far: in user coordinates (engineering units), or as ``dial`` or
            ``step`` say. Steps are whole numbers.
        :param relative: ``value`` counts from the present target, not from 0.
        :param dial: in dial coordinates (engineering units).
        :param step: in steps of the motor.
        :param ignore_limits: do not wait until the record has taken or refused the request; a move beyond a soft limit
            is not done then, and nothing is raised.
        :raises epicsMotorException: where a soft limit refused the move (it does not move then), or where the motor
            stands on a limit switch and is to go further.
        :raises CaChannelTypeError: for ``dial`` and ``step`` together.
        :raises CaChannelValueError: for what is not a finite number, or not a whole number of steps. Nothing moves.
        """
        frame = self._frame(dial, step)
        number = self._number(value)
        field = frame.target
        if relative and frame is USER:
            field = "rlv"
        elif relative:
            number += self._read(field)[0]
        request = Request(frame, number, field == "rlv", *self._motion.now())
        self.pvs[field].putw(number)
        self._request = request
        self._unwatched = True
        if not ignore_limits:
            self._check_limits(leaving=True)

    def stop(self) -> None:
        """Stops the motor at once: writes 1 to STOP. To wait until the motor stands still, call :meth:`wait`."""
        self.pvs["stop"].putw(1)

    def wait(
        self,
        start: bool = False,
        stop: bool = False,
        poll: float = 0.01,
        ignore_limits: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Waits for the motor to start moving, to stop moving, or for both, one after the other.

        A monitor on DMOV wakes the wait, which then reads DMOV. The starts are counted: after a :meth:`move`, ``start``
        is satisfied by any start since, even if the motor has stopped again, and even if a soft limit refused the move
        or there was nothing to move, as the record takes DMOV to 0 for a moment then. Without a move(), or when the end
        of the last one was waited for already, ``start`` waits for the next start, unless the motor is moving.

        :param start: wait for the start.
        :param stop: wait for the stop; the default where neither is given.
        :param poll: ignored; there is nothing to poll.
        :param ignore_limits: do not raise where a limit ended the motion.
        :param timeout: seconds for the whole wait; for ever where None or 0. Ctrl-C ends the wait.
        :raises epicsMotorException: a soft limit refused the move, or a limit switch is on.
        :raises CaChannelException: ECA_TIMEOUT where the wait took longer; the motor moves on. ECA_DISCONN where the
            IOC is gone, goes meanwhile or went after the :meth:`move`.
        """
        if timeout is not None and not (isinstance(timeout, numbers.Real) and timeout >= 0):
            detail = f"a timeout is a number of seconds, 0 or more, not {timeout!r}"
            raise CaChannelValueError(ECA_TIMEOUT, self.name, detail)
        deadline = time.monotonic() + timeout if timeout else math.inf
        motion = self._motion
        starts, losses = motion.starts, motion.losses
        if self._unwatched and self._request is not None:
            starts, losses = self._request.starts, self._request.losses
        stop = stop or not start
        try:
            if start:
                self._wait_until(lambda done: not done or motion.starts > starts, losses, deadline)
            if stop:
                self._wait_until(lambda done: done, losses, deadline)
                if self._unwatched:
                    self._unwatched = False
                    motion.settle(self._dmov, starts)
        except TooLate:
            happened = "stopped" if motion.done is False else "started"
            standing = self._standing().text
            detail = f"it has not {happened} within {timeout:g} s{standing and '; it'}{standing}"
            raise CaChannelException(ECA_TIMEOUT, self.name, detail) from None
        except ConnectionError:
            self._unwatched = False
            raise CaChannelException(ECA_DISCONN, self.name, "its IOC has gone; it may be moving still") from None
        if not ignore_limits:
            self._check_limits(leaving=not stop)
            if stop:
                self._request = None

    def _wait_until(self, reached: Callable[[bool], bool], losses: int, deadline: float) -> None:
        def read(timeout: float) -> bool:
            return bool(self._read("dmov", timeout=timeout)[0])

        self._motion.wait_until(reached, read, self._dmov, losses, deadline)

    #
    # Position
    #
    def get_position(self, dial: bool = False, readback: bool = False, step: bool = False) -> float:
        """The position: where the motor is to be, or with ``readback`` where it is.

        :param dial: in dial coordinates (engineering units), not in user coordinates.
        :param readback: the position read back, not the target.
        :param step: in steps of the motor (int), not in user coordinates.
        :raises CaChannelTypeError: for ``dial`` and ``step`` together.
        """
        frame = self._frame(dial, step)
        return cast(float, self._read(frame.readback if readback else frame.target)[0])

    def set_position(self, position: float, dial: bool = False, step: bool = False) -> None:
        """Redefines the present position, without moving: in SET mode, writes what the position is from now on.

        In user coordinates this changes the offset. In dial coordinates and in steps it changes the position in the
        controller, and the offset so that the position in user coordinates stays. (The record's field FOFF may freeze
        the offset.) The motor must not be moving.

        The position is written only once the record is in SET mode, and whatever happens then, the record is put back
        into USE mode. Where the connection is lost in between, this waits for the connection up to the timeout, and
        puts the record back; where the connection comes back later, the record is put back then, for as long as this
        object exists.

        :param position: in user coordinates (engineering units), or as ``dial`` or ``step`` say.
        :param dial: in dial coordinates (engineering units).
        :param step: in steps of the motor, whole numbers.
        :raises CaChannelTypeError: for ``dial`` and ``step`` together.
        :raises CaChannelValueError: for what is not a finite number, or not a whole number of steps.
        :raises CaChannelException: ECA_PUTFAIL where the record does not take SET or the position; ECA_DISCONN, …
        """
        frame = self._frame(dial, step)
        number = self._number(position)
        resolution = abs(self._read("mres")[0])
        tolerance = 1.0 if frame is STEP else max(resolution, abs(number) * 1e-9)
        for pv in (self.pvs["set"], self.pvs[frame.target]):
            if not pv.write_access():
                raise CaChannelException(ECA_NOWTACCESS, pv.name())
        with self._set_mode():
            self.pvs[frame.target].putw(number)
            wait_until_taken(self.pvs[frame.target], number, tolerance)

    #
    # Limits
    #
    def check_limits(self) -> None:
        """Raises where the last move was beyond a soft limit (LVIO), or where a limit switch is on (LLS, HLS).

        :raises epicsMotorException: says which limit, where the motor stands and what was asked for.
        """
        self._check_limits(leaving=False)

    def _check_limits(self, leaving: bool) -> None:
        """As check_limits, but with ``leaving`` a switch from which the motor moves away does not count."""
        lvio, lls, hls, target, readback = self._read("lvio", "lls", "hls", "val", "rbv")
        if lvio:
            raise self._limit_error("soft")
        if lls and not (leaving and target > readback):
            raise self._limit_error("low hard")
        if hls and not (leaving and target < readback):
            raise self._limit_error("high hard")

    def _limit_error(self, limit: str) -> epicsMotorException:
        standing = self._standing()
        request = self._request
        frame = request.frame if request else USER
        soft = self._read(frame.low, frame.high, frame.target, "mres") if limit == "soft" else None
        limit, text = violation(self.name, limit, standing, request, soft)
        return epicsMotorException(text, self.name, limit, standing.position)

    #
    # Helpers
    #
    def _frame(self, dial: bool, step: bool) -> Frame:
        if dial and step:
            detail = "dial and step exclude each other: a position is in dial coordinates or in steps"
            raise CaChannelTypeError(ECA_BADTYPE, self.name, detail)
        return DIAL if dial else STEP if step else USER

    def _number(self, value: Any) -> float:
        try:
            number = float(value)
        except TypeError:
            raise CaChannelTypeError(ECA_NOCONVERT, self.name, f"a position is a number, not {value!r}") from None
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise CaChannelValueError(ECA_NOCONVERT, self.name, f"a position is a finite number, not {value!r}")
        return number

    def _read(self, *fields: str, timeout: float = math.inf, req_type: int | None = None) -> list[Any]:
        """The values of fields now, asked for together; from the server, whatever monitors there are."""
        pvs = [self.pvs[field] for field in fields]
        for pv in pvs:
            if pv.state() != ChannelState.CONN:
                # Before any is asked for, so that no request stays behind.
                pv._check(ECA_BADCHID if pv._chid is None else ECA_DISCONN)
        answers = []
        for pv in pvs:
            status, answer = ca.get(pv._chid, req_type, user_args=())
            pv._check(status)
            assert answer is not None
            answers.append(answer)
        timeout = min(timeout, pvs[0].getTimeout() or math.inf)
        _ca.wait_answers(0.0 if timeout == math.inf else timeout, pvs[0]._channel())
        return [answer.get() for answer in answers]

    def _standing(self) -> Standing:
        try:
            control = self._read("rbv", req_type=DBR_CTRL_DOUBLE)[0]
        except CaChannelException:
            return Standing(None, "", "")
        position = control["pv_value"]
        units = f" {control['pv_units']}" if control["pv_units"] else ""
        return Standing(position, units, f" stands at {position:.{max(control['pv_precision'], 0)}f}{units}")
