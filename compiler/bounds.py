"""The bounds of a whole model: every operator proves that none of its intermediates can overflow."""

from __future__ import annotations

from typing import Any

from .graph import IntegerGraph, Operator
from .operators.attention import Attention
from .operators.pooling import MeanPooling
from .operators.real.operator import RealOperator


def prove(graph: IntegerGraph, length: int) -> dict[str, Any]:
    """For sequences of up to ``length`` tokens: the proven range [low, high] of every value, by name.

    Raises BoundsError that names the layer and the operator that cannot be proven.
    """
    ranges: dict[str, Any] = {}
    for step in graph.steps:
        # The ids, types and mask bound nothing.
        result = _bounds(step.operator, length, *(ranges.get(name) for name in step.inputs))
        ranges.update(zip(step.outputs, result if isinstance(result, tuple) else (result,), strict=True))
    return {name: [interval.low, interval.high] for name, interval in ranges.items()}


def _bounds(operator: Operator, length: int, *inputs: Any) -> Any:
    if isinstance(operator, RealOperator):
        return operator.bounds(length, *inputs)
    if isinstance(operator, Attention | MeanPooling):
        return operator.bounds(length)
    return operator.bounds()
