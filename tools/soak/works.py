"""Which loads there are, and where each runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from . import askers, steady, watchers
from .load import Load


class Work(NamedTuple):
    """A load. One that runs ``throughout`` has a process for the whole time; the others take turns."""

    work: Callable[[Load], Any]
    throughout: bool = False
    seconds: float = 20.0  # of a turn
    has_count: bool = False  # it ends when it has done a number of things
    may_grow: float = 30.0  # MB, from early to the end


WORKS = {
    "monitors": Work(watchers.monitors, throughout=True),
    "recorder": Work(watchers.recorder, throughout=True),
    "reads": Work(askers.reads, throughout=True),
    "writes": Work(askers.writes, throughout=True),
    "groups": Work(askers.groups, throughout=True),
    "forks": Work(steady.forks),
    "exits": Work(steady.exits),
    "threads": Work(steady.threads),
    **{
        f"memory: {name}": Work(partial(steady.memory, name), seconds=600.0, has_count=True, may_grow=100.0)
        for name in ("gets", "puts", "events", "channels", "frames", "contexts")
    },
    "memory: camera": Work(steady.camera, seconds=600.0, has_count=True, may_grow=1000.0),
    "storm": Work(steady.storm, seconds=30.0),
}
