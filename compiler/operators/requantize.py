"""Requantization: moves integers from one scale to another without leaving 16-bit multiplications.

The dyadic requantization of I-BERT (Kim et al. 2021, section 3.1) multiplies by a 31-bit mantissa, which needs 64-bit
products: half the lanes on every ISA, and no such instruction on NEON. The formulation here splits the shift around
a 16-bit multiplication instead. For an output of 8 bits the worst added error is 0.09 of a step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import BoundsError
from . import expressions as ex
from .fixed_point import (
    WIDE_LIMIT,
    Int64Array,
    rounding_multiply_high,
    rounding_shift_right,
    saturate_int16,
)
from .interval import Interval, multiply_high
from .value_range import NARROW, Range

MAX_MULTIPLIER = 2**15 - 1
MAX_SHIFT = 30


@dataclass(frozen=True)
class Requantize:
    """int32 accumulators to narrow or wide values, per channel or with one scale.

    ``q -> clamp(rounding_multiply_high(saturate_int16(rounding_shift_right(q, shift)), multiplier) + zero_point)``

    The shift leaves as many bits as the multiplication can use: a wide result needs all 15 bits of its multiplier, a
    narrow one balances the bits of the shifted value against those of the multiplier.
    """

    operator: str
    multiplier: NDArray[np.int32]
    """[N] or [1], in 0..32767."""
    shift: NDArray[np.int32]
    """[N] or [1], in 0..30."""
    output: Range
    """Where the result is clamped; from its zero point on where a ReLU is folded in."""

    @classmethod
    def from_ratio(cls, operator: str, ratio: NDArray[np.float64], output: Range) -> Requantize:
        """Represents ``ratio = input scale / output scale``, one or one per channel; BoundsError if it is 1 or more."""
        ratio = np.atleast_1d(np.asarray(ratio, np.float64))
        target = math.sqrt(output.reach * 2.0**15) / math.sqrt(2) if output.is_narrow else 2.0**14
        with np.errstate(divide="ignore", over="ignore"):
            shift = np.ceil(np.log2(target / (ratio * 2.0**15)))
        shift = np.clip(np.where(np.isfinite(shift), shift, MAX_SHIFT), 0, MAX_SHIFT)
        with np.errstate(over="ignore"):
            multiplier = np.floor(ratio * 2.0 ** (15 + shift) + 0.5)
        overflowing = multiplier > MAX_MULTIPLIER
        # A mantissa that rounds up to 2^15 is the next shift's 2^14.
        finer = overflowing & (shift > 0)
        shift = np.where(finer, shift - 1, shift)
        multiplier = np.where(finer, np.floor(ratio * 2.0 ** (15 + shift) + 0.5), multiplier)
        if not np.all(multiplier <= MAX_MULTIPLIER):  # nor NaN
            raise BoundsError(
                f"{operator}: the input scale is {float(ratio.max()):.3g} times the output scale, at most 1 can be "
                "represented; quantize again with more calibration data, or coarser scales"
            )
        return cls(operator, multiplier.astype(np.int32), shift.astype(np.int32), output)

    def oracle(self, q: Int64Array) -> Int64Array:
        """q: [..., N] int32 accumulators; result [..., N] within the output's range."""
        lanes = saturate_int16(rounding_shift_right(q, self.shift.astype(np.int64)))
        return self.output.clamp(rounding_multiply_high(lanes, self.multiplier.astype(np.int64)))

    def rounding_bias(self) -> NDArray[np.int64]:
        """What the shift's rounding adds before it: kernels fold it into the bias."""
        return (np.int64(1) << self.shift.astype(np.int64)) >> 1

    def bounds(self, q: Interval) -> Interval:
        """Proves the shift's rounding cannot overflow; the result's range."""
        (q + int(self.rounding_bias().max())).require("int32", self.operator, "the accumulator")
        multiply_high(Interval(-(2**15), 2**15 - 1), int(self.multiplier.max()), self.operator, "requantization")
        return self.output.interval


def requantize_expression(
    rounded: ex.Expr, shift: ex.Expr, multiplier: ex.Expr, output: Range, *scalars: ex.Expr
) -> ex.Expr:
    """TE: ``rounded`` is the int32 accumulator with bias and rounding already added; the result is int16.

    ``shift`` is int32, ``multiplier`` int16.

    ``scalars`` are the output range's.
    """
    lanes = ex.saturate_int16(rounded >> shift)
    return output.expression(ex.rounding_multiply_high(lanes, multiplier), *scalars)


