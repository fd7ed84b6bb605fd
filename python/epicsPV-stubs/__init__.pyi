"""What ``import epicsPV`` gives: ``cachannel.epicsPV``."""

from cachannel.epicsPV import *
