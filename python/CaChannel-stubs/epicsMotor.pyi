"""``CaChannel.epicsMotor``."""

from cachannel.epicsMotor import *
