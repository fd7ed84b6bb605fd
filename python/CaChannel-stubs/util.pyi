"""``CaChannel.util``."""

from cachannel.util import *
from cachannel.util import CaNothing as CaNothing
from cachannel.util import Monitor as Monitor
from cachannel.util import MonitorCallback as MonitorCallback
from cachannel.util import _channels_ as _channels_
