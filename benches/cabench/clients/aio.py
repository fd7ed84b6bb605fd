"""cachannel.aio: the program of aioca, whose names it has."""

from __future__ import annotations

import sys

import cachannel.aio

sys.modules["aioca"] = cachannel.aio

from cabench.clients.aioca import *  # noqa: E402, F403 (the program, once its module is the other one)
