"""A Channel Access server that misbehaves as it is told, in a process of its own on loopback.

What it does with a PV is in the PV's name: ``hostile:type=4,n=100,get=count_beyond`` is a PV of 100 CHARs that connects as
any other, and whose reads claim more elements than there are.  The stages are ``search``, ``create``, ``get``, ``put``,
``event`` (the first update) and ``next`` (the second); what can be said of each is in ``LIES``, and ``random`` chooses for
each answer anew, the same for the same name.  What is not named is honest: after a search that went wrong comes one that
does not.  A put without a callback ends the circuit.  Whatever name that begins so it is asked for, it has.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Callable

from ioc import search, wait_for

VERSION, EVENT_ADD, EVENT_CANCEL, WRITE, SEARCH, ERROR, CLEAR = 0, 1, 2, 4, 6, 11, 12
READ_NOTIFY, CREATE, WRITE_NOTIFY, ACCESS, ECHO, CREATE_FAILED, GONE = 15, 18, 19, 22, 23, 26, 27
MINOR_VERSION = 13
NORMAL, GETFAIL, DISCONN, CHANDESTROY = 1, 152, 192, 440

PREFIX = "hostile:"
STRING, CHAR = 0, 4
SIZES = (40, 2, 4, 2, 1, 4, 8)  # of the seven plain types
# Where the value begins in the STS, TIME, GR and CTRL forms of the seven types.
OFFSETS = (
    (0, 0, 0, 0, 0, 0, 0),
    (4, 4, 4, 4, 5, 4, 8),
    (12, 14, 12, 14, 15, 12, 16),
    (4, 24, 40, 422, 19, 36, 64),
    (4, 28, 48, 422, 21, 44, 80),
)
LAST_TYPE = 38
# What libca has room for in every circuit, from the start.
SMALL_BUFFER = 16 * 1024


def base(dbr_type: int) -> int:
    """The plain type behind one of the 39."""
    return {35: 3, 36: 3, 37: STRING, 38: STRING}.get(dbr_type, dbr_type % 7)


def size(dbr_type: int, count: int) -> int:
    """Bytes of a structure of that type."""
    offset = OFFSETS[dbr_type // 7][dbr_type % 7] if dbr_type < 35 else 8 if dbr_type == 37 else 0
    return offset + count * SIZES[base(dbr_type)]


@dataclass(frozen=True)
class Message:
    """One message: ``size`` and ``claimed`` are what its header says, ``body`` what comes."""

    command: int
    dbr_type: int = 0
    count: int = 0
    first: int = 0
    second: int = 0
    body: bytes = b""
    size: int | None = None
    extended: bool = False

    @property
    def wire(self) -> bytes:
        padded = self.body + b"\0" * (-len(self.body) % 8)
        length = len(padded) if self.size is None else self.size
        ids = (self.first & 0xFFFFFFFF, self.second & 0xFFFFFFFF)
        if self.extended or length >= 0xFFFF or self.count > 0xFFFF:
            header = struct.pack(">HHHHII", self.command, 0xFFFF, self.dbr_type, 0, *ids)
            return header + struct.pack(">II", length, self.count) + padded
        return struct.pack(">HHHHII", self.command, length, self.dbr_type, self.count, *ids) + padded


def body(dbr_type: int, count: int) -> bytes:
    """An honest body, in the network's byte order: numbers are 7, texts ``seven``, alarms and limits 0."""
    if dbr_type > LAST_TYPE:
        return b""
    plain = base(dbr_type)
    element = {STRING: b"seven".ljust(40, b"\0"), 2: struct.pack(">f", 7), 6: struct.pack(">d", 7)}.get(plain)
    if element is None:
        element = (7).to_bytes(SIZES[plain], "big")
    head = bytearray(size(dbr_type, 0))
    if dbr_type in (24, 31):  # the states of an enum
        head[4:6] = (2).to_bytes(2, "big")
        head[6:10] = b"no\0\0"
        head[32:36] = b"yes\0"
    return bytes(head) + element * count


