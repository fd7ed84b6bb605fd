"""The low-level interface: libca's functions, almost one to one.

Functions return the status (:class:`ECA`) that libca gave; a value that does not convert or fit raises instead
(:class:`~cachannel.CaChannelValueError`, :class:`~cachannel.CaChannelTypeError`), and then nothing was sent.

Every thread may call them: a thread that is in no context joins the process's at its first call. Callbacks run on a
dispatcher thread of their context, one at a time, in the order in which libca had the events; in a context made by
``create_context(False)`` they run in the thread that made it, inside its calls of :func:`pend_event`,
:func:`pend_io` or
:func:`poll`.

A callback gets one argument, a dict (see the functions that take one). With ``user_args`` (a tuple, or anything but
None) it gets two, that one second, and the first then has the names of class ``CaChannel`` (``pv_value``,
``pv_units``, …).
"""

import os as os
import warnings as warnings
from enum import IntEnum as IntEnum

from . import _ca, _constants, _enums, _types
from ._ca import *
from ._ca import ca_client_context as ca_client_context
from ._ca import chid as chid
from ._ca import dropped as dropped
from ._ca import evid as evid
from ._constants import *
from ._enums import *
from ._types import *

_of_python = ["IntEnum", *_constants.__all__, *_enums.__all__, *_types.__all__]

# What `from CaChannel.ca import *` gave in 3.x with either of its backends, modules too, and nothing that is new.
# (Type checkers take a literal list only, and without one all names.)
globals()["__all__"] = ["os", "warnings", *_ca.__all__, *_of_python]

# In 3.x `_ca` had all of it, and programs import alarms and types from there.
vars(_ca).update((name, globals()[name]) for name in _of_python)
_ca.__all__ += _of_python
