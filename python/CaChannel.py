"""The old name: ``import CaChannel`` gives the package ``cachannel``, and its modules under the names of 3.x."""

import importlib
import sys

_package = importlib.import_module("cachannel")
for _name in ("ca", "CaChannel", "epicsMotor", "epicsPV", "util"):
    sys.modules[f"CaChannel.{_name}"] = importlib.import_module(f"cachannel.{_name}")
sys.modules["CaChannel"] = _package
