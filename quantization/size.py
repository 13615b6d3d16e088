"""How much smaller a quantized model is than the float32 one."""

from __future__ import annotations

import math

from ..compiler.model import Architecture, QuantizedModel
from .structure import tensor_shapes


def stored_bits(model: QuantizedModel) -> int:
    """The bits of all tensors of ``model`` on disk: integers at their packed size, biases and scales included."""
    total = 0
    for weight in model.weights.values():
        packing = weight.packing
        integers = weight.values.nbytes if packing is None else packing.bytes(weight.values.size)
        total += integers + weight.scale.nbytes
    return 8 * total


def float_bits(architecture: Architecture) -> int:
    """The bits of all tensors of a float32 model."""
    return 32 * sum(math.prod(shape) for shape in tensor_shapes(architecture).values())


def bits_reduction(original: Architecture, model: QuantizedModel) -> float:
    """How many times fewer bits ``model`` has than the float32 model of the architecture ``original``."""
    return float_bits(original) / stored_bits(model)
