"""Float arrays -> symmetric integers with scales."""

from __future__ import annotations

import math

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


def representable_scale(
    name: str, scale: NDArray[np.float64], bias: NDArray[np.float32], input_scale: float
) -> NDArray[np.float64]:
    """``scale`` of a weight, [N] or without axis, raised to what its bias [N] and its requantization need.

    Raises QuantizedModelError when a bias does not fit the one scale of a whole matrix.
    """
    largest = float(scale.max()) if scale.max() > 0 else 1.0
    if scale.ndim == 0:
        if np.abs(bias).max() / (input_scale * largest) > BIAS_LIMIT:
            raise QuantizedModelError(
                f"{name}: the bias {np.abs(bias).max():.3g} does not fit in int32 at its scale "
                f"{input_scale * largest:.3g}; the weights are too small beside it, check the checkpoint"
            )
        return np.asarray(largest)
    raised = np.maximum(scale, np.abs(bias.astype(np.float64)) / (input_scale * BIAS_LIMIT))
    return np.maximum(raised, max(float(raised.max()), largest) * ROW_SCALE_SPREAD)


def without_zeros(scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """``scale`` with that of rows of zeros, whose integers are whatever they are, made positive."""
    return np.where(scale > 0, scale, float(scale.max()) or 1.0)


def bias(values: NDArray[np.float32], scale: NDArray[np.float64]) -> WeightTensor:
    """The int32 bias [N] at the scale of the accumulators, [N] or without axis."""
    return WeightTensor(np.rint(values.astype(np.float64) / scale).astype(np.int32), scale)


def one_sided_activation(highest: float, lowest: float, bits: int) -> Quantization:
    """The quantization of ``lowest <= 0 <= highest``, its zero point where ``lowest`` needs it."""
    levels = 2 * limit(bits)
    highest = highest if highest >= DEAD_RANGE else 1.0
    scale = (highest - lowest) / levels
    return Quantization(scale=scale, bits=bits, zero_point=-limit(bits) + math.ceil(-lowest / scale))
