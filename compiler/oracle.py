"""The oracle of a whole model: the graph's operators, one after the other, in NumPy.

It defines what every compiled artifact must return, byte for byte.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .graph import ATTENTION_MASK, INPUT_IDS, TOKEN_TYPE_IDS, IntegerGraph
from .lowering import lower
from .model import QuantizedModel


def run(
    model: QuantizedModel,
    input_ids: ArrayLike,
    attention_mask: ArrayLike | None = None,
    token_type_ids: ArrayLike | None = None,
) -> NDArray[np.int64]:
    """The head's integers for ``input_ids`` [batch, length]: [batch, channels], or [batch, length, channels].

    A missing mask counts every token, missing token types are 0. Multiply by :func:`output_scale` to read floats.
    """
    ids = np.asarray(input_ids, np.int64)
    mask = np.ones_like(ids) if attention_mask is None else np.asarray(attention_mask, np.int64)
    types = np.zeros_like(ids) if token_type_ids is None else np.asarray(token_type_ids, np.int64)
    graph = lower(model)
    output = interpret(graph, ids, mask, types)[graph.output]
    return output.reshape(*ids.shape, -1) if graph.token_level else output


def output_scale(model: QuantizedModel) -> float:
    """The scale of :func:`run`'s integers."""
    return lower(model).output_scale


def interpret(
    graph: IntegerGraph, ids: NDArray[np.int64], mask: NDArray[np.int64], types: NDArray[np.int64]
) -> dict[str, NDArray[np.int64]]:
    """Every value of the graph by name, for inputs of shape [batch, length]."""
    values: dict[str, Any] = {INPUT_IDS: ids, ATTENTION_MASK: mask, TOKEN_TYPE_IDS: types}
    for step in graph.steps:
        results = step.operator.oracle(*(values[name] for name in step.inputs))
        values.update(zip(step.outputs, results if isinstance(results, tuple) else (results,), strict=True))
    return values
