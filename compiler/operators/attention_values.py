"""Attention values: probabilities times values, requantized to the narrow context.

Probabilities are unsigned 8-bit of scale 1/255, values signed: the product is what vpdpbusd, tdpbusd and usdot
compute. Where an ISA cannot mix signs, kernels use ``p - 128`` and add ``128 * sum_j value[j]``: the same integer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te

from . import expressions as ex
from .attention_scores import OFFSET, OperandSigns
from .fixed_point import NARROW_LIMIT, Int64Array
from .interval import Interval
from .masked_softmax import PROBABILITY_ONE
from .requantize import Requantize, requantize_expression
from .value_range import NARROW, Range

VALUES_SCALARS = 3
"""Rounding, shift, multiplier."""


@dataclass(frozen=True)
class AttentionValues:
    """``context[.., i, d] = requantize(sum_j probabilities[.., i, j] * value[.., j, d])``."""

    name: str
    requantize: Requantize

    def oracle(self, probabilities: Int64Array, value: Int64Array) -> Int64Array:
        """probabilities: [..., T, T] in 0..255; value: [..., T, head_dim] narrow; [..., T, head_dim] narrow."""
        product = probabilities.astype(np.float64) @ value.astype(np.float64)
        return self.requantize.oracle(product.astype(np.int64))

    def scalars(self) -> list[int]:
        """Rounding, shift, multiplier, and the output range's."""
        return [
            int(self.requantize.rounding_bias()[0]),
            int(self.requantize.shift[0]),
            int(self.requantize.multiplier[0]),
            *self.requantize.output.scalars(),
        ]

    def bounds(self, length: int) -> Interval:
        """The context's range; BoundsError when the sum over ``length`` keys could overflow."""
        total = Interval(0, PROBABILITY_ONE) * Interval.symmetric(NARROW_LIMIT) * (2 * length)
        return self.requantize.bounds(total.require("int32", self.name, "the accumulator"))


def values_stages(
    probabilities: Any,
    value: Any,
    value_rows: Any,
    scalars: Any,
    first_scalar: int,
    output_zero_point: int,
    signs: OperandSigns,
    output: Range = NARROW,
) -> Any:
    """TE: the narrow context [batch * length, heads * head_dim], as memory holds it, within ``output``.

    Where dot products take signed probabilities, they read ``p - 128``, and ``128 * sum_j value[j, d]`` is added.
    ``value_rows`` are the same values for that sum: a schedule lays ``value`` out for dot products over j.
    """
    batch, heads, length, head_dim = (int(extent) for extent in value.shape)
    value_sum = None
    if signs is OperandSigns.SIGNED:
        k = te.reduce_axis((0, length), "k")
        value_sum = te.compute(
            (batch, heads, head_dim),
            lambda b, h, d: te.sum(value_rows[b, h, k, d].astype("int32"), axis=k),
            name="value_sum",
        )
        unsigned = probabilities
        probabilities = te.compute(
            unsigned.shape,
            lambda b, h, i, j: (unsigned[b, h, i, j].astype("int16") - ex.constant(OFFSET, "int16")).astype("int8"),
            name="offset_probabilities",
        )
    j = te.reduce_axis((0, length), "j")
    accumulator = te.compute(
        (batch, heads, length, head_dim),
        lambda b, h, i, d: te.sum(
            probabilities[b, h, i, j].astype("int32") * value[b, h, j, d].astype("int32"), axis=j
        ),
        name="context_accumulator",
    )
    rounding, shift, multiplier, *zero_point = (
        scalars[first_scalar + index] for index in range(VALUES_SCALARS + len(output.scalars()))
    )

    def element(row: Any, channel: Any) -> ex.Expr:
        b, h, i, d = row // length, channel // head_dim, row % length, channel % head_dim
        total = accumulator[b, h, i, d]
        if value_sum is not None:
            total = total + value_sum[b, h, d] * OFFSET
        narrow = requantize_expression(total + rounding, shift, multiplier.astype("int16"), output, *zero_point)
        return ex.store_narrow(narrow, output_zero_point)

    return te.compute((batch * length, heads * head_dim), element, name="context")
