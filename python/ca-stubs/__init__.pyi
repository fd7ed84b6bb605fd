"""What ``import ca`` gives: ``cachannel.ca``."""

from cachannel.ca import *
