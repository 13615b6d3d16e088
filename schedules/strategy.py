"""Operator strategies: the ways to run an operator, in order of preference.

A strategy looks at a workload and the CPU's features and either refuses, saying why, or describes how the operator's
kernel may be scheduled. The last strategy of every operator is a plain loop nest that refuses nothing. Schedules only
reorder: the bytes are the oracle's whatever the strategy and whatever is chosen in it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from tvm.s_tir import Schedule

PrimFunc: TypeAlias = Any
Workload = TypeVar("Workload")


@dataclass(frozen=True)
class Sketch:
    """A program that schedules a kernel; what it leaves open are sampling instructions.

    ``apply`` takes the default decisions and records them in the schedule's trace, where a search replaces them. A
    trace is replayed without Python: whatever depends on a decision must be a random variable of the schedule.
    """

    name: str
    """In words: what tells it from the strategy's other sketches."""
    apply: Callable[[Schedule], None]


class Strategy(ABC, Generic[Workload]):
    """One way to run an operator."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Unique among the operator's strategies."""

    @abstractmethod
    def refuse(self, workload: Workload, features: frozenset[str]) -> str | None:
        """Why it cannot run this workload on a CPU with these canonical features; None when it can."""

    @abstractmethod
    def sketches(self, workload: Workload) -> Sequence[Sketch]:
        """What may be done with the operator's kernel; the first one's default decisions are the default schedule."""

    def finish(self, function: PrimFunc, workload: Workload) -> PrimFunc:
        """The scheduled ``function`` with what no schedule primitive expresses."""
        return function


def missing(feature: str, features: frozenset[str]) -> str | None:
    """The reason to refuse when the CPU lacks ``feature``."""
    return None if feature in features else f"the CPU has no {feature}"


def not_a_multiple(what: str, value: int, of: int) -> str | None:
    """The reason to refuse when ``value`` cannot be tiled by ``of``."""
    return None if value % of == 0 else f"{what} {value} is not a multiple of {of}"
