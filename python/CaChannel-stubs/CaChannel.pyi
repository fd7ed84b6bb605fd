"""``CaChannel.CaChannel``, the module."""

from cachannel.CaChannel import *
from cachannel.CaChannel import ConnectionCallback as ConnectionCallback
from cachannel.CaChannel import EventCallback as EventCallback
