"""What is said of a motor that a limit has stopped, or has not let start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ._motor_fields import DIAL, STEP, USER, Frame


class Request(NamedTuple):
    """What the last :meth:`epicsMotor.move` asked for, and the starts and losses that there had been until then."""

    frame: Frame
    value: float
    relative: bool
    starts: int
    losses: int


class Standing(NamedTuple):
    """Where a motor stands, in user coordinates: as a number and in words, and its engineering units after a space."""

    position: float | None
    units: str
    text: str


def violation(
    motor: str, limit: str, standing: Standing, request: Request | None, soft: Sequence[float] | None
) -> tuple[str, str]:
    """The limit that a move would exceed, as far as the motor tells which, and the text of the exception.

    :param soft: for a soft limit: the low and the high one, the target, both in the request's frame, and the size of a
        step.
    """
    frame, value, relative = (request.frame, request.value, request.relative) if request else (USER, 0.0, False)
    units = " steps" if frame is STEP else f"{standing.units} (dial)" if frame is DIAL else standing.units
    asked = f"; a move {'by' if relative else 'to'} {value:.10g}{units} was asked for" if request else ""
    title = f"{limit.capitalize()} limit violation"
    if soft is not None:
        low, high, present, resolution = soft
        if frame is STEP:
            low, high = sorted((low / resolution, high / resolution))
        # The record has taken its target back to what it was.
        target = value + present if relative else value
        side = "high" if target > high else "low" if target < low else ""
        if request and side:
            limit = f"{side} soft"
            title += f" ({side})"
        else:
            # Somebody else asked for it.
            asked = ""
        asked += f"; the limits are {low:.10g} and {high:.10g}{units}"
    return limit, f"{title}: {motor}{standing.text}{asked}"
