"""Masked integer softmax: int32 scores to unsigned 8-bit probabilities of scale 1/255.

i-exp of I-BERT (Kim et al. 2021, section 3.5) in 16-bit lanes. With ``d`` the distance to the row's largest unmasked
score, ``exp(-d * scale) = 2^-octaves``; octaves are counted in units of 1/1024:

1. ``t = (min(d, cap) << left) >> right``, an int16; ``w = rounding_multiply_high(t, multiplier)``.
2. ``z = w >> 10`` whole octaves, ``f = w & 1023``; ``exp(-f ln 2 / 1024)`` by the paper's second-order polynomial,
   completed to a square, ``(P0 - f P1)^2 + C``, in Q15; ``e = polynomial >> min(z, 15)``. Masked keys get ``e = 0``.
3. ``sum(e)`` is normalized to a 16-bit mantissa; one division a row gives its reciprocal ``r``, and
   ``p = round_shift(rounding_multiply_high(e, r), bits)`` is ``255 e / sum`` rounded.

A row whose keys are all masked gives zeros.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te

from ...errors import BoundsError
from . import expressions as ex
from .fixed_point import Q15_ONE, Int64Array, bit_length, rounding_multiply_high, rounding_shift_right
from .interval import Interval, multiply_high
from .requantize import MAX_MULTIPLIER

FRACTION_BITS = 10
MAX_OCTAVES = 15
PROBABILITY_ONE = 255
MASKED_SCORE = -(2**30)
MAX_LENGTH = 512
"""Keys of a row: beyond it the sum of exponentials could leave 24 bits, and the shift of step 3 the 16-bit lane."""

# exp(-f ln 2) = A (x + B / 2A)^2 + 1 - B^2 / 4A with x = -f ln 2.
A = 0.35815147
B = 0.96963238
SQUARE_OFFSET = math.floor(math.sqrt(A) * B / (2 * A) * 2**15 + 0.5)
SQUARE_SLOPE = math.floor(math.sqrt(A) * math.log(2) * 2**15 + 0.5)
CONSTANT = math.floor((1 - B * B / (4 * A)) * 2**15 + 0.5)
RECIPROCAL_NUMERATOR = PROBABILITY_ONE << 22
MIN_TOTAL = 2**14
"""Below every sum that has an unmasked key, since the largest one's exponential is about 2^15. It stands for the sum
of a row without any, so that no shift count leaves its range there."""


@dataclass(frozen=True)
class MaskedSoftmax:
    """``probabilities = round(255 * softmax(scores * scale))`` over the unmasked keys."""

    name: str
    cap: int
    left: int
    right: int
    multiplier: int

    @classmethod
    def from_scale(cls, name: str, scale: float) -> MaskedSoftmax:
        """The operator for scores of this scale, the 1 / sqrt(head dimension) included."""
        units = scale / math.log(2) * 2**FRACTION_BITS  # units of 1/1024 octave in a step of the scores
        # Far outside of what can be represented, and such that no float overflows on the way.
        if not 2.0**-30 < units < 2.0**30:
            raise _unrepresentable(name, scale)
        exponent = math.floor(math.log2(units)) + 1  # units = mantissa * 2^exponent, mantissa in [1/2, 1)
        multiplier = math.floor(units * 2.0 ** (15 - exponent) + 0.5)
        if multiplier > MAX_MULTIPLIER:
            multiplier, exponent = multiplier // 2, exponent + 1
        left, right = max(exponent, 0), max(-exponent, 0)
        if left > 14 or right > 15:
            raise _unrepresentable(name, scale)
        return cls(name, (Q15_ONE << right) >> left, left, right, multiplier)

    def oracle(self, scores: Int64Array, mask: Int64Array) -> Int64Array:
        """scores: [..., T, T]; mask: broadcastable to it, 1 for keys that count, else 0; [..., T, T] in 0..255."""
        scores = np.where(mask != 0, scores, MASKED_SCORE)
        distance = np.minimum(scores.max(axis=-1, keepdims=True) - scores, self.cap)
        octaves = rounding_multiply_high((distance << self.left) >> self.right, self.multiplier)
        fraction = octaves & (2**FRACTION_BITS - 1)
        base = SQUARE_OFFSET - rounding_multiply_high(fraction << (15 - FRACTION_BITS), SQUARE_SLOPE)
        polynomial = np.minimum(rounding_multiply_high(base, base) + CONSTANT, Q15_ONE)
        exponential = np.where(mask != 0, polynomial >> np.minimum(octaves >> FRACTION_BITS, MAX_OCTAVES), 0)
        total = np.maximum(exponential.sum(axis=-1, keepdims=True), MIN_TOTAL)
        zeros = 32 - bit_length(total)
        reciprocal = RECIPROCAL_NUMERATOR // ((total << (zeros - 1)) >> 15)
        return rounding_shift_right(rounding_multiply_high(exponential, reciprocal), 23 - zeros)

    def scalars(self) -> list[int]:
        """What :func:`softmax_stages` takes, in order."""
        return [self.cap >> self.right, self.left, self.right, self.multiplier]

    def bounds(self, scores: Interval, length: int) -> Interval:
        """The probabilities' range; BoundsError where an intermediate could overflow."""
        if length > MAX_LENGTH:
            raise BoundsError(f"{self.name}: {length} keys, the integer softmax is proven for at most {MAX_LENGTH}")
        (scores - scores).require("int32", self.name, "the distance to the largest score")
        (scores - MASKED_SCORE).require("int32", self.name, "the distance to a masked score")
        lanes = (Interval(0, self.cap) * (1 << self.left)).require("int32", self.name, "the shifted distance")
        multiply_high(lanes >> self.right, self.multiplier, self.name, "octaves")
        slope = multiply_high(Interval(0, (2**FRACTION_BITS - 1) << 5), SQUARE_SLOPE, self.name, "the exponential")
        base = Interval(SQUARE_OFFSET, SQUARE_OFFSET) - slope
        (multiply_high(base, base, self.name, "the exponential") + CONSTANT).clamp(Interval(0, Q15_ONE))
        Interval(0, Q15_ONE * length).require("int32", self.name, "the sum of exponentials")
        return Interval(0, PROBABILITY_ONE)


