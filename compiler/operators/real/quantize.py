"""Float values to 8-bit integers, and to the values that quantized integers stand for.

``q = clamp(round(x / scale) + zero_point)`` with a float32 division and halves rounded to even: what ONNX's
QuantizeLinear computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te, tirx

from ....errors import BoundsError
from ...model import Quantization
from .. import expressions as ex
from .functions import nearest, nearest_expression

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
