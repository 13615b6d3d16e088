"""A quantized model in floating point: its dequantized weights, its activations rounded to their integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...compiler.model import Quantization, QuantizedModel
from ..difference.weights import dequantized
from ..float_model import FloatModel
from ..tokenization import Batch, Text
from .units import Bits, Unit

if TYPE_CHECKING:
    from ..forward import Hook

MAX_LENGTH = 128


class Simulation:
    """Any mixture of the parts of ``uniform``: one quantized model for every number of bits."""

    def __init__(self, model: FloatModel, units: Sequence[Unit], uniform: Mapping[int, QuantizedModel]) -> None:
        self._model = model
        self._units = units
        self._weights = {
            bits: {
                f"{tensor}.weight": dequantized(quantized, f"{tensor}.weight").astype(np.float32)
                for unit in units
                for tensor, _, _ in unit.tensors
            }
            for bits, quantized in uniform.items()
        }
        eight = uniform[8]
        self._activations = eight.activations
        changed = {name for weights in self._weights.values() for name in weights}
        self._others = {
            name: dequantized(eight, name).astype(np.float32)
            for name in model.weights
            if name in eight.weights and name not in changed
        }

    def with_bits(self, bits: Bits) -> Simulated:
        """The model whose units have ``bits``."""
        return Simulated(self._mixed(bits, self._others), fake_quantization(self._activations))

    def alone(self, unit: Unit, bits: int) -> Simulated:
        """The float model with nothing but ``unit`` quantized."""
        names = [f"{tensor}.weight" for tensor, _, _ in unit.tensors]
        weights = {**self._model.weights, **{name: self._weights[bits][name] for name in names}}
        return Simulated(replace(self._model, weights=weights), None)

    def _mixed(self, bits: Bits, others: Mapping[str, NDArray[np.float32]]) -> FloatModel:
        weights = {**self._model.weights, **others}
        for unit in self._units:
            for tensor, _, _ in unit.tensors:
                weights[f"{tensor}.weight"] = self._weights[bits[unit.name]][f"{tensor}.weight"]
        return replace(self._model, weights=weights)


class Simulated:
    """A float model called like a compiled one."""

    def __init__(self, model: FloatModel, hook: Hook | None) -> None:
        self._model = model
        self._hook = hook

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        """The head's output for one batch."""
        return self._model.forward(batch, self._hook)

    def __call__(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        """The output for each of ``texts``, in their order."""
        outputs: list[Any] = [None] * len(texts)
        for batch in self._model.batches(texts, MAX_LENGTH):
            for row, output in zip(batch.rows, self.forward(batch), strict=True):
                outputs[row] = output
        return np.stack(outputs)


def fake_quantization(activations: Mapping[str, Quantization]) -> Hook:
    """A hook that rounds every activation of ``activations`` to its integers."""

    def hook(name: str, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        found = activations.get(name)
        if found is None:
            return values
        integers = torch.clamp(torch.round(values / found.scale) + found.zero_point, found.low, found.limit)
        return (integers - found.zero_point) * found.scale

    return hook
