"""What ``import epicsMotor`` gives: ``cachannel.epicsMotor``."""

from cachannel.epicsMotor import *