def is_bearable(answer: Message, asked: Message, native_count: int) -> bool:
    """Whether libca bears an answer; what it does not is documented as its limit (docs/hostile.rst) and never sent.

    It converts as many elements as are claimed, where they lie, of all types but CHAR and STRING: what is claimed has to
    fit into its smallest buffer, or must have come.  Of CHAR and STRING, cachannel takes as many as were asked for, or as
    the PV was said to hold: a claim within that has to fit or to have come as well.  It forgets what it has under an id
    when an answer of another kind comes, and what it needs then is gone.  And no update may come with the status that it
    ends subscriptions with itself.
    """
    if answer.first == CHANDESTROY:
        return False
    kinds = (READ_NOTIFY, WRITE_NOTIFY, EVENT_ADD)
    other_kind = answer.command in kinds and answer.command != asked.command and answer.second == asked.second
    if other_kind and (asked.command, answer.command) != (EVENT_ADD, READ_NOTIFY):
        return False
    if answer.command not in (READ_NOTIFY, EVENT_ADD):
        return True
    if answer.dbr_type > LAST_TYPE:
        return True
    came = len(answer.body) if answer.size is None else min(answer.size, len(answer.body))
    fits = size(answer.dbr_type, answer.count) <= max(SMALL_BUFFER, came)
    if base(answer.dbr_type) not in (STRING, CHAR) or answer.dbr_type == asked.dbr_type and answer.count <= (
        asked.count or native_count
    ):
        return fits
    return True


class Close(Exception):
    """Ends the circuit, once what it carries is sent."""


Lie = Callable[[Message, Message, random.Random], bytes]


def _error(answer: Message, asked: Message, text: bytes) -> bytes:
    header = replace(asked, body=b"", size=0).wire
    return Message(ERROR, 0, 0, 0, GETFAIL, header + text).wire


def _close_after(data: bytes) -> bytes:
    raise Close(data)


