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

from ._ca import *
from ._constants import *
from ._enums import *
from ._types import *
