"""The old name: ``import epicsMotor`` gives ``cachannel.epicsMotor``."""

import importlib
import sys

sys.modules["epicsMotor"] = importlib.import_module("cachannel.epicsMotor")
