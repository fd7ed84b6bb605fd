"""Simulated motor records on a real Channel Access server, in a process of its own.

``MotorServer`` starts, stops and kills it.  Run as a program this file *is* the server: caproto speaks Channel Access
and has the motor record's fields; ``Motor`` below is what the record does with them.  It ends when its standard input
closes or when its time is over, whichever comes first.

As the motor record does it:

* user = dial * (1, or -1 where DIR is Neg) + OFF and dial = raw * MRES; whichever of VAL, DVAL, RVAL, RLV is written,
  the others follow; HLM and LLM follow DHLM and DLLM and the other way round.
* A write to one of those four takes DMOV to 0 at once.  It goes back to 1 when the motor has arrived; or, in the very
  processing of the write, where nothing moves: LVIO is 1 and VAL is what it was before where a soft limit refused it.
* A limit switch ends a motion towards it: DMOV is 1, HLS or LLS is 1 and the target is where it stopped; so does STOP.
* With SET 1 the position is redefined: VAL changes OFF, or DVAL where FOFF is Frozen; DVAL and RVAL load a new raw
  position, and OFF (FOFF Variable) or VAL (Frozen) follows.

Left out are acceleration, backlash, retries, jogging, homing.

Beside the record there are, for each motor, PVs with which tests make things happen: see ``FAULTS``.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from server_process import ServerProcess

TICK = 0.01
"""Seconds between two updates of a motor that moves."""

FAULTS: dict[str, float | str] = {
    "high_switch": math.inf,  # raw position of the high limit switch, in steps
    "low_switch": -math.inf,
    "die_at": math.nan,  # the process kills itself when a motor passes this user position
    "instant": 0,  # 1: moves end while they are asked for; 2: and of DMOV's way to 0 and back only the last is posted
    "lag": 0.0,  # seconds from a request until the motor, and DMOV, show that there is one
    "refuse": "",  # the server refuses writes to this field; to several with spaces between
    "swallow": "",  # the server takes writes to this field and does nothing
    "drop_on": "",  # the server cuts its clients off after the next write to this field
    "writes": "",  # what was written since this was emptied: "SET=1 VAL=5.0 SET=0"
}
"""Names of the extra PVs, as in ``m1:high_switch``, and their values at the start."""


class MotorServer(ServerProcess):
    """A server process with motors ``{prefix}m1``, ``{prefix}m2``, …, and others by their full names."""

    what = "motor server"

    def __init__(self, prefix: str, port: int, *, motors: int, names: tuple[str, ...] = (), limit: int = 600) -> None:
        super().__init__(port)
        self.prefix = prefix
        self.names = (*(f"{prefix}m{number}" for number in range(1, motors + 1)), *names)
        self.limit = limit

    def _command(self) -> list[str]:
        return [sys.executable, str(Path(__file__).resolve()), "--limit", str(self.limit), *self.names]

    def _environment(self) -> dict[str, str]:
        # caproto takes this for its own port. And a read waits for the writes before the read, as in an IOC.
        return {
            "EPICS_CA_SERVER_PORT": str(self.port),
            "EPICS_CAS_BEACON_PORT": os.environ["EPICS_CA_REPEATER_PORT"],
            "CAPROTO_SERVER_WRITE_LOCK_TIMEOUT_SEC": "1",
        }

    def _pv(self) -> str:
        return f"{self.names[0]}.VAL"

    def start(self) -> None:
        """As any server, unless it runs."""
        if self.process is None or self.process.poll() is not None:
            self.kill()
            super().start()

    def stop(self) -> None:
        """Nothing: a motor server needs no preparation."""
        self.kill()


Post = Callable[[str, Any], Awaitable[None]]


class Motor:
    """One motor record: ``put`` is a write to a field, ``tick`` the passing of time; ``post`` publishes a field."""

    def __init__(self, post: Post) -> None:
        self.post = post
        self.faults = dict(FAULTS)
        self.field: dict[str, Any] = {
            **dict.fromkeys(("VAL", "DVAL", "RBV", "DRBV", "RLV", "OFF", "DIFF", "BDST", "VBAS", "VMAX"), 0.0),
            **dict.fromkeys(("RVAL", "RRBV", "RMP", "MOVN", "STOP", "LVIO", "HLS", "LLS", "RHLS", "RLLS"), 0),
            **dict.fromkeys(("DIR", "SET", "FOFF", "TDIR", "MIP", "MSTA"), 0),
            "DMOV": 1,
            "SPMG": 3,
            "PREC": 3,
            "EGU": "mm",
            "DESC": "a motor",
            "MRES": 0.001,
            "VELO": 20.0,
            "ACCL": 0.1,
            "DHLM": 100.0,
            "DLLM": -100.0,
            "HLM": 100.0,
            "LLM": -100.0,
        }
        self.raw = 0.0
        self.target = 0.0  # raw
        self.starts_at: float | None = None  # time.monotonic() of a start that a lag holds back
        self.last: dict[str, Any] = {}  # VAL, DVAL, RVAL as they were before the present write
        self.remember()

    def remember(self) -> None:
        self.last = {name: self.field[name] for name in ("VAL", "DVAL", "RVAL")}

    @property
    def sign(self) -> int:
        return -1 if self.field["DIR"] else 1

    async def set(self, **values: Any) -> None:
        """Gives fields new values, and publishes those that changed."""
        for name, value in values.items():
            if self.field[name] != value:
                self.field[name] = value
                await self.post(name, value)

    async def set_user(self) -> None:
        """User coordinates from dial coordinates."""
        dial_limits = self.field["DHLM"], self.field["DLLM"]
        high, low = dial_limits if self.sign > 0 else dial_limits[::-1]
        await self.set(
            RBV=self.field["DRBV"] * self.sign + self.field["OFF"],
            HLM=high * self.sign + self.field["OFF"],
            LLM=low * self.sign + self.field["OFF"],
        )

    async def set_readbacks(self) -> None:
        """All readbacks from the raw position."""
        steps = round(self.raw)
        await self.set(RMP=steps, RRBV=steps, DRBV=steps * self.field["MRES"])
        await self.set(RBV=self.field["DRBV"] * self.sign + self.field["OFF"])
        await self.set(DIFF=self.field["DVAL"] - self.field["DRBV"])

    async def put(self, name: str, value: Any) -> None:
        """Someone writes to a field."""
        if name in ("VAL", "DVAL", "RVAL", "RLV"):
            await self.put_target(name, value)
            return
        await self.set(**{name: value})
        if name in ("DHLM", "DLLM"):
            await self.set_user()
        elif name in ("HLM", "LLM"):
            dial = (value - self.field["OFF"]) * self.sign
            await self.set(**{"DHLM" if (name == "HLM") == (self.sign > 0) else "DLLM": dial})
        elif name == "OFF" or (name == "DIR" and self.field["FOFF"]):
            await self.set(VAL=self.field["DVAL"] * self.sign + self.field["OFF"])
            await self.set_user()
            self.remember()
        elif name == "DIR":
            await self.set(OFF=self.field["VAL"] - self.field["DVAL"] * self.sign)
            await self.set_user()
        elif name == "MRES":
            self.raw = self.target = self.field["DVAL"] / value
            await self.set(RVAL=round(self.raw))
            await self.set_readbacks()
            self.remember()
        elif name == "STOP" and value:
            await self.set(STOP=0)
            await self.halt()
        elif name == "SPMG" and value == 0:
            await self.halt()

    async def put_target(self, name: str, value: Any) -> None:
        """Someone writes to VAL, DVAL, RVAL or RLV."""
        hidden = self.faults["lag"] or self.faults["instant"] == 2
        if not hidden:
            await self.set(DMOV=0)
        if name == "RLV":
            await self.set(VAL=self.field["VAL"] + value)
        else:
            await self.set(**{name: value})
        if name in ("VAL", "RLV"):
            if self.field["SET"] and not self.field["FOFF"]:
                await self.set(OFF=self.field["VAL"] - self.field["DVAL"] * self.sign)
                await self.set_user()
                await self.set(DMOV=1)
                self.remember()
                return
            await self.set(DVAL=(self.field["VAL"] - self.field["OFF"]) / self.sign)
        elif name == "RVAL":
            await self.set(DVAL=value * self.field["MRES"])
        await self.set(RVAL=round(self.field["DVAL"] / self.field["MRES"]))
        if self.field["SET"]:
            await self.load_position()
        else:
            await self.set(VAL=self.field["DVAL"] * self.sign + self.field["OFF"])
            await self.begin()
        self.remember()

    async def load_position(self) -> None:
        """Redefines the raw position; DMOV goes to 1 with the next tick."""
        self.raw = self.target = self.field["DVAL"] / self.field["MRES"]
        if self.field["FOFF"]:
            await self.set(VAL=self.field["DVAL"] * self.sign + self.field["OFF"])
        else:
            await self.set(OFF=self.field["VAL"] - self.field["DVAL"] * self.sign)
            await self.set_user()

    async def begin(self) -> None:
        """Goes to DVAL, unless a soft limit is in the way."""
        high, low = self.field["DHLM"], self.field["DLLM"]
        if (high or low) and not low <= self.field["DVAL"] <= high:
            await self.set(LVIO=1, **self.last)
            await self.set(DMOV=0 if self.field["MOVN"] else 1)
            return
        await self.set(LVIO=0)
        self.target = self.field["DVAL"] / self.field["MRES"]
        if self.faults["instant"]:
            self.raw = self.target
            await self.set_readbacks()
            if self.faults["instant"] == 2:
                await self.post("DMOV", 1)
            await self.set(DMOV=1)
        elif round(self.target) == round(self.raw) and not self.field["MOVN"]:
            await self.set(DMOV=1)
        elif self.faults["lag"]:
            self.starts_at = time.monotonic() + float(self.faults["lag"])
        else:
            await self.go()

    async def go(self) -> None:
        forward = self.target > self.raw
        await self.set(DMOV=0, MOVN=1, TDIR=int(forward))

    async def switches(self, high: bool, low: bool) -> None:
        user = (high, low) if (self.sign > 0) == (self.field["MRES"] >= 0) else (low, high)
        await self.set(RHLS=int(high), RLLS=int(low), HLS=int(user[0]), LLS=int(user[1]))

    async def halt(self) -> None:
        """Stops where it is, which becomes the target; the next tick reports it."""
        if self.field["MOVN"]:
            self.target = round(self.raw)
        self.starts_at = None

    async def tick(self, seconds: float) -> None:
        """Moves on."""
        if self.starts_at is not None and time.monotonic() >= self.starts_at:
            self.starts_at = None
            await self.go()
        if not self.field["MOVN"]:
            if not self.field["DMOV"] and self.field["SPMG"] == 3:
                await self.set_readbacks()
                await self.set(DMOV=1)
            return
        if self.field["SPMG"] in (1, 2):
            return
        reach = abs(self.field["VELO"] / self.field["MRES"]) * seconds
        way = self.target - self.raw
        self.raw = self.target if abs(way) <= reach else self.raw + math.copysign(reach, way)
        # A switch counts in the direction of the motion alone.
        high = bool(self.field["TDIR"]) and self.raw >= float(self.faults["high_switch"])
        low = not self.field["TDIR"] and self.raw <= float(self.faults["low_switch"])
        if high or low:
            self.raw = self.target = float(self.faults["high_switch" if high else "low_switch"])
        before = self.field["RBV"]
        await self.set_readbacks()
        die_at = float(self.faults["die_at"])
        if min(before, self.field["RBV"]) <= die_at <= max(before, self.field["RBV"]):
            os.kill(os.getpid(), signal.SIGKILL)
        await self.switches(high, low)
        if self.raw == self.target:
            await self.set(MOVN=0)
            if round(self.field["DVAL"] / self.field["MRES"]) != round(self.raw):
                # It did not get there: what is wanted becomes what is.
                dial = self.field["DRBV"]
                await self.set(VAL=self.field["RBV"], DVAL=dial, RVAL=self.field["RRBV"], DIFF=0.0)
            self.remember()
            await self.set(DMOV=1)


@cache
def record_group() -> Any:
    """caproto's motor record."""
    from caproto.server import PVGroup, pvproperty

    return type("Record", (PVGroup,), {"record": pvproperty(name="", value=0.0, record="motor")})


