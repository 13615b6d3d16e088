"""Integer GELU: I-BERT's second-order i-GELU (Kim et al. 2021, section 3.4) in 16-bit lanes.

``gelu(x) = x * (1 + L(x / sqrt 2)) / 2`` with ``L(x) = sign(x) * (a * (min(|x|, -b) + b)^2 + 1)``, a = -0.2888,
b = -1.769. For non-negative x the gate ``(1 + L) / 2`` is ``1 - E / 2``, for negative x it is ``E / 2``, where
``E = -a * (min(|x| / sqrt 2, -b) + b)^2`` lies in [0, 0.904]. The paper's fixed 2^14 loses all precision for coarse
scales and overflows for fine ones; here the distance to the clipping point is normalized to 15 bits first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...errors import BoundsError
from . import expressions as ex
from .fixed_point import WIDE_LIMIT, Int64Array, rounding_multiply_high
from .interval import Interval, multiply_high

A = -0.2888
B = -1.769
CLIP = -B * math.sqrt(2)
"""|x| beyond which the polynomial's gate is exactly 0 or 1."""
GATE_ONE = 2**14
MIN_SCALE = CLIP / WIDE_LIMIT
"""The finest input scale: the clipping point must be a wide value."""
MAX_COEFFICIENT = 2**15 - 1


@dataclass(frozen=True)
class Gelu:
    """Wide input to wide output of the same scale."""

    operator: str
    clip: int
    """The clipping point 2.5017 in units of the input scale, in 1..16383."""
    normalization: int
    """A power of two that brings ``clip`` to 2^14..2^15-1."""
    coefficient: int
    """Q15 of a quarter of ``-a / 2 * (scale / normalization)^2 * 2^30``."""

    @classmethod
    def from_scale(cls, operator: str, scale: float) -> Gelu:
        """The operator for an input (and output) scale of at least :data:`MIN_SCALE`."""
        clip = max(1, min(WIDE_LIMIT, math.floor(CLIP / scale + 0.5)))
        normalization = 2 ** (15 - clip.bit_length())
        # E = -a/2 * (scale/normalization)^2 * d^2 with d^2 = u * 2^15; a quarter of it in Q15 keeps 16 bits.
        step = scale / normalization
        quarter = -A / 2 * step * step / 4 * 2.0**45
        if not quarter <= MAX_COEFFICIENT:
            raise BoundsError(
                f"{operator}: the scale {scale:.3g} is too coarse for GELU, whose bend lies within 2.5 of zero; "
                "quantize again with more calibration data"
            )
        return cls(operator, clip, normalization, math.floor(quarter + 0.5))

    def oracle(self, q: Int64Array) -> Int64Array:
        """q: any shape, ``|q| <= 16383``; the same shape and scale, ``|result| <= |q|``."""
        distance = (self.clip - np.minimum(np.abs(q), self.clip)) * self.normalization
        square = rounding_multiply_high(distance, distance)
        half_error = rounding_multiply_high(square, self.coefficient)
        gate = np.where(q >= 0, GATE_ONE - half_error, half_error)
        return rounding_multiply_high(2 * q, gate)

    def scalars(self) -> list[int]:
        """What :func:`gelu_expression` takes, in order."""
        return [self.clip, self.normalization, self.coefficient]

    def bounds(self, q: Interval) -> Interval:
        """Proves every factor fits int16; the result's range."""
        distance = Interval(0, self.clip) * self.normalization
        square = multiply_high(distance, distance, self.operator, "squared distance to GELU's clipping point")
        half_error = multiply_high(square, self.coefficient, self.operator, "GELU's polynomial")
        gate = (Interval(GATE_ONE, GATE_ONE) - half_error).union(half_error)
        return multiply_high(q * 2, gate, self.operator, "GELU")


def gelu_expression(q: ex.Expr, clip: ex.Expr, normalization: ex.Expr, coefficient: ex.Expr) -> ex.Expr:
    """TE: int16 ``q``; int16 result."""
    zero = ex.constant(0, "int16")
    limit = clip.astype("int16")
    magnitude = ex.maximum(q, zero - q)
    distance = (limit - ex.minimum(magnitude, limit)) * normalization.astype("int16")
    square = ex.rounding_multiply_high(distance, distance)
    half_error = ex.rounding_multiply_high(square, coefficient.astype("int16"))
    gate = ex.select(q >= zero, ex.constant(GATE_ONE, "int16") - half_error, half_error)
    return ex.rounding_multiply_high(q + q, gate)
