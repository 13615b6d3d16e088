"""Training through the integer operators: the forward computes what the artifact will compute, bit for bit.

After the fine-tuning of Kim et al., "I-BERT: Integer-only BERT Quantization", ICML 2021, section 4.1. Before each
forward the parameters, as they are, become a :class:`QuantizedModel`, which is lowered and interpreted on the batch.
The float forward then goes on, at every activation, with the integers' real values: gradients are those of the float
operators at these values, and pass straight through the rounding where nothing saturated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...compiler.graph import IntegerGraph
from ...compiler.lowering import lower
from ...compiler.model import Quantization, QuantizedModel, WeightTensor
from ...compiler.oracle import interpret
from ..export import activations_from_ranges, export
from ..float_model import FloatModel
from ..integers import limit
from ..scheme import Granularity, Scheme
from ..structure import encoder_linears, wide_activations
from ..weights import MinMaxWeights
from .fake_quantization import FakeQuantization, MovingRanges, straight_through
from .student import Student

MOMENTUM = 0.95
"""Of the activations' ranges (Kim et al. 2021)."""

WORDS = "embeddings.word.weight"


class ThroughIntegers(FakeQuantization):
    """The integer operators of ``scheme``; ranges of activations are moving averages."""

    def __init__(self, model: FloatModel, scheme: Scheme) -> None:
        super().__init__()
        self._scheme = scheme
        self._model = model
        self.ranges = MovingRanges(wide_activations(model.architecture), MOMENTUM)
        self._linears = {f"{linear.name}.weight" for linear in encoder_linears(model.architecture)}
        self._weights: dict[str, WeightTensor] = {}
        self._values: dict[str, tuple[NDArray[Any], float, int]] = {}
        self._ready = False

    def prepare(self, student: Student, batch: dict[str, Tensor]) -> None:  # type: ignore[override]
        """The first ranges are those of the float model on the first batch."""
        student.train()
        self._ready = False
        with torch.no_grad():
            student.encode(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
        self._ready = True

    def begin(self, student: Student, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> None:
        """Computes every integer of this forward."""
        self._weights, self._values = {}, {}
        if not self._ready or not self._is_finite(student):
            return  # the float forward's NaN stops the training, with the step's number
        used, rows = np.unique(input_ids.cpu().numpy(), return_inverse=True)
        model = self._quantize_used(student, used)
        graph = lower(model)
        mask, types = attention_mask.cpu().numpy(), token_type_ids.cpu().numpy()
        values = interpret(graph, rows.reshape(input_ids.shape), mask, types)
        self._weights = model.weights
        self._values = _named_values(model, graph, values)

    def _is_finite(self, student: Student) -> bool:
        ranges = self.ranges.as_dict().values()
        return all(np.isfinite(list(ranges))) and all(bool(torch.isfinite(p).all()) for p in _vectors(student))

    def _quantize_used(self, student: Student, used: NDArray[np.int64]) -> QuantizedModel:
        """The quantized model with the rows of the word table that a batch reads, which is what costs time."""
        words = student.parameter(WORDS).detach()
        weights = {
            name: student.parameter(name).detach().cpu().numpy() for name in self._model.weights if name != WORDS
        }
        weights[WORDS] = words[torch.from_numpy(used)].cpu().numpy()
        architecture = replace(self._model.architecture, vocabulary=len(used))
        model = replace(self._model, architecture=architecture, weights=weights)
        low, high = torch.aminmax(words)
        quantizer = _TableWith(max(-low.item(), high.item()))
        return export(model, self._scheme, self.activations(), table_quantizer=quantizer)

    def activations(self) -> dict[str, Quantization]:
        """From the moving averages, with headroom for the wide ones."""
        return activations_from_ranges(self._model, self._scheme, self.ranges.as_dict())

    def weight(self, name: str, tensor: Tensor) -> Tensor:
        """The integer weights' real values."""
        if name not in self._linears or name not in self._weights:
            return tensor
        quantized = self._weights[name]
        scale = torch.from_numpy(np.asarray(quantized.scale, np.float32))
        values = torch.from_numpy(quantized.values).to(torch.float32)
        return straight_through(tensor, values * (scale[:, None] if scale.ndim else scale))

    def activation(self, name: str, values: Tensor, mask: Tensor | None) -> Tensor:
        """The integers' real values; the moving averages see those that the float operators compute from them."""
        if self.training and name in self.ranges:
            self.ranges.update(name, values, mask)
        if name not in self._values:
            return values
        integers, scale, largest = self._values[name]
        if largest == 0:  # the output: rounded to float32 as whoever runs the artifact does
            return straight_through(values, torch.from_numpy((integers * scale).astype(np.float32)).view(values.shape))
        real = torch.from_numpy(integers).to(torch.float32).view(values.shape) * scale
        bound = (largest + 0.5) * scale
        return straight_through(values, real, (values <= bound) & (values >= -bound))


def _vectors(student: Student) -> list[Tensor]:
    return [parameter for parameter in student.float_parameters.values() if parameter.ndim == 1]


def _named_values(
    model: QuantizedModel, graph: IntegerGraph, values: dict[str, NDArray[np.int64]]
) -> dict[str, tuple[NDArray[Any], float, int]]:
    """Activation -> its integers, their scale, and the largest of them (0: never saturated)."""
    found: dict[str, tuple[NDArray[Any], float, int]] = {}
    for name, quantization in model.activations.items():
        if name in values:
            scale = graph.scales.get(name, quantization.scale)
            found[name] = (values[name], scale, limit(quantization.bits))
    for layer in range(model.architecture.layers):
        parts = [f"layers.{layer}.{part}" for part in ("query", "key", "value")]
        integers = np.split(values[f"layers.{layer}.query_key_value"], 3, axis=1)
        for name, part in zip(parts, integers, strict=True):
            found[name] = (part, model.activation(name).scale, limit(8))
    if graph.output not in found:
        found[graph.output] = (values[graph.output], graph.output_scale, 0)
    return found


class _TableWith(MinMaxWeights):
    """The scale of a table that is not there in full."""

    def __init__(self, largest: float) -> None:
        self._largest = largest

    def scale(self, name: str, weight: NDArray[np.float32], bits: int, granularity: Granularity) -> NDArray[np.float64]:
        return np.asarray(self._largest) / limit(bits)
