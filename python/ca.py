"""The old name: ``import ca`` gives ``cachannel.ca``."""

import importlib
import sys

sys.modules["ca"] = importlib.import_module("cachannel.ca")