class MotorPvs:
    """The PVs of one motor: those of caproto's motor record, with a ``Motor`` behind them, and those of ``FAULTS``."""

    def __init__(self, name: str, cut_off: Callable[[], Awaitable[None]]) -> None:
        from caproto import ChannelDouble, ChannelString

        self.motor = Motor(self.post)
        self.cut_off = cut_off
        self.record = record_group()(prefix=name).record
        self.channels = {"VAL": self.record, **self.record.fields}
        for field, channel in self.channels.items():
            if field in self.motor.field:
                channel.getter = None
                channel.verify_value = partial(self.written, field)
        self.pvdb: dict[str, Any] = {name: self.record}
        for fault, value in FAULTS.items():
            kind = ChannelString if isinstance(value, str) else ChannelDouble
            pv = kind(value=value, max_length=1, string_encoding="latin-1")
            pv.verify_value = partial(self.fault_written, fault)
            self.pvdb[f"{name}:{fault}"] = pv

    async def post(self, field: str, value: Any) -> None:
        channel = self.channels[field]
        strings = getattr(channel, "enum_strings", None)
        await channel.write(strings[value] if strings else value, verify_value=False, update_fields=False)
        if field in ("EGU", "PREC", "HLM", "LLM"):
            now = self.motor.field
            for name in ("VAL", "RBV"):
                await self.channels[name].write_metadata(
                    publish=False,
                    units=now["EGU"],
                    precision=now["PREC"],
                    upper_ctrl_limit=now["HLM"],
                    lower_ctrl_limit=now["LLM"],
                )

    async def publish_all(self) -> None:
        for field, value in self.motor.field.items():
            await self.post(field, value)

    async def written(self, field: str, value: Any) -> Any:
        """A client writes to a field of the record."""
        from caproto import SkipWrite

        strings = getattr(self.channels[field], "enum_strings", None)
        if strings and isinstance(value, str):
            value = strings.index(value)
        elif isinstance(self.motor.field[field], float):
            value = float(value)
        elif isinstance(self.motor.field[field], int):
            value = int(value)
        faults = self.motor.faults
        if field in str(faults["refuse"]).split():
            raise PermissionError(f"{field} takes no writes")
        faults["writes"] = f"{faults['writes']} {field}={value}".strip()[-39:]
        writes = self.pvdb[f"{self.record.pvname}:writes"]
        await writes.write(faults["writes"], verify_value=False)
        if field not in str(faults["swallow"]).split():
            await self.motor.put(field, value)
        if field == faults["drop_on"]:
            faults["drop_on"] = ""
            await self.cut_off()
        raise SkipWrite

    async def fault_written(self, fault: str, value: Any) -> Any:
        self.motor.faults[fault] = value if isinstance(FAULTS[fault], str) else float(value)
        return value


