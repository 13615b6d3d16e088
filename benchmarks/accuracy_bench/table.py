"""The table's rows from the cells that there are; what has not been run yet has no number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from .cells import Cell, Workshop
from .plan import Goal, Row

POINTS = 100
"""A point is a hundredth of an accuracy or of a correlation."""


class Status(str, Enum):
    """How a row stands to its goal."""

    REACHED = "reached"
    SHORT = "short"
    NO_GOAL = "no goal"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class TableRow:
    """A row of the table. ``value`` is the mean over the ``seeds`` that have been run, ``float`` that of the float
    models that they started from, ``spread`` the largest value less the smallest; None where nothing was measured."""

    name: str
    method: str
    scheme: str
    task: str
    metric: str | None
    float: float | None
    value: float | None
    spread: float | None
    seeds: tuple[int, ...]
    missing_seeds: tuple[int, ...]
    bits_reduction: float | None
    artifact_bytes: int | None
    goal: str
    status: Status
    short_by: str
    cells: tuple[Cell, ...]


def table_rows(workshop: Workshop) -> list[TableRow]:
    """Every row of the plan."""
    return [_table_row(workshop, row) for row in workshop.plan.rows]


def _table_row(workshop: Workshop, row: Row) -> TableRow:
    cells = {seed: workshop.finished_row(row, seed) for seed in row.seeds}
    found = [cell for cell in cells.values() if cell is not None]
    values = [cell["value"] for cell in found]
    value, original = _mean(values), _mean([cell["float"] for cell in found])
    reduction = min((cell["bits_reduction"] for cell in found), default=None)
    shortfalls = _shortfalls(row.goal, value, original, reduction)
    return TableRow(
        name=row.name,
        method=row.method,
        scheme=row.scheme,
        task=workshop.plan.baselines[row.baseline].task,
        metric=found[0]["metric"] if found else None,
        float=original,
        value=value,
        spread=max(values) - min(values) if len(values) > 1 else None,
        seeds=tuple(seed for seed, cell in cells.items() if cell is not None),
        missing_seeds=tuple(seed for seed, cell in cells.items() if cell is None),
        bits_reduction=reduction,
        artifact_bytes=max((cell["artifact_bytes"] for cell in found), default=None),
        goal=describe(row.goal),
        status=_status(row.goal, value, shortfalls),
        short_by=", ".join(shortfalls),
        cells=tuple(found),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def describe(goal: Goal) -> str:
    """The goal in words; empty where there is none."""
    parts = []
    if goal.at_least is not None:
        parts.append(f"at least {goal.at_least:g}")
    if goal.drop is not None:
        parts.append(f"within {goal.drop:g} points")
    if goal.reduction is not None:
        parts.append(f"{goal.reduction:g}x fewer bits")
    return ", ".join(parts)


def _status(goal: Goal, value: float | None, shortfalls: Sequence[str]) -> Status:
    if value is None:
        return Status.NOT_RUN
    if goal == Goal():
        return Status.NO_GOAL
    return Status.SHORT if shortfalls else Status.REACHED


def _shortfalls(goal: Goal, value: float | None, original: float | None, reduction: float | None) -> list[str]:
    """By how much each part of the goal is missed."""
    if value is None:
        return []
    found = []
    if goal.at_least is not None and value < goal.at_least:
        found.append(f"{goal.at_least - value:.4f}")
    if goal.drop is not None and original is not None:
        # Scores are ratios of whole numbers: their difference has rounding errors that are no drop.
        excess = (original - value) * POINTS - goal.drop
        if excess > 1e-6:
            found.append(f"{excess:.2f} points")
    if goal.reduction is not None and reduction is not None and reduction < goal.reduction:
        found.append(f"{goal.reduction - reduction:.2f}x")
    return found
