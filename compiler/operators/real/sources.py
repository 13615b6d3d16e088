"""What a float operator reads: float32 values, or the accumulators of a linear, dequantized on the way.

The float output of a linear is ``accumulator * scale + bias`` with float32 scale and bias. An accumulator has at most
29 bits and its sign, so the product is exact in float64 and the sum is rounded once there. The operators take this
float64 value and round it to float32 where they say so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tvm import te

from ....errors import BoundsError
from .. import expressions as ex
from .functions import Float64Array
from .ranges import ROUNDING, Bounded, Range

MAX_REACH = 2**29
"""Accumulators below it have products with float32 values that float64 holds exactly."""
DYNAMIC_STEPS = 255
"""The largest distance of an 8-bit integer to its zero point, when both are chosen at run time."""


@dataclass(frozen=True)
class Staged:
    """A source as TE: its placeholders, and its element (row, channel) as float64."""

    inputs: list[Any]
    constants: list[Any]
    element: Callable[[Any, Any], ex.Expr]


class Source(Protocol):
    """The interface of all sources."""

    @property
    def kind(self) -> str:
        """Names the expression."""
        ...

    @property
    def inputs(self) -> int:
        """How many inputs of the operator it takes, from the first on."""
        ...

    def parameters(self) -> list[NDArray[Any]]:
        """Its constants in the order of the kernel's arguments."""
        ...

    def oracle(self, *inputs: Any) -> Float64Array:
        """[rows, N] float64."""
        ...

    def bounds(self, operator: str, *inputs: Bounded) -> Range:
        """The values' range; BoundsError that names ``operator`` where they may not be exact or not finite."""
        ...

    def staged(self, batch: int, rows: int, channels: int) -> Staged:
        """TE."""
        ...


@dataclass(frozen=True)
class Floats:
    """float32 values [rows, N]."""

    @property
    def kind(self) -> str:
        return "floats"

    @property
    def inputs(self) -> int:
        return 1

    def parameters(self) -> list[NDArray[Any]]:
        return []

    def oracle(self, *inputs: Any) -> Float64Array:
        (x,) = inputs
        return x.astype(np.float64)

    def bounds(self, operator: str, *inputs: Bounded) -> Range:
        (x,) = inputs
        return Range(float(x.low), float(x.high)).require(operator, "the input")

    def staged(self, batch: int, rows: int, channels: int) -> Staged:
        x = te.placeholder((rows, channels), "float32", name="x")
        return Staged([x], [], lambda i, j: x[i, j].astype("float64"))


@dataclass(frozen=True)
class Accumulators:
    """A linear's int32 accumulators [rows, N], bias and zero point in them, times ``scale``, plus ``bias``."""

    scale: NDArray[np.float32]
    """[N]: the input's scale times the weight's."""
    bias: NDArray[np.float32]
    reach: NDArray[np.int64]
    """[N]: the largest magnitude that an accumulator can have."""

    @property
    def kind(self) -> str:
        return "accumulators"

    @property
    def inputs(self) -> int:
        return 1

    def parameters(self) -> list[NDArray[Any]]:
        return [self.scale, self.bias]

    def oracle(self, *inputs: Any) -> Float64Array:
        (accumulator,) = inputs
        return accumulator.astype(np.float64) * self.scale.astype(np.float64) + self.bias.astype(np.float64)

    def bounds(self, operator: str, *inputs: Bounded) -> Range:
        _check_reach(operator, self.reach)
        return _linear_range(operator, self.reach * self.scale.astype(np.float64), self.bias)

    def staged(self, batch: int, rows: int, channels: int) -> Staged:
        x = te.placeholder((rows, channels), "int32", name="accumulator")
        scale = te.placeholder((channels,), "float32", name="scale")
        bias = te.placeholder((channels,), "float32", name="bias")
        return Staged(
            [x],
            [scale, bias],
            lambda i, j: x[i, j].astype("float64") * scale[j].astype("float64") + bias[j].astype("float64"),
        )


@dataclass(frozen=True)
class DynamicAccumulators:
    """Accumulators of an activation whose scale and zero point were computed at run time, one pair a sentence.

    ``(accumulator - zero_point * weight_sum) * float32(input_scale * weight_scale) + bias``, as ONNX Runtime's
    MatMulInteger followed by a multiplication and an addition.
    """

    weight_scale: NDArray[np.float32]
    """[N]."""
    bias: NDArray[np.float32]
    weight_sum: NDArray[np.int32]
    """[N]: the sum of a channel's integer weights."""
    reach: NDArray[np.int64]
    """[N]: the largest magnitude of an accumulator, its zero point subtracted."""

    @property
    def kind(self) -> str:
        return "dynamic_accumulators"

    @property
    def inputs(self) -> int:
        return 3

    def parameters(self) -> list[NDArray[Any]]:
        return [self.weight_scale, self.bias, self.weight_sum]

    def oracle(self, *inputs: Any) -> Float64Array:
        accumulator, scale, zero_point = inputs
        tokens = len(accumulator) // len(scale)
        centered = accumulator - np.repeat(zero_point, tokens, axis=0) * self.weight_sum.astype(np.int64)
        product = np.repeat(scale, tokens, axis=0) * self.weight_scale
        return centered.astype(np.float64) * product.astype(np.float64) + self.bias.astype(np.float64)

    def bounds(self, operator: str, *inputs: Bounded) -> Range:
        _check_reach(operator, self.reach)
        scale = inputs[1].high
        return _linear_range(operator, self.reach * self.weight_scale.astype(np.float64) * scale, self.bias)

    def staged(self, batch: int, rows: int, channels: int) -> Staged:
        tokens = rows // batch
        x = te.placeholder((rows, channels), "int32", name="accumulator")
        input_scale = te.placeholder((batch, 1), "float32", name="input_scale")
        zero_point = te.placeholder((batch, 1), "int32", name="zero_point")
        weight_scale = te.placeholder((channels,), "float32", name="weight_scale")
        bias = te.placeholder((channels,), "float32", name="bias")
        weight_sum = te.placeholder((channels,), "int32", name="weight_sum")

        def element(i: Any, j: Any) -> ex.Expr:
            sentence = i // tokens
            centered = x[i, j] - zero_point[sentence, 0] * weight_sum[j]
            scale = input_scale[sentence, 0] * weight_scale[j]
            return centered.astype("float64") * scale.astype("float64") + bias[j].astype("float64")

        return Staged([x, input_scale, zero_point], [weight_scale, bias, weight_sum], element)


def reach_of(weight: NDArray[Any], bias: NDArray[Any], steps: int) -> NDArray[np.int64]:
    """[N]: the largest ``|sum((q - zero_point) * weight) + bias|`` where no ``|q - zero_point|`` exceeds ``steps``."""
    return steps * np.abs(weight.astype(np.int64)).sum(axis=1) + np.abs(bias.astype(np.int64))


def _check_reach(operator: str, reach: NDArray[np.int64]) -> None:
    if (largest := int(reach.max(initial=0))) >= MAX_REACH:
        raise BoundsError(
            f"{operator}: an accumulator may reach {largest}, and from {MAX_REACH} on its float product is not exact; "
            "quantize this layer with fewer bits, or check its bias"
        )


def _linear_range(operator: str, reach: NDArray[np.float64], bias: NDArray[np.float32]) -> Range:
    magnitude = float((reach + np.abs(bias.astype(np.float64))).max(initial=0.0))
    return Range.symmetric(magnitude * ROUNDING).require(operator, "the linear's float output")