def _unrepresentable(name: str, scale: float) -> BoundsError:
    return BoundsError(
        f"{name}: a score's step of {scale:.3g} cannot be represented; quantize again with more calibration data"
    )


def exponential_expression(
    distance: ex.Expr, cap: ex.Expr, left: ex.Expr, right: ex.Expr, multiplier: ex.Expr
) -> ex.Expr:
    """TE: int16 Q15 exponential of an int32 distance >= 0."""
    # One of the shifts is 0, and shifting right keeps the order: the minimum may as well come after it, in 16 bits.
    shifted = ex.saturate_int16(distance >> right)
    lanes = ex.minimum(shifted, cap.astype("int16")) << left.astype("int16")
    octaves = ex.rounding_multiply_high(lanes, multiplier.astype("int16"))
    fraction = (octaves & ex.constant(2**FRACTION_BITS - 1, "int16")) << ex.constant(15 - FRACTION_BITS, "int16")
    base = ex.constant(SQUARE_OFFSET, "int16") - ex.rounding_multiply_high(fraction, ex.constant(SQUARE_SLOPE, "int16"))
    # The polynomial is at most 1.0003 in Q15, where an int16 saturates.
    polynomial = ex.saturating_add_int16(ex.rounding_multiply_high(base, base), ex.constant(CONSTANT, "int16"))
    whole = octaves.astype("uint16") >> ex.constant(FRACTION_BITS, "uint16")
    return (polynomial.astype("uint16") >> ex.minimum(whole, ex.constant(MAX_OCTAVES, "uint16"))).astype("int16")


def mask_stages(mask: Any) -> tuple[Any, Any]:
    """TE: what a key's mask makes of its scores by a minimum, int32, and of its exponentials by an and, int16."""
    limit = te.compute(
        mask.shape,
        lambda b, j: ex.select(mask[b, j] != 0, ex.constant(2**31 - 1, "int32"), ex.constant(MASKED_SCORE, "int32")),
        name="limit",
    )
    keep = te.compute(
        mask.shape,
        lambda b, j: ex.select(mask[b, j] != 0, ex.constant(-1, "int16"), ex.constant(0, "int16")),
        name="keep",
    )
    return limit, keep


def softmax_stages(scores: Any, mask: Any, scalars: Any) -> Any:
    """TE: uint8 probabilities of int32 ``scores`` [batch, heads, length, length], int32 ``mask`` [batch, length]."""
    batch, heads, length, _ = scores.shape
    j = te.reduce_axis((0, length), "j")
    limit, keep = mask_stages(mask)
    largest = te.compute(
        (batch, heads, length),
        lambda b, h, i: te.max(ex.minimum(scores[b, h, i, j], limit[b, j]), axis=j),
        name="largest",
    )

    def exponential_element(b: Any, h: Any, i: Any, column: Any) -> ex.Expr:
        # Of a masked score, which may be larger than the largest, anything comes out, and it is not taken.
        value = exponential_expression(
            largest[b, h, i] - scores[b, h, i, column], *(scalars[index] for index in range(4))
        )
        return value & keep[b, column]

    exponential = te.compute((batch, heads, length, length), exponential_element, name="exponential")
    k = te.reduce_axis((0, length), "k")
    total = te.compute(
        (batch, heads, length),
        lambda b, h, i: te.sum(exponential[b, h, i, k].astype("int32"), axis=k),
        name="total",
    )
    bits = te.compute(
        (batch, heads, length),
        lambda b, h, i: (
            ex.constant(23, "int32") - ex.leading_zeros(ex.maximum(total[b, h, i], ex.constant(MIN_TOTAL, "int32")))
        ),
        name="bits",
    )

    def reciprocal_of(b: Any, h: Any, i: Any) -> ex.Expr:
        denominator = ex.maximum(total[b, h, i], ex.constant(MIN_TOTAL, "int32"))
        mantissa = (denominator << (ex.constant(22, "int32") - bits[b, h, i])) >> 15
        return ex.quotient(ex.constant(RECIPROCAL_NUMERATOR, "int32"), mantissa).astype("int16")

    reciprocal = te.compute((batch, heads, length), reciprocal_of, name="reciprocal")

    def probability(b: Any, h: Any, i: Any, column: Any) -> ex.Expr:
        scaled = ex.rounding_multiply_high(exponential[b, h, i, column], reciprocal[b, h, i]).astype("uint16")
        return ex.rounding_shift_right(scaled, bits[b, h, i].astype("uint16")).astype("uint8")

    return te.compute((batch, heads, length, length), probability, name="probabilities")
