"""``CaChannel._version``."""

from cachannel._version import *
from cachannel._version import __version__ as __version__
