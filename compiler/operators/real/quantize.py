"""Float values to 8-bit integers, and to the values that quantized integers stand for.

``q = clamp(round(x / scale) + zero_point)`` with a float32 division and halves rounded to even: what ONNX's
QuantizeLinear computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tvm import te, tirx

from ....errors import BoundsError
from ...model import Quantization
from .. import expressions as ex
from .functions import nearest, nearest_expression, single_expression

Float32Array = NDArray[np.float32]

SMALLEST_SCALE = 2.0**-126
"""The smallest normal float32."""
SCALARS = 4


@dataclass(frozen=True)
class Quantize:
    """A static quantization: ``scale``, and the integers from ``low`` to ``high`` around ``zero_point``."""

    scale: np.float32
    zero_point: int
    low: int
    high: int

    @classmethod
    def of(cls, name: str, quantization: Quantization) -> Quantize:
        """The quantization of the activation ``name``; BoundsError where its scale is no normal float32."""
        scale = check_scale(name, quantization.scale)
        if quantization.bits > 8:
            raise BoundsError(f"{name} has {quantization.bits} bits; a mixed model's linears and attention take 2 to 8")
        return cls(scale, quantization.zero_point, quantization.low, quantization.limit)

    @property
    def steps(self) -> int:
        """The largest distance of an integer to the zero point."""
        return max(self.high - self.zero_point, self.zero_point - self.low)

    def centered(self, x: Float32Array) -> Float32Array:
        """``q - zero_point`` as whole float32 numbers."""
        with np.errstate(over="ignore"):
            scaled = x / self.scale
        low, high = np.float32(self.low - self.zero_point), np.float32(self.high - self.zero_point)
        return nearest(np.minimum(np.maximum(scaled, low), high))

    def oracle(self, x: Float32Array) -> NDArray[np.int64]:
        """float32 to the integers ``q``, of the same shape."""
        return self.centered(x).astype(np.int64) + self.zero_point

    def rounded(self, x: Float32Array) -> Float32Array:
        """float32 to what their integers stand for: quantized and dequantized."""
        return self.centered(x) * self.scale

    def scalars(self) -> list[float]:
        """float32 constants that the expressions read: scale, lowest and highest distance, zero point."""
        return [float(self.scale), self.low - self.zero_point, self.high - self.zero_point, self.zero_point]


def check_scale(name: str, scale: float) -> np.float32:
    """``scale`` as float32; BoundsError that names ``name`` where that is infinite or not a normal number."""
    if not SMALLEST_SCALE <= scale <= 2.0**100:
        raise BoundsError(f"{name}: scale {scale:.3g} is no float32 in its normal range; quantize again")
    return np.float32(scale)


def centered_expression(x: ex.Expr, scale: ex.Expr, low: ex.Expr, high: ex.Expr) -> ex.Expr:
    """TE: :meth:`Quantize.centered`, float32 to float32."""
    return nearest_expression(te.min(te.max(x / scale, low), high))


def quantized_expression(x: ex.Expr, scalars: Any, first: int, output_zero_point: int) -> ex.Expr:
    """TE: ``q`` as the 8 bits that memory holds; ``scalars[first:]`` is :meth:`Quantize.scalars`."""
    scale, low, high, zero = (scalars[first + index] for index in range(SCALARS))
    narrow = centered_expression(x, scale, low, high) + (zero + tirx.const(float(output_zero_point), "float32"))
    return narrow.astype("int32").astype("uint8" if output_zero_point else "int8")


def rounded_expression(x: ex.Expr, scalars: Any, first: int) -> ex.Expr:
    """TE: :meth:`Quantize.rounded`; what reads it must multiply it, not add to it."""
    scale, low, high = (scalars[first + index] for index in range(3))
    return centered_expression(x, scale, low, high) * scale


def exact_expression(x: ex.Expr, scalars: Any, first: int) -> ex.Expr:
    """TE: :meth:`Quantize.rounded` as float64; additions may read it."""
    scale, low, high = (scalars[first + index] for index in range(3))
    return single_expression(centered_expression(x, scale, low, high).astype("float64") * scale.astype("float64"))


Roundings: TypeAlias = tuple[Quantize, ...]
"""What a value is quantized and dequantized with, one after the other; mostly nothing, or one."""


def rounded(roundings: Roundings, x: Float32Array) -> Float32Array:
    """``x``, quantized and dequantized."""
    for quantize in roundings:
        x = quantize.rounded(x)
    return x


def rounded_chain(x: ex.Expr, roundings: Roundings, scalars: Any, first: int) -> ex.Expr:
    """TE: :func:`rounded`, float32 to float32; the scalars of the first rounding are ``scalars[first:]``."""
    if not roundings:
        return x
    for index in range(len(roundings) - 1):
        x = rounded_expression(x, scalars, first + index * SCALARS)
    return exact_expression(x, scalars, first + (len(roundings) - 1) * SCALARS).astype("float32")


def scalars_of(*quantizations: Quantize) -> list[NDArray[np.float32]]:
    """The constants of ``quantizations`` as one argument of a kernel; none where there are none."""
    if not quantizations:
        return []
    return [np.array([value for quantize in quantizations for value in quantize.scalars()], np.float32)]


def reach(roundings: Roundings, magnitude: float) -> float:
    """The largest magnitude of a value that is rounded, of one of ``magnitude``."""
    return roundings[-1].steps * float(roundings[-1].scale) if roundings else magnitude


@dataclass(frozen=True)
class ChannelGrid:
    """A rounding that is another one for every channel: rows of scales, lowest and highest distances."""

    values: NDArray[np.float32]
    """[3, N]."""

    @classmethod
    def of(cls, parts: Sequence[tuple[Quantize, int]]) -> ChannelGrid:
        """Of quantizations and how many channels, side by side, each is for."""
        columns = [np.repeat([quantize.scalars()[:3]], count, axis=0) for quantize, count in parts]
        return cls(np.ascontiguousarray(np.concatenate(columns).T, np.float32))

    def rounded(self, x: Float32Array) -> Float32Array:
        """[rows, N], quantized and dequantized."""
        scale, low, high = self.values
        with np.errstate(over="ignore"):
            scaled = x / scale
        return nearest(np.minimum(np.maximum(scaled, low), high)) * scale

    @property
    def reach(self) -> NDArray[np.float64]:
        """[N]: the largest magnitude of a rounded value."""
        return np.abs(self.values[1:]).max(axis=0).astype(np.float64) * self.values[0]
