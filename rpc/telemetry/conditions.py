"""What is told about a board: the conditions at a moment, and the sensors that it has."""

from __future__ import annotations

import math
from dataclasses import dataclass

THROTTLE_EVENT = "throttle event"
"""The reason where a counter rose and nothing says why."""


@dataclass(frozen=True)
class Conditions:
    """A reading; what the board cannot tell is None. ValueError where a number is none that a sensor can give."""

    clock_mhz: float | None
    """The lowest current clock among the CPUs asked for, or that of the GPU."""
    temperature_c: float | None
    """The hottest place of the processor."""
    throttled: tuple[str, ...] | None
    """The reasons for which the board is slower now than it could be; () where there are none."""
    throttle_events: int | None
    """A count that rises when the board throttles; only the difference of two readings means anything."""
    power_w: float | None
    """What the board, or as much of it as has a meter, takes."""
    memory_clock_mhz: float | None = None
    """That of the memory."""

    def __post_init__(self) -> None:
        for name in ("clock_mhz", "temperature_c", "power_w", "memory_clock_mhz"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} is {value}; a reading is finite, or None")
        for name in ("clock_mhz", "memory_clock_mhz"):
            clock = getattr(self, name)
            if clock is not None and clock <= 0:
                raise ValueError(f"{name} is {clock}; a clock is positive, or None")
        if self.throttle_events is not None and self.throttle_events < 0:
            raise ValueError(f"throttle_events is {self.throttle_events}; a count is not negative, or None")


@dataclass(frozen=True)
class Throttling:
    """The part of the conditions that is about throttling, as one source tells it."""

    reasons: tuple[str, ...] | None
    events: int | None


@dataclass(frozen=True)
class Inventory:
    """The sensors of a board: where each quantity comes from, in words, or None where nothing tells it."""

    governor: str | None
    """What chooses the clock of the CPUs asked for (cpufreq), or of the GPU (devfreq), by comma where they differ."""
    lowest_mhz: float | None
    """The lowest clock that one of these CPUs, or the GPU, has."""
    highest_mhz: float | None
    """The highest clock that one of these CPUs, or the GPU, has."""
    clock: str | None
    temperature: str | None
    throttled: str | None
    power: str | None
    rails: tuple[str, ...]
    """The power rails with a meter, by name."""
    memory_clock: str | None = None


def was_throttled(before: Conditions, after: Conditions) -> tuple[str, ...] | None:
    """The reasons to distrust what was measured between two readings; None where the board cannot tell.

    A reason counts that held at either reading, and a counter that rose between them.
    """
    known = [reading.throttled for reading in (before, after) if reading.throttled is not None]
    reasons = [reason for reading in known for reason in reading]
    countable = before.throttle_events is not None and after.throttle_events is not None
    if not known and not countable:
        return None
    if (
        before.throttle_events is not None
        and after.throttle_events is not None
        and after.throttle_events > before.throttle_events
    ):
        reasons.append(THROTTLE_EVENT)
    return tuple(dict.fromkeys(reasons))
