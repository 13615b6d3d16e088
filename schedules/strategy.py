"""Operator strategies: the ways to run an operator, in order of preference.

A strategy looks at a workload and the CPU's features and either refuses, saying why, or schedules the operator's
kernel. The last strategy of every operator is a plain loop nest that refuses nothing. Schedules only reorder: the
bytes are the oracle's whatever the strategy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

Workload = TypeVar("Workload", contravariant=True)


class Strategy(Protocol[Workload]):
    """One way to run an operator."""

    @property
    def name(self) -> str:
        """Unique among the operator's strategies."""
        ...

    def refuse(self, workload: Workload, features: frozenset[str]) -> str | None:
        """Why it cannot run this workload on a CPU with these canonical features; None when it can."""
        ...

    def schedule(self, kernel: Any, workload: Workload) -> Any:
        """The scheduled PrimFunc of the operator's unscheduled one: the same arguments, the same bytes."""
        ...


Chosen = TypeVar("Chosen", bound=Strategy[Any])


@dataclass(frozen=True)
class Selection(Generic[Chosen]):
    """The strategy chosen for a workload, and why the better ones were not, as (name, reason)."""

    strategy: Chosen
    rejected: tuple[tuple[str, str], ...]


def select(strategies: Sequence[Chosen], workload: Any, features: frozenset[str]) -> Selection[Chosen]:
    """The first of ``strategies`` that does not refuse. The last one never may."""
    rejected: list[tuple[str, str]] = []
    for strategy in strategies:
        reason = strategy.refuse(workload, features)
        if reason is None:
            return Selection(strategy, tuple(rejected))
        rejected.append((strategy.name, reason))
    raise AssertionError(f"every strategy refused {workload}: {rejected}")


def missing(feature: str, features: frozenset[str]) -> str | None:
    """The reason to refuse when the CPU lacks ``feature``."""
    return None if feature in features else f"the CPU has no {feature}"


def not_a_multiple(what: str, value: int, of: int) -> str | None:
    """The reason to refuse when ``value`` cannot be tiled by ``of``."""
    return None if value % of == 0 else f"{what} {value} is not a multiple of {of}"
