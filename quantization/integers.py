"""Float arrays -> symmetric integers with scales."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..compiler.model import Quantization, WeightTensor
from ..errors import QuantizedModelError

DEAD_RANGE = 1e-8
"""A range below this is taken for that of a tensor that is always zero (the floor in I-BERT's code)."""

ROW_SCALE_SPREAD = 2.0**-16
"""The least scale of a row, relative to the largest of its matrix. What a row with a smaller one computes
lies far below one step of the layer's output, and its requantization ratio would have no 32-bit form."""

BIAS_LIMIT = 2**30
"""The largest integer bias: half of int32, so that the accumulator beside it cannot overflow."""


def limit(bits: int) -> int:
    """The largest magnitude of a signed symmetric integer, ``2^(bits-1) - 1``."""
    return 2 ** (bits - 1) - 1


def activation(magnitude: float, bits: int) -> Quantization:
    """The quantization whose range is ``magnitude``; one that was always zero gets the range 1."""
    magnitude = magnitude if magnitude >= DEAD_RANGE else 1.0
    return Quantization(scale=magnitude / limit(bits), bits=bits)


def _integers(values: NDArray[np.float32], scale: NDArray[np.float64], bits: int) -> WeightTensor:
    quotient = values / (scale if scale.ndim == 0 else scale[:, None])
    integers = np.clip(np.rint(quotient), -limit(bits), limit(bits))
    return WeightTensor(integers.astype(np.int8 if bits <= 8 else np.int16), scale)


def per_tensor(values: NDArray[np.float32], bits: int) -> WeightTensor:
    """``values`` with one scale, from their largest magnitude."""
    return _integers(values, np.asarray(_scale(np.abs(values).max(), bits)), bits)


def _scale(magnitude: float, bits: int) -> float:
    return (float(magnitude) if magnitude >= DEAD_RANGE else 1.0) / limit(bits)


def per_row(
    values: NDArray[np.float32], bias: NDArray[np.float32], input_scale: float, bits: int
) -> tuple[WeightTensor, WeightTensor]:
    """A weight [N, K] with one scale per row, and its int32 bias [N].

    Rows that are (nearly) zero get a scale that keeps their requantization and their bias in 32 bits.
    """
    magnitudes = np.abs(values).max(axis=1).astype(np.float64)
    scale = magnitudes / limit(bits)
    scale = np.maximum(scale, np.abs(bias.astype(np.float64)) / (input_scale * BIAS_LIMIT))
    largest = max(scale.max(), _scale(magnitudes.max(), bits))
    scale = np.maximum(scale, largest * ROW_SCALE_SPREAD)
    return _integers(values, scale, bits), _bias(bias, input_scale * scale)


def single_scale(
    name: str, values: NDArray[np.float32], bias: NDArray[np.float32], input_scale: float, bits: int
) -> tuple[WeightTensor, WeightTensor]:
    """A weight [N, K] with one scale, and its int32 bias [N].

    Raises QuantizedModelError when a bias does not fit.
    """
    weight = per_tensor(values, bits)
    scale = np.asarray(input_scale * weight.scale)
    largest = float(np.abs(bias).max() / scale)
    if largest > BIAS_LIMIT:
        raise QuantizedModelError(
            f"{name}: the bias {np.abs(bias).max():.3g} does not fit in int32 at its scale {scale:.3g}; "
            "the weights are too small beside it, check the checkpoint"
        )
    return weight, _bias(bias, scale)


def _bias(bias: NDArray[np.float32], scale: NDArray[np.float64]) -> WeightTensor:
    return WeightTensor(np.rint(bias.astype(np.float64) / scale).astype(np.int32), scale)
