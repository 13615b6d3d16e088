"""Sources that change float values before an operator reads them: rounded to a grid, or scaled channel by channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te

from .functions import Float64Array
from .quantize import SCALARS, Float32Array, Quantize, centered_expression
from .ranges import Bounded, Range, magnitude
from .sources import Staged


@dataclass(frozen=True)
class RoundedFloats:
    """float32 values [rows, N], quantized and dequantized."""

    quantize: Quantize

    @property
    def kind(self) -> str:
        return "rounded_floats"

    @property
    def inputs(self) -> int:
        return 1

    def parameters(self) -> list[NDArray[Any]]:
        return [np.array(self.quantize.scalars(), np.float32)]

    def oracle(self, *inputs: Any) -> Float64Array:
        (x,) = inputs
        return self.quantize.centered(x).astype(np.float64) * np.float64(self.quantize.scale)

    def bounds(self, operator: str, *inputs: Bounded) -> Range:
        reach = self.quantize.steps * float(self.quantize.scale)
        return Range.symmetric(reach).require(operator, "the rounded input")

    def staged(self, batch: int, rows: int, channels: int) -> Staged:
        x = te.placeholder((rows, channels), "float32", name="x")
        scalars = te.placeholder((SCALARS,), "float32", name="grid")

        def element(i: Any, j: Any) -> Any:
            centered = centered_expression(x[i, j], scalars[0], scalars[1], scalars[2])
            return centered.astype("float64") * scalars[0].astype("float64")

        return Staged([x], [scalars], element)


@dataclass(frozen=True)
class ScaledFloats:
    """float32 values [rows, N] times a factor for every channel (SmoothQuant, Xiao et al. 2023)."""

    factors: Float32Array
    """[N]."""

    @property
    def kind(self) -> str:
        return "scaled_floats"

    @property
    def inputs(self) -> int:
        return 1

    def parameters(self) -> list[NDArray[Any]]:
        return [self.factors]

    def oracle(self, *inputs: Any) -> Float64Array:
        (x,) = inputs
        return x.astype(np.float64) * self.factors.astype(np.float64)

    def bounds(self, operator: str, *inputs: Bounded) -> Range:
        (x,) = inputs
        reach = magnitude(x) * float(np.abs(self.factors).max(initial=0.0))
        return Range.symmetric(reach).require(operator, "the scaled input")

    def staged(self, batch: int, rows: int, channels: int) -> Staged:
        x = te.placeholder((rows, channels), "float32", name="x")
        factors = te.placeholder((channels,), "float32", name="factors")
        return Staged([x], [factors], lambda i, j: x[i, j].astype("float64") * factors[j].astype("float64"))
