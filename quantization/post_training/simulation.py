"""A quantized model in floating point: rounded activations and the weights that the integers stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ...compiler.model import Quantization, QuantizedModel
from ..float_model import FloatModel


class RoundedActivations:
    """The hook that rounds every activation to the integers it will have; gradients pass where it does not clip."""

    def __init__(self, activations: Mapping[str, Quantization]) -> None:
        self._activations = activations

    def __call__(self, name: str, values: Tensor, mask: Tensor | None) -> Tensor:
        quantization = self._activations.get(name)
        return values if quantization is None else rounded(values, quantization)


def rounded(values: Tensor, quantization: Quantization) -> Tensor:
    """``values``, rounded and clipped; its gradient is that of the clipping (a straight-through estimator)."""
    low = (quantization.low - quantization.zero_point) * quantization.scale
    high = (quantization.limit - quantization.zero_point) * quantization.scale
    clipped = values.clamp(low, high)
    return clipped + (torch.round(clipped / quantization.scale) * quantization.scale - clipped).detach()


def dequantized(model: FloatModel, quantized: QuantizedModel) -> FloatModel:
    """``model`` with the weights that the integers of ``quantized`` stand for; split channels are added up."""
    weights = dict(model.weights)
    for name, tensor in quantized.weights.items():
        if name not in weights:
            continue
        scale = tensor.scale if tensor.scale.ndim == 0 or tensor.values.ndim == 1 else tensor.scale[:, None]
        values = tensor.values * scale
        split = quantized.weights.get(f"{name.removesuffix('.weight')}.split")
        if split is not None and name.endswith(".weight"):
            columns = values.shape[1] - len(split.values)
            whole = values[:, :columns].copy()
            for added, origin in enumerate(split.values, columns):
                whole[:, origin] += values[:, added]
            values = whole
        weights[name] = values.astype("float32")
    return replace(model, weights=weights)
