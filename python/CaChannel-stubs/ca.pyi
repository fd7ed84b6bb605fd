"""``CaChannel.ca``."""

from cachannel.ca import *
