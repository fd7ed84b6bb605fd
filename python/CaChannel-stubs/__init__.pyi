"""What ``import CaChannel`` gives: the package ``cachannel``."""

from cachannel import *
from cachannel import CaChannelTypeError as CaChannelTypeError
from cachannel import CaChannelValueError as CaChannelValueError
from cachannel import ChannelGroup as ChannelGroup
from cachannel import Recorder as Recorder
from cachannel import __version__ as __version__
from cachannel import _ca as _ca
from cachannel import _version as _version
from cachannel import libca_path as libca_path
