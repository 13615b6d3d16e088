"""exp, GELU, ReLU and tanh in float64 lanes, each step exact enough that no target can round it differently.

LLVM contracts ``a * b + c`` into one instruction wherever the processor has one. So every product that feeds an
addition must be exact in float64's 53 bits, whether it is rounded on its own or not. Horner's scheme gets there by
cutting the argument to 24 significant bits and each partial sum to 29 (:func:`cut`): bit masks, not roundings.
"""

from __future__ import annotations

import math
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from tvm import te, tirx

from .. import expressions as ex

Float64Array = NDArray[np.float64]

ARGUMENT_BITS = 24
SUM_BITS = 29
ROUND_64 = 1.5 * 2.0**52
"""Adding and subtracting it rounds to the nearest integer, halves to even; the sum's low bits are that integer."""
ROUND_32 = 1.5 * 2.0**23
"""The same for float32."""
MIN_EXPONENT = -87.0
"""exp below it would not be a normal float32; there it is exp(-87), 1.6e-38."""
LOG2_E = float(np.float32(math.log2(math.e)))
LN_2 = math.floor(math.log(2) * 2.0**40) / 2.0**40
"""40 bits: times an integer of up to 8 bits it is exact."""
EXP_COEFFICIENTS = (
    1.0, 1.0000000379432996, 0.5000000047401629, 0.16666414507167093, 0.041666351637827774, 0.008375210201056221,
    0.0013941213136701546,
)  # fmt: skip
"""exp(r) for |r| <= ln 2 / 2, to 3e-9: the Chebyshev interpolation of degree 6."""

GELU_LIMIT = math.sqrt(32.0)
"""Beyond it GELU(x) is x or 0, to 5e-8."""
GELU_COEFFICIENTS = (
    0.12499208218954144, -0.06242910498815453, 0.04655417597612666, -0.038082396887165984, 0.03189408149963346,
    -0.026406324735265975, 0.021167853193297205, -0.016267108590453522, 0.011722037626421412, -0.007662322065066631,
    0.004964247816292122, -0.0035613637132470535, 0.001916220406586357, -0.0003837924966277747,
    0.0002523507875343439, -0.0004845521487716967, 0.00020226330448749777,
)  # fmt: skip
"""erf(x / sqrt 2) / 2x as a polynomial of x^2 / 16 - 1 for x^2 <= 32: the Chebyshev interpolation of degree 16."""


def cut(x: Float64Array, bits: int) -> Float64Array:
    """float64 ``x`` with all but its ``bits`` most significant bits cleared."""
    mask = np.int64(-1) << np.int64(53 - bits)
    return (np.ascontiguousarray(x, np.float64).view(np.int64) & mask).view(np.float64).reshape(np.shape(x))


def cut_expression(x: ex.Expr, bits: int) -> ex.Expr:
    """TE: :func:`cut`."""
    mask = ex.constant(-(1 << (53 - bits)), "int64")
    return tirx.reinterpret("float64", tirx.reinterpret("int64", x) & mask)


def real(value: float) -> ex.Expr:
    """A float64 literal."""
    return tirx.const(value, "float64")


def nearest_expression(x: ex.Expr) -> ex.Expr:
    """TE: float32 ``x``, of magnitude below 2^22, to the nearest integer, halves to even."""
    # TVM takes (x + c) - c for x, in floats too; what is reinterpreted twice it leaves alone, and LLVM is strict.
    shifted = tirx.reinterpret("float32", tirx.reinterpret("int32", x + tirx.const(ROUND_32, "float32")))
    return shifted - tirx.const(ROUND_32, "float32")


