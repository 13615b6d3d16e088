"""Integer layer normalization: wide input; wide output for the residual stream and narrow output for the next linear.

After i-LayerNorm of I-BERT (Kim et al. 2021, section 3.6), in 32-bit lanes and with one division a row. For a row
``q`` of ``n`` values:

1. ``mean = floor((2 sum(q) + n) / 2n)``, ``y = q - mean``: fits int16, since q is wide.
2. ``v = sum((y^2 + 2^(r-1)) >> r)``, with the smallest even ``r >= 4`` for which v provably fits int32.
3. ``v`` is shifted left by an even count, ``2 h``, into [2^29, 2^31); ``root = floor(sqrt(v 2^(2h)))``.
4. ``f = floor((2^29 + root / 2) / root)``; ``z = round_shift(y f, 14 + r / 2 - h)`` is ``y / sqrt(sum(y^2))`` in Q15.
5. ``wide = saturate((z gamma + beta) >> s)`` with the rounding folded into beta, ``narrow = Narrow(wide)``.

There is no epsilon: a constant row has y = 0, so its output is beta, as in the limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te

from ...errors import BoundsError
from . import expressions as ex
from .fixed_point import WIDE_LIMIT, Int64Array, bit_length, rounding_shift_right, saturate
from .interval import Interval
from .requantize import MAX_MULTIPLIER, Narrow, narrow_expression
from .value_range import NARROW, Range

RECIPROCAL_ONE = 2**29
MAX_NORMALIZED = 46341
"""The largest |z|. It is 2^15 where the sum of squares is exact. Rounding lets it reach 2^15.5, in rows so flat that
every square rounds to 0."""
MAX_SCALED_BETA = 2**29 - 1
"""So that ``z gamma + beta`` fits int32 whatever the row."""


def variance_shift(n: int) -> int:
    """The smallest even shift of at least 4 under which n squares of differences of wide values sum to an int32."""
    largest = (2 * WIDE_LIMIT) ** 2
    shift = 4
    while n * ((largest + (1 << shift >> 1)) >> shift) >= 2**31:
        shift += 2
    return shift


@dataclass(frozen=True)
class LayerNorm:
    """``x[rows, n]`` wide to (wide, narrow) of the same shape."""

    name: str
    gamma: NDArray[np.int32]
    """[n], |gamma| < 2^15: gamma * sqrt(n) * 2^(shift - 15) / output scale."""
    beta: NDArray[np.int32]
    """[n]: beta * 2^shift / output scale, plus the rounding 2^(shift - 1)."""
    shift: int
    narrow: Narrow

    @classmethod
    def from_float(
        cls,
        name: str,
        gamma: NDArray[np.float64],
        beta: NDArray[np.float64],
        wide_scale: float,
        narrow_scale: float,
        narrow: Range = NARROW,
    ) -> LayerNorm:
        """The operator whose wide output has ``wide_scale`` and whose narrow output has ``narrow_scale`` and range."""
        n = len(gamma)
        with np.errstate(over="ignore"):
            slope = gamma * math.sqrt(n) / 2**15 / wide_scale
            intercept = beta / wide_scale
        steepest, farthest = float(np.abs(slope).max()), float(np.abs(intercept).max())
        if not (steepest <= MAX_MULTIPLIER and farthest < MAX_SCALED_BETA):
            raise BoundsError(
                f"{name}: gamma or beta does not fit its integers at the output scale {wide_scale:.3g}; "
                "quantize again with more calibration data"
            )
        shift = min(
            math.floor(math.log2(MAX_MULTIPLIER / max(steepest, 2.0**-30))),
            math.floor(math.log2(MAX_SCALED_BETA / (farthest + 1))),
            29,
        )
        return cls(
            name,
            np.floor(slope * 2.0**shift + 0.5).astype(np.int32),
            (np.floor(intercept * 2.0**shift + 0.5) + (2**shift >> 1)).astype(np.int32),
            shift,
            Narrow.from_ratio(name, wide_scale / narrow_scale, narrow),
        )

    @property
    def channels(self) -> int:
        """n, the values of a row."""
        return len(self.gamma)

    def oracle(self, q: Int64Array) -> tuple[Int64Array, Int64Array]:
        """q: [rows, n] wide; (wide, narrow), each [rows, n]."""
        n = self.channels
        shift = variance_shift(n)
        mean = (2 * q.sum(axis=1, keepdims=True) + n) // (2 * n)
        y = q - mean
        v = rounding_shift_right(y * y, shift).sum(axis=1, keepdims=True)
        half_exponent = np.minimum((31 - bit_length(v)) // 2, 15)
        # Below 2^52, the floor of float64's correctly rounded square root is that of the real one.
        root = np.maximum(np.sqrt((v << (2 * half_exponent)).astype(np.float64)).astype(np.int64), 1)
        reciprocal = np.minimum((RECIPROCAL_ONE + root // 2) // root, MAX_MULTIPLIER)
        z = rounding_shift_right(y * reciprocal, 14 + shift // 2 - half_exponent)
        wide = saturate((z * self.gamma + self.beta) >> self.shift, WIDE_LIMIT)
        return wide, self.narrow.oracle(wide)

    def bounds(self) -> tuple[Interval, Interval]:
        """The ranges of both outputs; BoundsError that names this layer where an intermediate could overflow."""
        n = self.channels
        (Interval.symmetric(WIDE_LIMIT) * n * 2 + n).require("int32", self.name, "the doubled sum of a row")
        difference = Interval.symmetric(2 * WIDE_LIMIT).require("int16", self.name, "the distance to the mean")
        shift = variance_shift(n)
        square = ((difference.magnitude**2) + (1 << shift >> 1)) >> shift
        Interval(0, square * n).require("int32", self.name, "the sum of squares")
        (difference * MAX_MULTIPLIER + 2**19).require("int32", self.name, "the normalized value")
        if max(int(np.abs(self.gamma).max(initial=0)), 0) > MAX_MULTIPLIER:
            raise BoundsError(f"{self.name}: gamma exceeds 15 bits; quantize with a coarser output scale")
        scaled = Interval.symmetric(MAX_NORMALIZED) * Interval.symmetric(int(np.abs(self.gamma).max(initial=0)))
        (scaled + Interval(int(self.beta.min(initial=0)), int(self.beta.max(initial=0)))).require(
            "int32", self.name, "the scaled value"
        )
        wide = Interval.symmetric(WIDE_LIMIT)
        return wide, self.narrow.bounds(wide)

    def parameters(self) -> list[NDArray[Any]]:
        """The kernel's constants in the order of its arguments."""
        return [self.gamma, self.beta, np.array([self.shift, *self.narrow.scalars()], np.int32)]


