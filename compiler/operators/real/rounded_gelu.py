"""GELU spelled out, its intermediate values quantized and dequantized: what ONNX computes where Add and Mul are.

In float32, each step rounded where the model says so: ``e = erf(x / sqrt 2)``, ``g = e + 1``, ``p = x g``,
``y = p / 2``.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te

from .. import expressions as ex
from .elementwise import quantized_range
from .functions import error_function, error_function_expression, real
from .operator import Extents, Plan, RealOperator
from .quantize import SCALARS, Quantize, Roundings, quantized_expression, reach, rounded, rounded_chain, scalars_of
from .ranges import Bounded, Range
from .sources import Source


@dataclass(frozen=True)
class RoundedGelu(RealOperator):
    """[rows, N] to float32, or on to 8-bit integers."""

    name: str
    source: Source
    roundings: tuple[Roundings, Roundings, Roundings]
    """Of ``e``, ``g`` and ``p``."""
    quantize: Quantize | None = None

    @property
    def plan(self) -> Plan:
        return Plan.ELEMENTS

    @property
    def structure(self) -> Hashable:
        lengths = tuple(len(roundings) for roundings in self.roundings)
        return RoundedGelu, self.source.kind, lengths, self.quantize is None

    @property
    def inputs(self) -> int:
        return self.source.inputs

    @property
    def _quantizations(self) -> list[Quantize]:
        last = [] if self.quantize is None else [self.quantize]
        return [*(quantize for roundings in self.roundings for quantize in roundings), *last]

    def parameters(self) -> list[NDArray[Any]]:
        return [*self.source.parameters(), *scalars_of(*self._quantizations)]

    def oracle(self, *inputs: Any) -> Any:
        of_erf, of_gate, of_product = self.roundings
        x = self.source.oracle(*inputs).astype(np.float32)
        e = rounded(of_erf, error_function(x.astype(np.float64)).astype(np.float32))
        gate = rounded(of_gate, e + np.float32(1))
        y = rounded(of_product, x * gate) * np.float32(0.5)
        return y if self.quantize is None else self.quantize.oracle(y)

    def bounds(self, length: int, *inputs: Bounded) -> Range:
        of_erf, of_gate, of_product = self.roundings
        gate = reach(of_gate, reach(of_erf, 1.0) + 1)
        product = reach(of_product, self.source.bounds(self.name, *inputs).magnitude * gate)
        values = Range.symmetric(product).require(self.name, "GELU's rounded output")
        return quantized_range(self.quantize, values)

    def kernel(self, extents: Extents) -> Any:
        rows, channels = extents.rows, extents.channels
        of_erf, of_gate, of_product = self.roundings
        source = self.source.staged(extents.batch, rows, channels)
        count = len(self._quantizations)
        scalars = te.placeholder((count * SCALARS,), "float32", name="scalars")
        gate_first = len(of_erf) * SCALARS
        product_first = gate_first + len(of_gate) * SCALARS
        last = product_first + len(of_product) * SCALARS

        def of(x: ex.Expr) -> ex.Expr:
            e = rounded_chain(error_function_expression(x).astype("float32"), of_erf, scalars, 0)
            sum_ = (e.astype("float64") + real(1.0)).astype("float32")
            gate = rounded_chain(sum_, of_gate, scalars, gate_first)
            product = rounded_chain(x.astype("float32") * gate, of_product, scalars, product_first)
            y = (product.astype("float64") * real(0.5)).astype("float32")
            return y if self.quantize is None else quantized_expression(y, scalars, last, extents.output_zero_point)

        def element(i: Any, j: Any) -> ex.Expr:
            return ex.let(source.element(i, j).astype("float32").astype("float64"), of)

        output = te.compute((rows, channels), element, name="output")
        constants = [*source.constants, scalars] if count else source.constants
        return te.create_prim_func([*source.inputs, *constants, output])
