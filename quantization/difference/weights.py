"""The difference of two models' weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compiler.model import QuantizedModel, WeightTensor
from ..agreement import agreement
from ..float_model import FloatModel
from .result import WeightDifference


def weight_differences(reference: FloatModel | QuantizedModel, model: QuantizedModel) -> tuple[WeightDifference, ...]:
    """Every weight tensor of ``model`` that the reference has too, in the same shape."""
    found = []
    for name, weight in model.weights.items():
        original = _original(reference, name)
        if name.endswith(".split") or original is None:
            continue
        values = dequantized(model, name)
        if values.shape == original.shape:
            found.append(WeightDifference(name, stored_bits(weight), agreement(original, values)))
    return tuple(found)


def _original(reference: FloatModel | QuantizedModel, name: str) -> NDArray[Any] | None:
    if isinstance(reference, FloatModel):
        return reference.weights.get(name)
    return dequantized(reference, name) if name in reference.weights else None


def dequantized(model: QuantizedModel, name: str) -> NDArray[np.float64]:
    """The tensor as floats, columns that were split off added to those that they came from."""
    weight = model.weights[name]
    scale = weight.scale.reshape(-1, *[1] * (weight.values.ndim - 1)) if weight.scale.ndim else weight.scale
    values = weight.values.astype(np.float64) * scale
    split = model.weights.get(f"{name.removesuffix('.weight')}.split")
    if split is None or not name.endswith(".weight"):
        return values
    columns = values.shape[1] - len(split.values)
    whole = values[:, :columns].copy()
    for position, column in enumerate(split.values, start=columns):
        whole[:, column] += values[:, position]
    return whole


def stored_bits(weight: WeightTensor) -> int:
    """Bits of each of the tensor's values on disk."""
    return 8 * weight.values.dtype.itemsize if weight.packing is None else weight.packing.bits
