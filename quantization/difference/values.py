"""The named values that flow through a float or a quantized model, as floats of one layout, to be compared.

Names are those of the activations of QuantizedModel and of the values of IntegerGraph; arrays are float64
[batch * length, C], or [batch, C] behind a head that pools.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compiler.graph import IntegerGraph
from ...compiler.lowering import lower
from ...compiler.model import HeadKind, QuantizedModel
from ...compiler.oracle import interpret
from ..float_model import FloatModel
from ..structure import layer_input
from ..tokenization import Batch

Values = dict[str, NDArray[np.float64]]

JOINT = ".query_key_value"
"""The graph computes queries, keys and values side by side, as one value."""
PARTS = ("query", "key", "value")
INNER = (".scores", ".probabilities")
"""What the attention keeps to itself."""


@dataclass(frozen=True)
class Grid:
    """The integers of one value: ``real = (integer - zero_point) * scale``, from ``low`` to ``high``."""

    scale: NDArray[np.float64]
    """Without axis, or one per channel."""
    zero_point: int = 0
    low: int = -(2**31)
    high: int = 2**31 - 1

    def integers(self, real: NDArray[np.float64]) -> NDArray[np.int64]:
        """The nearest integers."""
        return np.clip(np.rint(real / self.scale) + self.zero_point, self.low, self.high).astype(np.int64)

    def real(self, integers: NDArray[Any]) -> NDArray[np.float64]:
        """What the integers stand for."""
        return (integers - self.zero_point) * self.scale


class FloatValues:
    """The values of a float model."""

    def __init__(self, model: FloatModel) -> None:
        self._model = model

    def __call__(self, batch: Batch) -> Values:
        """Every value for one batch."""
        found: Values = {}

        def record(name: str, values: Any, mask: Any) -> Any:
            if not name.endswith(INNER):
                found[name] = _rows(values.numpy())
            return values

        output = self._model.forward(batch, record)
        return _completed(self._model, found, batch, output)


class QuantizedValues:
    """The values of a quantized model, from its integer operators."""

    def __init__(self, model: QuantizedModel) -> None:
        self.model = model
        self.graph: IntegerGraph = lower(model)

    def integers(self, batch: Batch) -> dict[str, NDArray[Any]]:
        """Every value of the graph for one batch, its inputs too; floats where the operators are."""
        return interpret(self.graph, batch.input_ids, batch.attention_mask, batch.token_type_ids)

    def real(self, integers: dict[str, NDArray[Any]]) -> Values:
        """What those integers stand for; queries, keys and values apart too."""
        found: Values = {}
        for name in (output for step in self.graph.steps for output in step.outputs):
            values = integers[name]
            grid = None if values.dtype.kind == "f" else self.grid(name)
            if values.dtype.kind != "f" and grid is None:
                continue
            found[name] = values.astype(np.float64) if grid is None else grid.real(values)
            if name.endswith(JOINT):
                found |= split_joint(name, found[name])
        return found

    def __call__(self, batch: Batch) -> Values:
        """Every value for one batch."""
        return self.real(self.integers(batch))

    def grid(self, name: str) -> Grid | None:
        """The integers of the value ``name``; None where they are chosen at run time."""
        activations = self.model.activations
        if name.endswith(JOINT):
            parts = [activations.get(name.removesuffix(JOINT) + f".{part}") for part in PARTS]
            known = [part for part in parts if part is not None]
            if len(known) < len(PARTS):
                return None
            architecture = self.model.architecture
            scales = np.repeat([part.scale for part in known], architecture.heads * architecture.head_dim)
            return Grid(scales, 0, known[0].low, known[0].limit)
        if name == "head.first_token":
            name = layer_input(self.model.architecture.layers)
        known_as = activations.get(name)
        raised = self.graph.scales.get(name)
        if known_as is None:
            return None if raised is None else Grid(np.asarray(raised))
        scale = known_as.scale if raised is None else raised
        return Grid(np.asarray(scale), known_as.zero_point, known_as.low, known_as.limit)


def split_joint(name: str, values: NDArray[np.float64]) -> Values:
    """The queries, keys and values of ``values`` [rows, 3 W], by their names."""
    prefix = name.removesuffix(JOINT)
    return {f"{prefix}.{part}": half for part, half in zip(PARTS, np.split(values, 3, axis=1), strict=True)}


def _rows(values: NDArray[Any]) -> NDArray[np.float64]:
    return values.reshape(-1, values.shape[-1]).astype(np.float64)


def _completed(model: FloatModel, found: Values, batch: Batch, output: NDArray[Any]) -> Values:
    """``found`` and the values that only the graph of a quantized model has."""
    architecture, shape = model.architecture, batch.input_ids.shape
    for layer in range(architecture.layers):
        parts = [found[f"layers.{layer}.{part}"] for part in PARTS]
        found[f"layers.{layer}{JOINT}"] = np.concatenate(parts, axis=1)
    last = f"layers.{architecture.layers - 1}"
    kind = architecture.head.kind
    if kind is HeadKind.SEQUENCE_CLASSIFICATION:
        found["head.first_token"] = found[f"{last}.output_hidden"].reshape(*shape, -1)[:, 0]
    if kind is HeadKind.MEAN_POOLING:
        weight = batch.attention_mask[:, :, None]
        states = found[f"{last}.output_stream"].reshape(*shape, -1)
        found["head.pooled"] = (states * weight).sum(axis=1) / weight.sum(axis=1).clip(min=1)
    elif kind is not HeadKind.NONE:
        found["head.logits"] = _rows(output)
    if kind is HeadKind.MASKED_LM:
        found["head.transform_stream"] = found["head.transform_hidden"]
    return found
