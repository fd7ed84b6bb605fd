"""EPICS Channel Access for Python: connect to process variables (PVs), read, write and monitor them.

>>> from cachannel import PV, caget, caput
>>> caput("catest", 12.5)
>>> caget("catest")
12.5
>>> test = PV("catest")
>>> value = test.get()
>>> value + 1, value.units
(13.5, 'mm')

:class:`PV` is one PV, :class:`ChannelGroup` many, :class:`Recorder` records streams, :mod:`cachannel.aio` is for event
loops;
:func:`caget`, :func:`caput`, :func:`camonitor` and :func:`cainfo` are for a prompt. :class:`CaChannel` and the modules
``ca``, ``epicsPV``, ``epicsMotor`` and ``util`` are those of CaChannel 3.x, whose programs go on with ``import
CaChannel``: that gives this very package.
"""

from __future__ import annotations

import atexit
import importlib
from typing import TYPE_CHECKING, Any

from . import _ca, _exit, _libca

_libca.load()

from . import _forgotten, _start, ca  # noqa: E402 (what follows needs libca)
from ._ca import Recorder as Recorder  # noqa: E402
from ._errors import CaChannelException  # noqa: E402
from ._errors import CaChannelTimeout as CaChannelTimeout  # noqa: E402 (as above)
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

if TYPE_CHECKING:
    from . import aio as aio
    from . import epicsMotor as epicsMotor
    from . import epicsPV as epicsPV
    from . import util as util
    from . import values as values
    from ._pv import PV as PV
    from ._subscription import Subscription as Subscription
    from .util import caget as caget
    from .util import cainfo as cainfo
    from .util import camonitor as camonitor
    from .util import caput as caput

_ON_DEMAND = {
    "PV": "_pv",
    "Subscription": "_subscription",
    "caget": "util",
    "cainfo": "util",
    "camonitor": "util",
    "caput": "util",
    "aio": None,
    "epicsMotor": None,
    "epicsPV": None,
    "util": None,
    "values": None,
}
"""Names that are imported when they are used first, and the module that each is in; None for a module itself."""

_NAMES = [
    *_ON_DEMAND,
    "CaChannel",
    "CaChannelException",
    "CaChannelTimeout",
    "CaChannelTypeError",
    "CaChannelValueError",
    "ChannelGroup",
    "Recorder",
    "USE_NUMPY",
    "__version__",
    "ca",
    "libca_path",
    "version_info",
]


def __getattr__(name: str) -> Any:
    if name not in _ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _ON_DEMAND[name]
    found = importlib.import_module(f"{__name__}.{module or name}")
    value = found if module is None else getattr(found, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_NAMES)


_exit.install()

_ca.prepare_with(_start.prepare_environment)
# Registered early, so that it runs late: what a program does at its exit may still use channels.
atexit.register(_forgotten.shutdown)
