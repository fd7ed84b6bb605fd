"""What a hostile server says: messages of Channel Access, and all that can be wrong with them."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, replace
from typing import Callable

VERSION, EVENT_ADD, EVENT_CANCEL, WRITE, SEARCH, ERROR, CLEAR = 0, 1, 2, 4, 6, 11, 12
READ_NOTIFY, CREATE, WRITE_NOTIFY, ACCESS, ECHO, CREATE_FAILED, GONE = 15, 18, 19, 22, 23, 26, 27
MINOR_VERSION = 13
NORMAL, GETFAIL, DISCONN, CHANDESTROY = 1, 152, 192, 440

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

    It converts as many elements as are claimed, where they lie, of all types but CHAR and STRING: what is claimed
    has to fit into its smallest buffer, or must have come. Of CHAR and STRING, cachannel takes as many as were
    asked for, or as the PV was said to hold: a claim within that has to fit or to have come as well. It forgets
    what it has under an id when an answer of another kind comes, and what it needs then is gone. And no update may
    come with the status that it ends subscriptions with itself.
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
    is_copied = answer.dbr_type == asked.dbr_type and answer.count <= (asked.count or native_count)
    is_converted = base(answer.dbr_type) not in (STRING, CHAR)
    return fits or not (is_copied or is_converted)


class Close(Exception):
    """Has the server end the circuit, once the bytes that it carries are sent."""


Lie = Callable[[Message, Message, random.Random], bytes]


def error(answer: Message, asked: Message, text: bytes) -> bytes:
    """The message by which a server refuses a request."""
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
    "count_fewer": lambda answer, asked, chance: (
        replace(answer, count=answer.count // 2, body=body(answer.dbr_type, answer.count // 2)).wire
    ),
    "more_than_asked": lambda answer, asked, chance: (
        replace(answer, count=answer.count + 3, body=body(answer.dbr_type, answer.count + 3)).wire
    ),
    "type_other": lambda answer, asked, chance: (
        replace(answer, dbr_type=(answer.dbr_type + 1) % 35, body=body((answer.dbr_type + 1) % 35, 1), count=1).wire
    ),
    "type_text": lambda answer, asked, chance: replace(answer, dbr_type=0, body=b"7".ljust(40, b"\0"), count=1).wire,
    "type_unknown": lambda answer, asked, chance: replace(answer, dbr_type=39).wire,
    "type_absurd": lambda answer, asked, chance: replace(answer, dbr_type=0xFFFF).wire,
    "body_missing": lambda answer, asked, chance: replace(answer, body=b"").wire,
    "body_short": lambda answer, asked, chance: replace(answer, body=answer.body[:8]).wire,
    "body_long": lambda answer, asked, chance: replace(answer, body=answer.body + b"\x55" * 100_000).wire,
    "unterminated": lambda answer, asked, chance: replace(answer, body=b"\x58" * len(answer.body)).wire,
    "states_many": lambda answer, asked, chance: (
        replace(answer, body=answer.body[:4] + b"\x7f\xff" + b"\x58" * (len(answer.body) - 6)).wire
    ),
    "states_negative": lambda answer, asked, chance: (
        replace(answer, body=answer.body[:4] + b"\x80\x00" + b"\x58" * (len(answer.body) - 6)).wire
    ),
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
    "error": lambda answer, asked, chance: error(answer, asked, b"no\0"),
    "error_unterminated": lambda answer, asked, chance: error(answer, asked, b"\x58" * 15_000),
    "error_short": lambda answer, asked, chance: Message(ERROR, 0, 0, 0, GETFAIL, b"12345678").wire,
    "gone": lambda answer, asked, chance: Message(GONE, 0, 0, asked.first).wire,
    "rights_of_nobody": lambda answer, asked, chance: Message(ACCESS, 0, 0, 0x7654321, 3).wire + answer.wire,
    "created_nobody": lambda answer, asked, chance: Message(CREATE, 6, 1, 0x7654321, 9).wire + answer.wire,
    "created_again": lambda answer, asked, chance: Message(CREATE, 6, 1, asked.first, 9).wire + answer.wire,
    "garbage": lambda answer, asked, chance: chance.randbytes(64),
    "silence": lambda answer, asked, chance: b"",
    "close": lambda answer, asked, chance: _close_after(b""),
}


# After these the circuit is closed, or the PV has to be searched for again.
FATAL = ("size_odd", "size_absurd", "size_large", "truncated", "header_only_half", "command_unknown", "command_absurd")
FATAL += ("error_short", "gone", "garbage", "close")
# Whether libca bears these depends on the answer (see is_bearable).
DOUBTFUL = ("count_beyond", "count_doubled", "count_absurd", "count_negative", "body_missing", "body_short")


def at_random(answer: Message, asked: Message, native_count: int, chance: random.Random) -> bytes:
    """A lie, or an answer with one to three of its parts changed, that libca bears; seldom one that ends it all."""
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
