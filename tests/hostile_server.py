"""A Channel Access server that misbehaves as it is told, in a process of its own on loopback.

What it does with a PV is in the PV's name: ``hostile:type=4,n=100,get=count_beyond`` is a PV of 100 CHARs that connects
as any other, and whose reads claim more elements than there are.  The stages are ``search``, ``create``, ``get``,
``put``, ``event`` (the first update) and ``next`` (the second); what can be said of each is in ``LIES``, and ``random``
chooses for each answer anew, the same for the same name.  What is not named is honest: after a search that went wrong
comes one that does not.  A put without a callback ends the circuit.  It has every PV whose name begins so.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import socket
import struct
import sys
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable

from hostile_lies import (
    ACCESS,
    CREATE,
    ECHO,
    ERROR,
    EVENT_ADD,
    GETFAIL,
    LIES,
    MINOR_VERSION,
    NORMAL,
    READ_NOTIFY,
    SEARCH,
    VERSION,
    WRITE,
    WRITE_NOTIFY,
    Close,
    Message,
    at_random,
    body,
    error,
    size,
)
from server_process import ServerProcess

PREFIX = "hostile:"


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


# What the first answer to a search may be.  None of them sends the client elsewhere, to another address or port, as one
# without a version in its body does: the client would go there.
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
    "error_unterminated": lambda port, asked: error(asked, asked, b"\x58" * 1000),
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


class HostileServer(ServerProcess):
    """The server in a process of its own, which ends when its time is over in any case."""

    what = "hostile server"

    def __init__(self, port: int, limit: int) -> None:
        super().__init__(port)
        self.limit = limit

    def _command(self) -> list[str]:
        return [sys.executable, str(Path(__file__).resolve()), "--port", str(self.port), "--limit", str(self.limit)]

    def _pv(self) -> str:
        return f"{PREFIX}up"


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
