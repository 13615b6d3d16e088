"""Where a tuning run stands, task by task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...compiler.tasks import Task
from .way import Way

Tell = Callable[[Sequence["Progress"], str], None]
"""Hears, after every trial and before what takes long, where all tasks stand and what is being done."""


@dataclass
class Progress:
    """One task with the ways to compute it. ``done``: why it is over, None while it is not."""

    task: Task
    ways: list[Way]
    idle_rounds: int = 0
    hope: float = 1.0
    """What the last rounds lead to expect of the next: the share of its time that it saves."""
    done: str | None = None

    @property
    def default(self) -> float | None:
        """Seconds of one call by the fastest default schedule; None while none is known."""
        return min((way.default_seconds for way in self.ways if way.default_seconds is not None), default=None)

    @property
    def best(self) -> float | None:
        """Seconds of one call by the best known schedule; None while none is known."""
        return min((way.best.median_seconds or 0.0 for way in self.ways if way.best is not None), default=None)

    @property
    def trials(self) -> int:
        """Candidates that were measured, however often."""
        return sum(len(way.known) for way in self.ways)

    @property
    def failures(self) -> int:
        """Candidates that could not be built or run, or computed something else."""
        return sum(record.error is not None for way in self.ways for record in way.known.values())

    @property
    def total(self) -> float:
        """Seconds of all calls in one inference of every bucket, by the best schedule."""
        return self.task.calls * (self.best or 0.0)

    @property
    def total_default(self) -> float:
        """The same by the default schedule."""
        return self.task.calls * (self.default or 0.0)

    @property
    def gain(self) -> float:
        """The share of the default's time that the best schedule saves."""
        return 1 - self.best / self.default if self.best and self.default else 0.0

    def next_way(self) -> Way | None:
        """The way to try next: they take turns; None when all are over."""
        return min((way for way in self.ways if not way.over), key=lambda way: len(way.known), default=None)

    def to_json(self) -> dict[str, Any]:
        """As a JSON document; times in microseconds."""
        default, best = self.default, self.best
        return {
            "operator": self.task.operator,
            "shape": self.task.shape,
            "calls": self.task.calls,
            "default_us": None if default is None else default * 1e6,
            "best_us": None if best is None else best * 1e6,
            "gain": self.gain,
            "trials": self.trials,
            "failures": self.failures,
            "done": self.done,
        }