def nearest(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """:func:`nearest_expression` in NumPy."""
    return (x + np.float32(ROUND_32)) - np.float32(ROUND_32)


def polynomial(x: Float64Array, coefficients: tuple[float, ...]) -> Float64Array:
    """Horner's scheme for ``x`` of at most 24 significant bits; ``coefficients`` from the constant one on."""
    total = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = cut(total, SUM_BITS) * x + coefficient
    return total


def polynomial_expression(x: ex.Expr, coefficients: tuple[float, ...]) -> ex.Expr:
    """TE: :func:`polynomial`; ``x`` should be a variable."""
    total = real(float(cut(np.array(coefficients[-1]), SUM_BITS)))
    for coefficient in coefficients[-2:0:-1]:
        total = cut_expression(total * x + real(coefficient), SUM_BITS)
    return total * x + real(coefficients[0])


def exponential(x: Float64Array) -> Float64Array:
    """exp(x) of float32 values ``x <= 0`` (at least -87 is taken), to a relative 1e-7."""
    x = np.maximum(x, MIN_EXPONENT)
    shifted = x * LOG2_E + ROUND_64
    octaves = shifted - ROUND_64
    rest = cut(x - octaves * LN_2, ARGUMENT_BITS)
    power = ((shifted.view(np.int64) << 52) + (1023 << 52)).view(np.float64)
    return cut(polynomial(rest, EXP_COEFFICIENTS), SUM_BITS) * power


def exponential_expression(x: ex.Expr) -> ex.Expr:
    """TE: :func:`exponential`, float64 to float64."""

    def scaled(x: ex.Expr, shifted: ex.Expr) -> ex.Expr:
        octaves = tirx.reinterpret("float64", shifted) - real(ROUND_64)  # see nearest_expression
        bits = (shifted << ex.constant(52, "int64")) + ex.constant(1023 << 52, "int64")
        power = tirx.reinterpret("float64", bits)
        rest = cut_expression(x - octaves * real(LN_2), ARGUMENT_BITS)
        return ex.let(
            rest, lambda r: cut_expression(polynomial_expression(r, EXP_COEFFICIENTS), SUM_BITS) * power
        )  # fmt: skip

    clamped = te.max(x, real(MIN_EXPONENT))

    def shifted(v: ex.Expr) -> ex.Expr:
        return tirx.reinterpret("int64", v * real(LOG2_E) + real(ROUND_64))

    return ex.let(clamped, lambda v: ex.let(shifted(v), lambda bits: scaled(v, bits)))


def gelu(x: Float64Array) -> Float64Array:
    """x Phi(x) of float32 values, to 1e-7 (absolute); float64, not yet rounded to float32."""
    argument = cut(np.minimum(x * x, 32.0) / 16 - 1, ARGUMENT_BITS)
    normal = x * cut(polynomial(argument, GELU_COEFFICIENTS), SUM_BITS) + 0.5
    return np.where(x > GELU_LIMIT, x, np.where(x < -GELU_LIMIT, 0.0, x * normal))


def gelu_expression(x: ex.Expr) -> ex.Expr:
    """TE: :func:`gelu`."""

    def of(x: ex.Expr) -> ex.Expr:
        argument = te.min(x * x, real(32.0)) * real(1 / 16) - real(1.0)
        return ex.let(cut_expression(argument, ARGUMENT_BITS), lambda t: selected(x, t))

    def selected(x: ex.Expr, t: ex.Expr) -> ex.Expr:
        normal = x * cut_expression(polynomial_expression(t, GELU_COEFFICIENTS), SUM_BITS) + real(0.5)
        below = ex.select(x < real(-GELU_LIMIT), real(0.0), x * normal)
        return ex.select(x > real(GELU_LIMIT), x, below)

    return ex.let(x, of)


def error_function(x: Float64Array) -> Float64Array:
    """erf(x / sqrt 2) of float32 values, to 1e-7 (absolute)."""
    argument = cut(np.minimum(x * x, 32.0) / 16 - 1, ARGUMENT_BITS)
    within = x * cut(polynomial(argument, GELU_COEFFICIENTS), SUM_BITS) * 2.0
    return np.where(x > GELU_LIMIT, 1.0, np.where(x < -GELU_LIMIT, -1.0, within))


def error_function_expression(x: ex.Expr) -> ex.Expr:
    """TE: :func:`error_function`; ``x`` should be a variable."""

    def selected(t: ex.Expr) -> ex.Expr:
        within = x * cut_expression(polynomial_expression(t, GELU_COEFFICIENTS), SUM_BITS) * real(2.0)
        below = ex.select(x < real(-GELU_LIMIT), real(-1.0), within)
        return ex.select(x > real(GELU_LIMIT), real(1.0), below)

    argument = te.min(x * x, real(32.0)) * real(1 / 16) - real(1.0)
    return ex.let(cut_expression(argument, ARGUMENT_BITS), selected)


def single(x: Float64Array) -> Float64Array:
    """float64 ``x`` rounded to the nearest float32, halves to even."""
    return x.astype(np.float32).astype(np.float64)


def single_expression(x: ex.Expr) -> ex.Expr:
    """TE: :func:`single` of 0 or what float32 holds as a normal number, in integers.

    A product that is converted to float32 LLVM takes for one of float32 values, and contracts it with the addition
    that reads it. It does not see through this.
    """

    def of(bits: ex.Expr) -> ex.Expr:
        last = (bits >> ex.constant(29, "int64")) & ex.constant(1, "int64")
        rounded = bits + (ex.constant((1 << 28) - 1, "int64") + last)
        return tirx.reinterpret("float64", rounded & ex.constant(-(1 << 29), "int64"))

    return ex.let(tirx.reinterpret("int64", x), of)


def relu(x: Float64Array) -> Float64Array:
    """``x`` where it is positive, else 0."""
    return np.where(x > 0, x, 0.0)


def relu_expression(x: ex.Expr) -> ex.Expr:
    """TE: :func:`relu`."""
    return ex.let(x, lambda v: ex.select(v > real(0.0), v, real(0.0)))


def tanh(x: Float64Array) -> Float64Array:
    """tanh(x) = sign(x) (1 - e) / (1 + e) with e = exp(-2 |x|), to 1e-7 (absolute)."""
    e = exponential(np.abs(x) * -2.0)
    quotient = (1.0 - e) / (1.0 + e)
    return np.where(x < 0, -quotient, quotient)


def tanh_expression(x: ex.Expr) -> ex.Expr:
    """TE: :func:`tanh`."""

    def of(x: ex.Expr) -> ex.Expr:
        magnitude = ex.select(x < real(0.0), -x, x)
        return ex.let(
            exponential_expression(magnitude * real(-2.0)),
            lambda e: ex.let(
                (real(1.0) - e) / (real(1.0) + e), lambda q: ex.select(x < real(0.0), -q, q)
            ),
        )  # fmt: skip

    return ex.let(x, of)


class Function(Enum):
    """What :class:`~intbert.compiler.operators.real.elementwise.Elementwise` applies to every value."""

    IDENTITY = "identity"
    GELU = "gelu"
    RELU = "relu"
    TANH = "tanh"

    def oracle(self, x: Float64Array) -> Float64Array:
        """float64 values that float32 holds to float64 values that it need not."""
        return _ORACLES[self](x)

    def expression(self, x: ex.Expr) -> ex.Expr:
        """TE: :meth:`oracle`."""
        return _EXPRESSIONS[self](x)


_ORACLES = {Function.IDENTITY: lambda x: x, Function.GELU: gelu, Function.RELU: relu, Function.TANH: tanh}
_EXPRESSIONS = {
    Function.IDENTITY: lambda x: x,
    Function.GELU: gelu_expression,
    Function.RELU: relu_expression,
    Function.TANH: tanh_expression,
}
