"""The bounds of a whole model: every operator proves that none of its intermediates can overflow."""

from __future__ import annotations

from typing import Any

from .graph import IntegerGraph, Operator
from .operators.attention import Attention
from .operators.interval import Interval
from .operators.pooling import MeanPooling


def prove(graph: IntegerGraph, length: int) -> dict[str, Any]:
    """For sequences of up to ``length`` tokens: the proven range [low, high] of every value, by name.

    Raises BoundsError that names the layer and the operator that cannot be proven.
    """
    proven: dict[str, Any] = {}
    for step in graph.steps:
        result = _bounds(step.operator, length)
        intervals = result if isinstance(result, tuple) else (result,)
        for name, interval in zip(step.outputs, intervals, strict=True):
            proven[name] = [interval.low, interval.high]
    return proven


def _bounds(operator: Operator, length: int) -> Interval | tuple[Interval, Interval]:
    if isinstance(operator, Attention | MeanPooling):
        return operator.bounds(length)
    return operator.bounds()
