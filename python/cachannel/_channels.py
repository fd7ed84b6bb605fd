"""``util._channels_``: the channels of :mod:`cachannel.util` as the dict from names to CaChannels that 3.x kept."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

from . import ca
from ._connections import Key, _channels, key
from ._monitors import stop_all
from .CaChannel import CaChannel


class Channels(MutableMapping[str, CaChannel]):
    """Names and channels of the calling thread's context.

    What is put in is used from then on. What is taken out is forgotten, its monitors end, and it is made anew when its
    name is used again.
    """

    def __init__(self) -> None:
        self._made: dict[Key, CaChannel] = {}
        """The objects that were given out, so that each name has one."""

    def __getitem__(self, name: str) -> CaChannel:
        known = _channels.get(key(name))
        if known is None:
            raise KeyError(name)
        channel = self._made.get(key(name))
        if channel is None or channel._chid is not known:
            channel = CaChannel(name)
            channel._chid = known
            self._made[key(name)] = channel
        return channel

    def __setitem__(self, name: str, channel: CaChannel) -> None:
        _channels[key(name)] = channel._channel()
        self._made[key(name)] = channel

    def __delitem__(self, name: str) -> None:
        if _channels.pop(key(name), None) is None:
            raise KeyError(name)
        self._made.pop(key(name), None)
        stop_all([name])

    def __iter__(self) -> Iterator[str]:
        context = ca.current_context()
        return iter([name for its_context, name in list(_channels) if its_context == context])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr(dict(self))


CHANNELS = Channels()
