"""What a client's process is told to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SUBSCRIBED = "subscribed"  # what a process prints when updates may begin


@dataclass(frozen=True)
class Task:
    """A work and how much of it: a client's process gets it as arguments, in this order."""

    works: tuple[str, ...]  # names of functions; the first that the client has is done
    size: int  # PVs, elements, puts or updates, as the work has it
    seconds: float  # measure for about so long, where the work can be repeated
    prefix: str  # what the names of the PVs begin with
    subscriptions: int  # how many of them share the updates of the firehose

    def arguments(self) -> list[str]:
        """Return the command-line arguments that say this."""
        return [",".join(self.works), str(self.size), str(self.seconds), self.prefix, str(self.subscriptions)]

    @staticmethod
    def parse(arguments: Sequence[str]) -> Task:
        """Return what the arguments say."""
        works, size, seconds, prefix, subscriptions = arguments
        return Task(tuple(works.split(",")), int(size), float(seconds), prefix, int(subscriptions))

    def name(self, kind: str, number: int) -> str:
        """Return the name of one of the PVs of that kind."""
        return f"{self.prefix}{kind}{number}"

    def names(self, kind: str, count: int) -> list[str]:
        """Return the names of the first ``count`` PVs of that kind."""
        return [self.name(kind, number) for number in range(count)]
