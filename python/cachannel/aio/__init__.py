"""Channel Access in event loops: PVs for asyncio, with the functions of aioca.

>>> import asyncio
>>> from cachannel import aio
>>> async def main():
...     await aio.caput("catest", 2.5, wait=True)
...     print(await aio.caget("catest"), await aio.caget(["catest", "cabo"], throw=False))
...     async with aio.PV("cacalc") as calc:
...         async for value in calc.updates(policy="latest"):
...             break
>>> asyncio.run(main())
2.5 [2.5, 0]

Nothing here blocks the loop, whatever hangs: what has to be waited for is awaited. Whatever is awaited can be
cancelled, and ends at once; its answer is forgotten, and what has not left the process is not sent. No task stays
behind.

:func:`caget`, :func:`caput`, :func:`camonitor`, :func:`connect` and :func:`cainfo` take one name or a list, and have
the arguments and meanings that they have in aioca; :class:`PV` is an object with what a program needs of one PV. Each
event loop has channels of its own, which stay connected for the next call until the loop is closed, or
:func:`purge_channel_caches`.

Where aioca 2.1 differs: whatever fails for a PV raises :class:`CANothing` here, also what aioca raises as
``cadef.CAException`` or ``cadef.Disconnected``; of a list, that of the first PV that failed, and a time-out is a
TimeoutError as well. Nothing is delivered to a loop that is closed, and its subscriptions are closed with it.

Values are those of :mod:`cachannel.values`; what failed raises :class:`CANothing`, or with ``throw=False`` is one.
"""

from __future__ import annotations

from .._constants import DBE_ALARM, DBE_LOG, DBE_PROPERTY, DBE_VALUE
from .._enums import DBR
from .._value_specs import FORMAT_CTRL, FORMAT_RAW, FORMAT_TIME
from ._functions import caget, cainfo, caput, connect
from ._loop import ChannelInfo, get_channel_infos, purge_channel_caches
from ._monitor import Subscription, camonitor
from ._nothing import CAInfo, CANothing
from ._pv import PV, Updates
from ._requests import DBR_CHAR_BYTES, DBR_CHAR_STR, DBR_CHAR_UNICODE, DBR_ENUM_STR, DEFAULT_TIMEOUT

DBR_STRING = DBR.STRING
DBR_SHORT = DBR.SHORT
DBR_FLOAT = DBR.FLOAT
DBR_ENUM = DBR.ENUM
DBR_CHAR = DBR.CHAR
DBR_LONG = DBR.LONG
DBR_DOUBLE = DBR.DOUBLE
DBR_PUT_ACKT = DBR.PUT_ACKT
DBR_PUT_ACKS = DBR.PUT_ACKS
DBR_STSACK_STRING = DBR.STSACK_STRING
DBR_CLASS_NAME = DBR.CLASS_NAME

__all__ = [
    "DBE_ALARM",
    "DBE_LOG",
    "DBE_PROPERTY",
    "DBE_VALUE",
    "DBR_CHAR",
    "DBR_CHAR_BYTES",
    "DBR_CHAR_STR",
    "DBR_CHAR_UNICODE",
    "DBR_CLASS_NAME",
    "DBR_DOUBLE",
    "DBR_ENUM",
    "DBR_ENUM_STR",
    "DBR_FLOAT",
    "DBR_LONG",
    "DBR_PUT_ACKS",
    "DBR_PUT_ACKT",
    "DBR_SHORT",
    "DBR_STRING",
    "DBR_STSACK_STRING",
    "DEFAULT_TIMEOUT",
    "FORMAT_CTRL",
    "FORMAT_RAW",
    "FORMAT_TIME",
    "PV",
    "CAInfo",
    "CANothing",
    "ChannelInfo",
    "Subscription",
    "Updates",
    "caget",
    "cainfo",
    "camonitor",
    "caput",
    "connect",
    "get_channel_infos",
    "purge_channel_caches",
]

for _one in (PV, Updates, Subscription, CAInfo, CANothing, ChannelInfo):
    _one.__module__ = __name__  # where they are to be imported from