async def serve(names: list[str]) -> None:
    """Be the server."""
    from caproto.asyncio.server import Context

    context: Any = None

    async def cut_off() -> None:
        for circuit in list(context.circuits):
            circuit.client.writer.transport.abort()

    motors = [MotorPvs(name, cut_off) for name in names]
    context = Context({name: pv for motor in motors for name, pv in motor.pvdb.items()}, ["127.0.0.1"])

    async def run_motors(async_lib: Any) -> None:
        for sock in context.tcp_sockets.values():
            # As IOCs do; accepted connections inherit this option. Without it caproto's answers come 40 ms late.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for motor in motors:
            await motor.publish_all()
        before = time.monotonic()
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            for motor in motors:
                await motor.motor.tick(now - before)
            before = now

    await context.run(startup_hook=run_motors)


def main() -> None:
    parser = argparse.ArgumentParser(description="A server of simulated motors that ends with its standard input.")
    parser.add_argument("names", nargs="+", help="names of the motors")
    parser.add_argument("--limit", type=int, required=True, help="seconds after which the process ends in any case")
    arguments = parser.parse_args()
    signal.alarm(arguments.limit)

    def end_with_stdin() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end_with_stdin, daemon=True).start()
    asyncio.run(serve(arguments.names))


if __name__ == "__main__":
    main()