def layer_norm_kernel(rows: int, n: int, output_zero_point: int, output: Range = NARROW) -> Any:
    """The unscheduled PrimFunc: arguments x, gamma, beta, scalars (shift, mantissa, power, those of the narrow
    ``output``), wide, narrow.

    Blocks: ``total``, ``squares`` (row reductions), ``half_exponent``, ``reciprocal`` (one value a row), ``wide``,
    ``narrow``.
    """
    x = te.placeholder((rows, n), "int16", name="x")
    gamma = te.placeholder((n,), "int32", name="gamma")
    beta = te.placeholder((n,), "int32", name="beta")
    scalar_count = 3 + len(output.scalars())
    scalars = te.placeholder((scalar_count,), "int32", name="scalars")
    shift = variance_shift(n)
    one = ex.constant(1, "int32")

    j = te.reduce_axis((0, n), "j")
    total = te.compute((rows,), lambda i: te.sum(x[i, j].astype("int32"), axis=j), name="total")
    mean = te.compute((rows,), lambda i: te.floordiv(total[i] * 2 + n, 2 * n).astype("int16"), name="mean")

    def squared_difference(i: Any, column: Any) -> ex.Expr:
        y = (x[i, column] - mean[i]).astype("int32")
        return (y * y + ex.constant(1 << shift >> 1, "int32")) >> shift

    k = te.reduce_axis((0, n), "k")
    squares = te.compute((rows,), lambda i: te.sum(squared_difference(i, k), axis=k), name="squares")
    half_exponent = te.compute(
        (rows,),
        lambda i: (ex.leading_zeros(ex.maximum(squares[i], one)) - 1) >> 1,
        name="half_exponent",
    )

    def reciprocal_of(i: Any) -> ex.Expr:
        normalized = squares[i] << (half_exponent[i] * 2)
        return ex.let(
            ex.square_root(normalized),
            lambda root: ex.minimum(
                ex.quotient(ex.constant(RECIPROCAL_ONE, "int32") + (root >> 1), ex.maximum(root, one)),
                ex.constant(MAX_MULTIPLIER, "int32"),
            ),
        )

    reciprocal = te.compute((rows,), reciprocal_of, name="reciprocal")
    bits = te.compute((rows,), lambda i: ex.constant(14 + shift // 2, "int32") - half_exponent[i], name="bits")

    def wide_element(i: Any, c: Any) -> ex.Expr:
        y = (x[i, c] - mean[i]).astype("int32")
        z = ex.rounding_shift_right(y * reciprocal[i], bits[i])
        return ex.clamp(ex.saturate_int16((z * gamma[c] + beta[c]) >> scalars[0]), -WIDE_LIMIT, WIDE_LIMIT)

    wide = te.compute((rows, n), wide_element, name="wide")

    def narrow_element(i: Any, c: Any) -> ex.Expr:
        mantissa, power, *zero_point = (scalars[index] for index in range(1, scalar_count))
        return ex.store_narrow(narrow_expression(wide[i, c], mantissa, power, output, *zero_point), output_zero_point)

    narrow = te.compute((rows, n), narrow_element, name="narrow")
    return te.create_prim_func([x, gamma, beta, scalars, wide, narrow])
