"""``CaChannel._ca``, which had in 3.x what ``ca`` has."""

from cachannel.ca import *
