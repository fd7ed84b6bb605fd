"""The old name: ``import epicsPV`` gives ``cachannel.epicsPV``."""

import importlib
import sys

sys.modules["epicsPV"] = importlib.import_module("cachannel.epicsPV")
