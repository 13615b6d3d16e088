"""A linear's float output that is quantized and dequantized: before its bias, after it, or both.

``float32(a * scale)``, rounded to the product's grids, plus the bias in float32, rounded to the output's grids: what
ONNX computes where MatMul, and the Add of the bias, have quantized outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te

from .. import expressions as ex
from .functions import Float64Array
from .quantize import ChannelGrid, exact_expression
from .ranges import ROUNDING, Bounded, Range
from .sources import Accumulators, Staged


@dataclass(frozen=True)
class RoundedAccumulators:
    """``accumulators`` with the roundings of their product with the scale, and of their sum with the bias."""

    accumulators: Accumulators
    product: tuple[ChannelGrid, ...]
    output: tuple[ChannelGrid, ...]

    @property
    def kind(self) -> str:
        return f"accumulators_rounded_{len(self.product)}_{len(self.output)}"

    @property
    def inputs(self) -> int:
        return 1

    def parameters(self) -> list[NDArray[Any]]:
        return [*self.accumulators.parameters(), *(grid.values for grid in (*self.product, *self.output))]

    def oracle(self, *inputs: Any) -> Float64Array:
        (accumulator,) = inputs
        scale, bias = self.accumulators.scale.astype(np.float64), self.accumulators.bias.astype(np.float64)
        x = accumulator.astype(np.float64) * scale
        for grid in self.product:
            x = grid.rounded(x.astype(np.float32)).astype(np.float64)
        x = (x + bias).astype(np.float32)
        for grid in self.output:
            x = grid.rounded(x)
        return x.astype(np.float64)

    def bounds(self, operator: str, *inputs: Bounded) -> Range:
        plain = self.accumulators.bounds(operator, *inputs)
        magnitude = plain.magnitude
        if self.product:
            bias = np.abs(self.accumulators.bias.astype(np.float64))
            magnitude = float((self.product[-1].reach * ROUNDING + bias).max(initial=0.0))
        if self.output:
            magnitude = float(self.output[-1].reach.max(initial=0.0))
        return Range.symmetric(magnitude).require(operator, "the linear's rounded output")

    def staged(self, batch: int, rows: int, channels: int) -> Staged:
        x = te.placeholder((rows, channels), "int32", name="accumulator")
        scale = te.placeholder((channels,), "float32", name="scale")
        bias = te.placeholder((channels,), "float32", name="bias")
        grids = [
            te.placeholder((3, channels), "float32", name=f"grid{index}")
            for index in range(len(self.product) + len(self.output))
        ]

        def rounded(value: ex.Expr, grid: Any, j: Any) -> ex.Expr:
            return exact_expression(value.astype("float32"), [grid[0, j], grid[1, j], grid[2, j]], 0)

        def element(i: Any, j: Any) -> ex.Expr:
            value = x[i, j].astype("float64") * scale[j].astype("float64")
            for grid in grids[: len(self.product)]:
                value = rounded(value, grid, j)
            value = value + bias[j].astype("float64")
            for grid in grids[len(self.product) :]:
                value = rounded(value, grid, j)
            return value

        return Staged([x], [scale, bias, *grids], element)
