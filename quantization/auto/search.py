"""The search: from 8 bits everywhere, the steps that save most for the error that they add, as far as they may go.

The errors that several parts add to a model's output are nearly independent, so that they add up; then steps in the
order of added error a saved byte are the best configurations of every size (the greedy solution of the knapsack
problem over the lower convex hull of each part's choices: Sinha and Zoltners, "The Multiple-Choice Knapsack Problem",
Operations Research, 1979). Which of them is the last within the drop is found by bisection: first by a simulation on
a slice, then by judging integer models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .units import Bits, Cost, Unit

Sensitivity = Mapping[str, Mapping[int, float]]
"""Unit -> bits -> the error that they add to the model's output."""


@dataclass(frozen=True)
class Step:
    """``unit`` goes to ``bits``."""

    unit: str
    bits: int
    price: float
    """Error added for each saved byte or millisecond."""


def path(units: Sequence[Unit], sensitivity: Sensitivity, cost: Cost) -> list[Bits]:
    """Configurations from 8 bits everywhere on, each with one unit at fewer bits than the one before."""
    steps = sorted((step for unit in units for step in _steps(unit, sensitivity[unit.name], cost)), key=_price)
    bits = {unit.name: 8 for unit in units}
    configurations: list[Bits] = [dict(bits)]
    for step in steps:
        bits[step.unit] = step.bits
        configurations.append(dict(bits))
    return configurations


def _price(step: Step) -> float:
    return step.price


def _steps(unit: Unit, errors: Mapping[int, float], cost: Cost) -> list[Step]:
    """The unit's choices on the lower convex hull of error over cost, from 8 bits on: prices rise."""
    steps: list[Step] = []
    bits = 8
    while True:
        onward = []
        for choice, error in errors.items():
            saved = cost(unit, bits) - cost(unit, choice)
            if saved > 0 and math.isfinite(saved):
                # Fewer bits that do no harm, by chance, are as good as free.
                onward.append(Step(unit.name, choice, max(error - errors.get(bits, 0.0), 0.0) / saved))
        if not onward:
            return steps
        steps.append(min(onward, key=lambda step: (step.price, step.bits)))
        bits = steps[-1].bits


def last_good(count: int, is_good: Callable[[int], bool]) -> int:
    """The last index below ``count`` that is good when good ones come first, by bisection; -1 if there is none."""
    low, high = -1, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_good(middle) else (low, middle)
    return low


def confirmed(count: int, start: int, is_good: Callable[[int], bool], budget: int) -> int | None:
    """The largest index that ``budget`` trials of ``is_good`` found good, from ``start`` outwards; None without any.

    A good one is followed by a larger, a bad one by a smaller, the distance doubling until the last good one is
    between two neighbours, then halving. The last trial goes to index 0 when nothing was good.
    """
    low, high, stride, index = -1, count, 1, min(max(start, 0), count - 1)
    for trial in range(budget):
        if is_good(index):
            low = index
        else:
            high = index
        if high - low <= 1:
            break
        if low < 0:
            index = 0 if trial == budget - 2 else max(0, high - stride)
        elif high == count:
            index = min(count - 1, low + stride)
        else:
            index = (low + high) // 2
        stride *= 2
    return low if low >= 0 else None