@dataclass(frozen=True)
class Narrow:
    """Wide values to narrow ones with one scale.

    ``q -> clamp(rounding_multiply_high(rounding_multiply_high(2 q, mantissa), power) + zero_point)``: the mantissa has
    15 bits, and multiplying by a power of two is a rounding shift by a run-time constant.
    """

    operator: str
    mantissa: int
    power: int
    output: Range = NARROW

    @classmethod
    def from_ratio(cls, operator: str, ratio: float, output: Range = NARROW) -> Narrow:
        """Represents ``ratio = input scale / output scale``; BoundsError if it is 1 or more."""
        if 0 <= ratio < 2.0**-15:
            return cls(operator, 0, 1, output)
        shift = -math.floor(math.log2(ratio)) if ratio < 1 else 0
        mantissa = math.floor(ratio * 2.0 ** (14 + shift) + 0.5) if shift else 0
        if mantissa > MAX_MULTIPLIER:
            shift, mantissa = shift - 1, mantissa // 2
        if shift < 1:
            raise BoundsError(
                f"{operator}: the wide scale is {ratio:.3g} times the narrow one, it must be less than 1; "
                "quantize again with more calibration data"
            )
        return cls(operator, mantissa, 2 ** (15 - shift), output)

    def oracle(self, q: Int64Array) -> Int64Array:
        """q: any shape, ``|q| <= 16383``; the same shape, narrow."""
        scaled = rounding_multiply_high(2 * q, self.mantissa)
        return self.output.clamp(rounding_multiply_high(scaled, self.power))

    def scalars(self) -> list[int]:
        """What :func:`narrow_expression` takes, in order."""
        return [self.mantissa, self.power, *self.output.scalars()]

    def bounds(self, q: Interval) -> Interval:
        """The result's range, every factor proven to fit int16."""
        scaled = multiply_high(q * 2, self.mantissa, self.operator, "narrowing")
        narrow = multiply_high(scaled, self.power, self.operator, "narrowing")
        return (narrow + self.output.zero_point).clamp(self.output.interval)


def narrow_expression(q: ex.Expr, mantissa: ex.Expr, power: ex.Expr, output: Range, *scalars: ex.Expr) -> ex.Expr:
    """TE: int16 ``q``; int16 result within ``output``, whose scalars are the last."""
    doubled = q + q
    scaled = ex.rounding_multiply_high(doubled, mantissa.astype("int16"))
    return output.expression(ex.rounding_multiply_high(scaled, power.astype("int16")), *scalars)


@dataclass(frozen=True)
class Rescale:
    """Wide values to wide ones with one scale: ``q -> rounding_multiply_high(2 q, multiplier)``, not saturated."""

    operator: str
    multiplier: int

    @classmethod
    def from_ratio(cls, operator: str, ratio: float) -> Rescale:
        """Represents ``ratio = input scale / output scale``; BoundsError if it is 2 or more."""
        multiplier = math.floor(ratio * 2.0**14 + 0.5) if ratio < 2 else MAX_MULTIPLIER + 1
        if multiplier > MAX_MULTIPLIER:
            raise BoundsError(
                f"{operator}: the input scale is {ratio:.3g} times the output scale, at most 2 can be represented; "
                "quantize again with more calibration data"
            )
        return cls(operator, multiplier)

    def oracle(self, q: Int64Array) -> Int64Array:
        """q: any shape, ``|q| <= 16383``; the same shape, up to twice as large."""
        return rounding_multiply_high(2 * q, self.multiplier)

    def bounds(self, q: Interval) -> Interval:
        """The result's range."""
        return multiply_high(q * 2, self.multiplier, self.operator, "rescaling")


def rescale_expression(q: ex.Expr, multiplier: ex.Expr) -> ex.Expr:
    """TE: int16 ``q``; int16 result."""
    return ex.rounding_multiply_high(q + q, multiplier.astype("int16"))


__all__ = [
    "WIDE_LIMIT",
    "Narrow",
    "Requantize",
    "Rescale",
    "narrow_expression",
    "requantize_expression",
    "rescale_expression",
]
