"""EPICS Channel Access for Python: connect to process variables (PVs), read, write and monitor them.

>>> from cachannel import CaChannel
>>> chan = CaChannel("catest")
>>> chan.searchw()
>>> chan.putw(12.5)
>>> chan.getw()
12.5

:class:`CaChannel` is the class to work with; :mod:`cachannel.ca` has libca's functions beneath it. Programs written for
CaChannel 3.x go on with ``import CaChannel``, which gives this very package.
"""

from __future__ import annotations

import atexit

from . import _ca, _exit, _libca

_libca.load()

from . import _forgotten, _start, ca  # noqa: E402 (what follows needs libca)
from ._ca import Recorder as Recorder  # noqa: E402
from ._errors import CaChannelException  # noqa: E402
from ._errors import CaChannelTypeError as CaChannelTypeError  # noqa: E402
from ._errors import CaChannelValueError as CaChannelValueError  # noqa: E402
from ._group import ChannelGroup as ChannelGroup  # noqa: E402
from ._libca import libca_path as libca_path  # noqa: E402
from ._version import __version__ as __version__  # noqa: E402
from ._version import version_info  # noqa: E402
from .CaChannel import CaChannel  # noqa: E402

USE_NUMPY = False
"""Whether values of more than one element come as numpy arrays where a call does not say (``use_numpy=``)."""

# What `from CaChannel import *` gave in 3.x: a new name could hide one of the program's.
__all__ = ["USE_NUMPY", "CaChannel", "CaChannelException", "ca", "version_info"]

_exit.install()

_ca.prepare_with(_start.prepare_environment)
# Registered early, so that it runs late: what a program does at its exit may still use channels.
atexit.register(_forgotten.shutdown)
