"""Sources of readings, and how one is chosen for a quantity."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .commands import Run
from .files import read_text

Reading = TypeVar("Reading")


Ask = Callable[..., "int | None"]
"""Asks about a GPU: gets the name of a function of NVML and its arguments but for the device and the result, which it
gives; None where there is none."""


@dataclass(frozen=True)
class Machine:
    """Where sensors are looked for: under ``root``, for the ``cpus`` (None: all), with ``run`` for programs and ``ask``
    for an NVIDIA card."""

    root: str
    cpus: frozenset[int] | None
    run: Run
    ask: Ask

    def find(self, pattern: str) -> list[str]:
        """The paths that match the pattern, which is relative to the root; cpu2 stands before cpu10."""
        # Unlike Path.glob, this passes over every folder that cannot be read.
        return sorted(glob.iglob(f"{glob.escape(self.root)}/{pattern}"), key=_by_number)  # noqa: PTH207

    def hwmon(self, name: re.Pattern[str]) -> list[str]:
        """The folders of hardware monitors in whose name the pattern is found."""
        return [
            folder
            for folder in self.find("sys/class/hwmon/hwmon*")
            if name.search(read_text(f"{folder}/name") or "") is not None
        ]

    def covers(self, cpus: Iterable[int]) -> bool:
        """Whether one of ``cpus`` is asked for."""
        return self.cpus is None or not self.cpus.isdisjoint(cpus)


@dataclass(frozen=True)
class Source(Generic[Reading]):
    """A place that tells a quantity; ``read`` gives None whenever it does not tell."""

    words: str
    read: Callable[[], Reading | None]


AnySource = TypeVar("AnySource", bound=Source[Any])


def first(finders: Iterable[Callable[[Machine], AnySource | None]], machine: Machine) -> AnySource | None:
    """The first source of a registry that is there and gives a reading now."""
    for find in finders:
        source = find(machine)
        if source is not None and source.read() is not None:
            return source
    return None


def _by_number(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", path)]
