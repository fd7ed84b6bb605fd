"""This package: what it does as CaChannel 3.2.0 does it, and here what it alone can."""

from __future__ import annotations

from cabench.clients.cachannel import *  # noqa: F403
