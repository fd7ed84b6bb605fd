"""``CaChannel.epicsPV``."""

from cachannel.epicsPV import *
