"""A function of every value: of a linear's output or of float values, to float32 or on to 8-bit integers."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te

from .. import expressions as ex
from ..interval import Interval
from .functions import Function
from .operator import Extents, Plan, RealOperator
from .quantize import SCALARS, Quantize, quantized_expression
from .ranges import Bounded, Range
from .sources import Source


@dataclass(frozen=True)
class Elementwise(RealOperator):
    """``y = float32(function(float32(source)))``, quantized where ``quantize`` says how; [rows, N]."""

    name: str
    source: Source
    function: Function
    quantize: Quantize | None = None

    @property
    def plan(self) -> Plan:
        return Plan.ELEMENTS

    @property
    def structure(self) -> Hashable:
        return Elementwise, self.source.kind, self.function, self.quantize is None

    @property
    def inputs(self) -> int:
        return self.source.inputs

    def parameters(self) -> list[NDArray[Any]]:
        return [*self.source.parameters(), *quantize_parameters(self.quantize)]

    def oracle(self, *inputs: Any) -> Any:
        x = self.source.oracle(*inputs).astype(np.float32).astype(np.float64)
        y = self.function.oracle(x).astype(np.float32)
        return y if self.quantize is None else self.quantize.oracle(y)

    def bounds(self, length: int, *inputs: Bounded) -> Range:
        values = self.source.bounds(self.name, *inputs)
        if self.function is Function.TANH:
            values = Range(-1.0, 1.0)
        elif self.function is not Function.IDENTITY:
            values = Range(-1.0, max(values.high, 0.0))  # GELU's least value is -0.17
        return quantized_range(self.quantize, values)

    def kernel(self, extents: Extents) -> Any:
        rows, channels = extents.rows, extents.channels
        source = self.source.staged(extents.batch, rows, channels)
        scalars = te.placeholder((SCALARS,), "float32", name="scalars")

        def element(i: Any, j: Any) -> ex.Expr:
            x = source.element(i, j).astype("float32").astype("float64")
            y = self.function.expression(x).astype("float32")
            return y if self.quantize is None else quantized_expression(y, scalars, 0, extents.output_zero_point)

        output = te.compute((rows, channels), element, name="output")
        constants = source.constants if self.quantize is None else [*source.constants, scalars]
        return te.create_prim_func([*source.inputs, *constants, output])


def quantize_parameters(quantize: Quantize | None) -> list[NDArray[Any]]:
    """The constants of a quantization at the end of an operator."""
    return [] if quantize is None else [np.array(quantize.scalars(), np.float32)]


def quantized_range(quantize: Quantize | None, values: Range) -> Any:
    """The range of what an operator stores."""
    return values if quantize is None else Interval(quantize.low, quantize.high)
