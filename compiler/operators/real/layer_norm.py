"""Layer normalization in float: a linear's output and the residual in, the float stream and its integers out.

For a row of ``n`` values (sums in the order of :mod:`~intbert.compiler.operators.real.sums`):

1. ``x = float32(source + residual)``, added in float64; quantized and dequantized where the model says so.
2. ``mean = sum(x) / n`` in float64; ``y = float32(x - mean)``.
3. ``r = float32(1 / sqrt(sum(y^2) / n + epsilon))``; division and root are IEEE's float64 ones.
4. ``z = float32(y r)``; ``stream = float32(z gamma + beta)``; ``hidden = quantize(stream)``.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te, tirx

from .. import expressions as ex
from .elementwise import quantize_parameters, quantized_range
from .functions import real
from .operator import Extents, Plan, RealOperator
from .quantize import (
    SCALARS,
    Float32Array,
    Quantize,
    Roundings,
    quantized_expression,
    rounded,
    rounded_chain,
    scalars_of,
)
from .ranges import Bounded, Range
from .sources import Source
from .sums import lane_sum, lane_sum_stages


@dataclass(frozen=True)
class RealLayerNorm(RealOperator):
    """Outputs the float32 ``stream``, and ``hidden`` where ``quantize`` is given; each [rows, n]."""

    name: str
    source: Source
    residual: bool
    """Whether the last input is a float32 residual [rows, n]."""
    gamma: Float32Array
    beta: Float32Array
    epsilon: float
    quantize: Quantize | None = None
    rounded: Roundings = ()
    """How ``x`` is rounded."""

    @property
    def plan(self) -> Plan:
        return Plan.NORMALIZED_ROWS

    @property
    def structure(self) -> Hashable:
        return RealLayerNorm, self.source.kind, self.residual, self.quantize is None, len(self.rounded)

    @property
    def inputs(self) -> int:
        return self.source.inputs + self.residual

    @property
    def outputs(self) -> int:
        return 1 if self.quantize is None else 2

    def parameters(self) -> list[NDArray[Any]]:
        epsilon = np.array([self.epsilon], np.float64)
        scalars = [*scalars_of(*self.rounded), *quantize_parameters(self.quantize)]
        return [*self.source.parameters(), self.gamma, self.beta, epsilon, *scalars]

    def oracle(self, *inputs: Any) -> Any:
        n = len(self.gamma)
        total = self.source.oracle(*inputs[: self.source.inputs])
        if self.residual:
            total = total + inputs[-1].astype(np.float64)
        x = rounded(self.rounded, total.astype(np.float32)).astype(np.float64)
        mean = lane_sum(x) / n
        y = (x - mean[:, None]).astype(np.float32)
        squares = lane_sum(y.astype(np.float64) * y.astype(np.float64))
        r = (1.0 / np.sqrt(squares / n + self.epsilon)).astype(np.float32)
        z = (y * r[:, None]).astype(np.float64)
        stream = (z * self.gamma.astype(np.float64) + self.beta.astype(np.float64)).astype(np.float32)
        return stream if self.quantize is None else (stream, self.quantize.oracle(stream))

    def bounds(self, length: int, *inputs: Bounded) -> Range | tuple[Range, ...]:
        total = self.source.bounds(self.name, *inputs[: self.source.inputs])
        if self.residual:
            total = Range(total.low + float(inputs[-1].low), total.high + float(inputs[-1].high))
        total.require(self.name, "the normalization's input")
        gamma, beta = (np.abs(array.astype(np.float64)) for array in (self.gamma, self.beta))
        # |y| <= sqrt(sum y^2), so |z| <= sqrt(n), but for the roundings.
        reach = math.sqrt(len(self.gamma)) * gamma + beta
        stream = Range.symmetric(float(reach.max())).require(self.name, "the normalization's output")
        return stream if self.quantize is None else (stream, quantized_range(self.quantize, stream))

    def kernel(self, extents: Extents) -> Any:
        rows, n = extents.rows, extents.channels
        source = self.source.staged(extents.batch, rows, n)
        residual = te.placeholder((rows, n), "float32", name="residual")
        gamma = te.placeholder((n,), "float32", name="gamma")
        beta = te.placeholder((n,), "float32", name="beta")
        epsilon = te.placeholder((1,), "float64", name="epsilon")
        scalars = te.placeholder((SCALARS,), "float32", name="scalars")
        grids = te.placeholder((max(1, len(self.rounded)) * SCALARS,), "float32", name="grids")

        def added(i: Any, j: Any) -> ex.Expr:
            value = source.element(i, j)
            total = (value + residual[i, j].astype("float64") if self.residual else value).astype("float32")
            return rounded_chain(total, self.rounded, grids, 0)

        x = te.compute((rows, n), added, name="sum")
        total = lane_sum_stages("total", (rows,), n, lambda i, j: x[i, j].astype("float64"))
        mean = te.compute((rows,), lambda i: total[i] / real(float(n)), name="mean")
        y = te.compute((rows, n), lambda i, j: (x[i, j].astype("float64") - mean[i]).astype("float32"), name="centered")

        def square(i: Any, j: Any) -> ex.Expr:
            return ex.let(y[i, j].astype("float64"), lambda value: value * value)

        squares = lane_sum_stages("squares", (rows,), n, square)
        r = te.compute(
            (rows,),
            lambda i: (real(1.0) / tirx.sqrt(squares[i] / real(float(n)) + epsilon[0])).astype("float32"),
            name="reciprocal",
        )

        def normalized(i: Any, j: Any) -> ex.Expr:
            z = (y[i, j] * r[i]).astype("float64")
            return (z * gamma[j].astype("float64") + beta[j].astype("float64")).astype("float32")

        outputs = [te.compute((rows, n), normalized, name="stream")]
        constants = [*source.constants, gamma, beta, epsilon, *([grids] if self.rounded else [])]
        if self.quantize is not None:
            stream = outputs[0]
            outputs.append(
                te.compute(
                    (rows, n),
                    lambda i, j: quantized_expression(stream[i, j], scalars, 0, extents.output_zero_point),
                    name="hidden",
                )
            )
            constants.append(scalars)
        inputs = [*source.inputs, *([residual] if self.residual else [])]
        return te.create_prim_func([*inputs, *constants, *outputs])
