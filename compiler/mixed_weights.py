"""The tensors of a mixed model as its operators take them: float vectors, embedding tables, linears."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import BoundsError, QuantizedModelError
from .linear_weights import common_packing
from .mixed_roundings import product_is_rounded, rounded_source
from .model import QuantizedModel
from .operators.epilogues import Logits
from .operators.linear import Linear
from .operators.real.embedding import Table
from .operators.real.quantize import Quantize, check_scale
from .operators.real.sources import DYNAMIC_STEPS, Accumulators, DynamicAccumulators, Source, reach_of


def float_vector(model: QuantizedModel, name: str) -> NDArray[np.float32]:
    """The tensor ``name``, scale included; BoundsError where it is not finite."""
    tensor = model.weight(name)
    values = np.ascontiguousarray((tensor.values * tensor.scale).astype(np.float32))
    if not np.isfinite(values).all():
        raise BoundsError(f"{name} is NaN or infinite; mend the model and quantize it again")
    return values


def table(model: QuantizedModel, name: str, first_row: int = 0) -> Table:
    """The embedding table ``name`` from ``first_row`` on, with its zero point."""
    tensor = model.weight(name)
    scale = tensor.scale[first_row:] if tensor.scale.ndim else tensor.scale
    zero_point = model.weights.get(f"{name.removesuffix('.weight')}.zero_point")
    zero = 0 if zero_point is None else int(zero_point.values.reshape(()))
    return Table.of(name, np.ascontiguousarray(tensor.values[first_row:]), scale, zero)


def mixed_linear(
    model: QuantizedModel, name: str, parts: Sequence[str], read: Quantize | None
) -> tuple[Linear, Source]:
    """The linears ``parts`` side by side, called ``name``: the integer operator, and its accumulators as floats.

    ``read``: how the activation that they read is quantized; None: dynamically.
    """
    for part in parts:
        if f"{part}.split" in model.weights:
            raise QuantizedModelError(f"{part} has split channels; a mixed model's linears must not, quantize again")
    weights = [model.weight(f"{part}.weight") for part in parts]
    weight = np.concatenate([tensor.values for tensor in weights])
    weight_scale = np.concatenate([np.broadcast_to(t.scale, (t.values.shape[0],)) for t in weights])
    integer_bias, float_bias = _bias(model, parts, read)
    sums = weight.astype(np.int64).sum(axis=1)
    bias = integer_bias - (0 if read is None else read.zero_point) * sums
    packing = common_packing([tensor.packing for tensor in weights])
    operator = Linear(name, weight, np.clip(bias, -(2**31), 2**31 - 1).astype(np.int32), Logits(), packing)
    reach = reach_of(weight, integer_bias, DYNAMIC_STEPS if read is None else read.steps)
    if read is None:
        scales = _float32_scales(name, weight_scale)
        source = DynamicAccumulators(scales, float_bias, sums.astype(np.int32), reach)
    else:
        source = Accumulators(_float32_scales(name, weight_scale * float(read.scale)), float_bias, reach)
    return operator, rounded_source(model, parts, source)


def _bias(
    model: QuantizedModel, parts: Sequence[str], read: Quantize | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The biases as integers for the accumulators, and as floats for what is added after them."""
    integers, floats = [], []
    for part in parts:
        tensor = model.weight(f"{part}.bias")
        is_float = np.issubdtype(tensor.values.dtype, np.floating)
        if not is_float and read is None:
            raise QuantizedModelError(
                f"{part}.bias is integer, but its scale needs that of a dynamic activation; give it as float32"
            )
        zeros = np.zeros(tensor.values.shape)
        added_later = is_float or product_is_rounded(model, part)
        integers.append(zeros if added_later else tensor.values)
        floats.append(float_vector(model, f"{part}.bias") if added_later else zeros)
    return np.concatenate(integers).astype(np.int64), np.concatenate(floats).astype(np.float32)


def _float32_scales(name: str, scales: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.array([check_scale(f"{name}.weight", float(scale)) for scale in scales], np.float32)