# What can be made of an honest answer.  All of them are given the answer, the request, and chance.
LIES: dict[str, Lie] = {
    "honest": lambda answer, asked, chance: answer.wire,
    "count_beyond": lambda answer, asked, chance: replace(answer, count=answer.count + 1).wire,
    "count_doubled": lambda answer, asked, chance: replace(answer, count=2 * answer.count).wire,
    "count_absurd": lambda answer, asked, chance: replace(answer, count=0xFFFFFFFF).wire,
    "count_negative": lambda answer, asked, chance: replace(answer, count=0x80000000).wire,
    "count_zero": lambda answer, asked, chance: replace(answer, count=0, body=b"\0" * 8).wire,
    "count_fewer": lambda answer, asked, chance: replace(
        answer, count=answer.count // 2, body=body(answer.dbr_type, answer.count // 2)
    ).wire,
    "more_than_asked": lambda answer, asked, chance: replace(
        answer, count=answer.count + 3, body=body(answer.dbr_type, answer.count + 3)
    ).wire,
    "type_other": lambda answer, asked, chance: replace(
        answer, dbr_type=(answer.dbr_type + 1) % 35, body=body((answer.dbr_type + 1) % 35, 1), count=1
    ).wire,
    "type_text": lambda answer, asked, chance: replace(answer, dbr_type=0, body=b"7".ljust(40, b"\0"), count=1).wire,
    "type_unknown": lambda answer, asked, chance: replace(answer, dbr_type=39).wire,
    "type_absurd": lambda answer, asked, chance: replace(answer, dbr_type=0xFFFF).wire,
    "body_missing": lambda answer, asked, chance: replace(answer, body=b"").wire,
    "body_short": lambda answer, asked, chance: replace(answer, body=answer.body[:8]).wire,
    "body_long": lambda answer, asked, chance: replace(answer, body=answer.body + b"\x55" * 100_000).wire,
    "unterminated": lambda answer, asked, chance: replace(answer, body=b"\x58" * len(answer.body)).wire,
    "states_many": lambda answer, asked, chance: replace(
        answer, body=answer.body[:4] + b"\x7f\xff" + b"\x58" * (len(answer.body) - 6)
    ).wire,
    "states_negative": lambda answer, asked, chance: replace(
        answer, body=answer.body[:4] + b"\x80\x00" + b"\x58" * (len(answer.body) - 6)
    ).wire,
    "size_odd": lambda answer, asked, chance: replace(answer, size=len(answer.body) + 3).wire,
    "size_absurd": lambda answer, asked, chance: replace(answer, size=0xFFFFEFF8).wire,
    "size_large": lambda answer, asked, chance: _close_after(replace(answer, size=50_000_000).wire),
    "extended": lambda answer, asked, chance: replace(answer, extended=True).wire,
    "truncated": lambda answer, asked, chance: _close_after(answer.wire[: 16 + len(answer.body) // 2]),
    "header_only_half": lambda answer, asked, chance: _close_after(answer.wire[:9]),
    "id_unknown": lambda answer, asked, chance: replace(answer, second=answer.second + 0x1234567).wire,
    "twice": lambda answer, asked, chance: answer.wire * 2,
    "status_failed": lambda answer, asked, chance: replace(answer, first=GETFAIL).wire,
    "status_unknown": lambda answer, asked, chance: replace(answer, first=0xFFFFFFFD).wire,
    "status_zero": lambda answer, asked, chance: replace(answer, first=0).wire,
    "command_unknown": lambda answer, asked, chance: replace(answer, command=99).wire,
    "command_absurd": lambda answer, asked, chance: replace(answer, command=0xFFFF).wire,
    "error": lambda answer, asked, chance: _error(answer, asked, b"no\0"),
    "error_unterminated": lambda answer, asked, chance: _error(answer, asked, b"\x58" * 15_000),
    "error_short": lambda answer, asked, chance: Message(ERROR, 0, 0, 0, GETFAIL, b"12345678").wire,
    "gone": lambda answer, asked, chance: Message(GONE, 0, 0, asked.first).wire,
    "rights_of_nobody": lambda answer, asked, chance: Message(ACCESS, 0, 0, 0x7654321, 3).wire + answer.wire,
    "created_nobody": lambda answer, asked, chance: Message(CREATE, 6, 1, 0x7654321, 9).wire + answer.wire,
    "created_again": lambda answer, asked, chance: Message(CREATE, 6, 1, asked.first, 9).wire + answer.wire,
    "garbage": lambda answer, asked, chance: chance.randbytes(64),
    "silence": lambda answer, asked, chance: b"",
    "close": lambda answer, asked, chance: _close_after(b""),
}


# The circuit does not survive these, or the PV has to be found anew.
FATAL = ("size_odd", "size_absurd", "size_large", "truncated", "header_only_half", "command_unknown", "command_absurd")
FATAL += ("error_short", "gone", "garbage", "close")
# Whether libca bears these depends on the answer (see is_bearable).
DOUBTFUL = ("count_beyond", "count_doubled", "count_absurd", "count_negative", "body_missing", "body_short")


def at_random(answer: Message, asked: Message, native_count: int, chance: random.Random) -> bytes:
    """A lie, or an answer with one to three of its parts changed, that libca bears; seldom one that ends the circuit."""
    kind = chance.random()
    if kind < 0.04:
        return LIES[chance.choice(FATAL)](answer, asked, chance)
    if kind < 0.3:
        harmless = [name for name in LIES if name not in FATAL and name not in DOUBTFUL]
        return LIES[chance.choice(harmless)](answer, asked, chance)
    while True:
        changed = answer
        for _ in range(chance.randint(1, 3)):
            part = chance.choice(("type", "count", "body", "length", "status", "id", "command", "extended"))
            if part == "type":
                changed = replace(changed, dbr_type=chance.choice((chance.randrange(39), chance.randrange(0x10000))))
            elif part == "count":
                some = (0, 1, 2, 15, 17, native_count, native_count + 1, 2047, 16384, 0xFFFF, 1 << 20, 0x7FFFFFFF)
                changed = replace(changed, count=chance.choice((*some, 0xFFFFFFFF)))
            elif part == "body":
                changed = replace(changed, body=chance.randbytes(len(changed.body)))
            elif part == "length":
                length = chance.choice((0, 8, 16, 40, 432, 4096, 16384, 16392, 70_000))
                changed = replace(changed, body=(changed.body + b"\xaa" * length)[:length])
            elif part == "status":
                changed = replace(changed, first=chance.choice((0, 1, 80, GETFAIL, 0xFFFFFFFF, 12345)))
            elif part == "id":
                changed = replace(changed, second=0x80000000 | chance.getrandbits(31))
            elif part == "command":
                changed = replace(changed, command=chance.choice((VERSION, ECHO, CLEAR, READ_NOTIFY, WRITE_NOTIFY)))
            else:
                changed = replace(changed, extended=True)
        if is_bearable(changed, asked, native_count):
            return changed.wire


@dataclass
class Pv:
    """What the name of a PV asks for."""

    name: str
    native_type: int = 6
    count: int = 1
    lies: dict[str, str] = field(default_factory=dict)
    cid: int = 0
    answers: int = 0

    @classmethod
    def of(cls, name: str) -> Pv:
        words = [word.partition("=") for word in name[len(PREFIX) :].split(",")]
        lies = {key: value for key, _, value in words if value}
        return cls(name, int(lies.pop("type", "6"), 0), int(lies.pop("n", "1"), 0), lies)

    def lie(self, stage: str, answer: Message, asked: Message) -> bytes:
        """What to send for an honest answer."""
        told = self.lies.get(stage, "honest")
        self.answers += 1
        chance = random.Random(f"{self.name} {self.answers}")
        asked = replace(asked, first=self.cid)
        if told == "random":
            return at_random(answer, asked, self.count, chance)
        return LIES[told](answer, asked, chance)


class Circuit(threading.Thread):
    """One client's connection."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(daemon=True)
        self.connection = connection
        self.pvs: list[Pv] = []

    def run(self) -> None:
        with contextlib.suppress(OSError, EOFError), self.connection:
            try:
                self.connection.sendall(Message(VERSION, 0, MINOR_VERSION).wire)
                while True:
                    self.answer(self.receive())
            except Close as close:
                self.connection.sendall(close.args[0])
                # libca has to have read it before the end comes, which may be a reset.
                self.connection.shutdown(socket.SHUT_WR)
                while self.connection.recv(65536):
                    pass

    def exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            more = self.connection.recv(length - len(data))
            if not more:
                raise EOFError
            data += more
        return bytes(data)

    def receive(self) -> Message:
        command, length, dbr_type, count, first, second = struct.unpack(">HHHHII", self.exactly(16))
        if length == 0xFFFF:
            length, count = struct.unpack(">II", self.exactly(8))
        return Message(command, dbr_type, count, first, second, self.exactly(length))

    def answer(self, asked: Message) -> None:
        send = self.connection.sendall
        if asked.command == ECHO:
            send(asked.wire)
        elif asked.command == CREATE:
            self.pvs.append(Pv.of(asked.body.split(b"\0")[0].decode()))
            self.pvs[-1].cid = asked.first
            self.create(self.pvs[-1], asked)
        elif asked.command in (READ_NOTIFY, EVENT_ADD, WRITE_NOTIFY, WRITE) and asked.first < len(self.pvs):
            self.serve(self.pvs[asked.first], asked)

    def create(self, pv: Pv, asked: Message) -> None:
        rights = Message(ACCESS, 0, 0, asked.first, 3).wire
        answer = Message(CREATE, pv.native_type, pv.count, asked.first, len(self.pvs) - 1)
        self.connection.sendall(rights + pv.lie("create", answer, asked))

    def serve(self, pv: Pv, asked: Message) -> None:
        if asked.command == WRITE:
            raise Close(b"")
        if asked.command == WRITE_NOTIFY:
            answer = Message(WRITE_NOTIFY, asked.dbr_type, asked.count, NORMAL, asked.second)
            self.connection.sendall(pv.lie("put", answer, asked))
            return
        count = asked.count or pv.count
        # A PV may claim to hold more than anyone could send.
        sent = count if size(asked.dbr_type, count) <= 1 << 20 else 100
        value = body(asked.dbr_type, sent)
        answer = Message(asked.command, asked.dbr_type, sent, NORMAL, asked.second, value)
        if asked.command == READ_NOTIFY:
            self.connection.sendall(pv.lie("get", answer, asked))
            return
        self.connection.sendall(pv.lie("event", answer, asked))
        if "next" in pv.lies:
            self.connection.sendall(pv.lie("next", answer, asked))


def _search_answer(port: int, asked: Message) -> Message:
    return Message(SEARCH, port, 0, 0xFFFFFFFF, asked.first, struct.pack(">H", MINOR_VERSION) + bytes(14))


def _found(port: int, asked: Message) -> bytes:
    return _search_answer(port, asked).wire


# What the first answer to a search may be.  None of them sends the client elsewhere, to another address or port, which one
# with less than the version in its body does: the client would go there.
SEARCHES: dict[str, Callable[[int, Message], bytes]] = {
    "honest": _found,
    "id_unknown": lambda port, asked: _found(port, replace(asked, first=asked.first + 0x1234567)),
    "twice": lambda port, asked: _found(port, asked) * 2,
    "header_only_half": lambda port, asked: _found(port, asked)[:9],
    "size_odd": lambda port, asked: replace(_search_answer(port, asked), size=13).wire,
    "size_absurd": lambda port, asked: Message(SEARCH, port, 0, 0xFFFFFFFF, asked.first, b"\0", size=0xFFF0).wire,
    "command_unknown": lambda port, asked: replace(asked, command=99).wire,
    "command_absurd": lambda port, asked: replace(asked, command=0xFFFF).wire,
    "error_short": lambda port, asked: Message(ERROR, 0, 0, 0, GETFAIL, b"12345678").wire,
    "error_unterminated": lambda port, asked: _error(asked, asked, b"\x58" * 1000),
    "garbage": lambda port, asked: random.Random(asked.first).randbytes(200),
    "silence": lambda port, asked: b"",
}


def answer_searches(udp: socket.socket, port: int) -> None:
    """Answer for ever; each PV's first search as its name says."""
    seen: set[str] = set()
    while True:
        datagram, client = udp.recvfrom(65536)
        while len(datagram) >= 16:
            command, length, _, _, first, _ = struct.unpack(">HHHHII", datagram[:16])
            name = datagram[16 : 16 + length].split(b"\0")[0].decode(errors="replace")
            datagram = datagram[16 + length :]
            if command != SEARCH or not name.startswith(PREFIX):
                continue
            told = Pv.of(name).lies.get("search", "honest") if name not in seen else "honest"
            seen.add(name)
            with contextlib.suppress(OSError):
                udp.sendto(SEARCHES[told](port, Message(SEARCH, first=first)), client)


def serve(port: int) -> None:
    """Be the server, on this port of loopback."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", port))
    tcp = socket.create_server(("127.0.0.1", port), backlog=500)
    threading.Thread(target=answer_searches, args=(udp, port), daemon=True).start()
    while True:
        connection, _ = tcp.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Circuit(connection).start()


class HostileServer:
    """The server in a process of its own, which ends with the block that it is used in, or when its time is over."""

    def __init__(self, port: int, limit: int) -> None:
        self.port = port
        self._command = [sys.executable, str(Path(__file__).resolve()), "--port", str(port), "--limit", str(limit)]

    def __enter__(self) -> HostileServer:
        self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE)
        wait_for(lambda: search(f"{PREFIX}up", self.port), 20, "the hostile server answers")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--limit", type=int, required=True, help="seconds after which it ends in any case")
    options = parser.parse_args()
    signal.alarm(options.limit)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    serve(options.port)
