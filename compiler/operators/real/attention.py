"""Multi-head self-attention in float, from the accumulators of the queries, keys and values.

``q``, ``k``, ``v`` are float32, quantized and dequantized where the model says so. For each head, sums in float64:

1. ``s = float32(sum_d q k * c)``, from the first channel to the last; ``c = 1 / sqrt(head dimension)`` in float64.
2. ``e = float32(exp(float32(s - largest)))`` over the unmasked keys, 0 at the masked ones.
3. ``r = float32(1 / max(sum(e), 1))``, the sum in lanes of keys; the largest key alone gives 1, so only a row whose
   keys are all masked is below it, and its probabilities are 0.
4. ``p = float32(e r)``, quantized and dequantized where the model says so.
5. ``context = float32(sum_j p v)``, from the first key to the last, quantized for the next linear.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te

from .. import expressions as ex
from .elementwise import quantized_range
from .functions import exponential, exponential_expression, real
from .operator import Extents, Plan, RealOperator
from .quantize import SCALARS, Float32Array, Quantize, quantized_expression, rounded_expression
from .ranges import Bounded, Range
from .sources import Source
from .sums import lane_sum, lane_sum_stages

MASKED_SCORE = -(2.0**126)
PARTS = ("query", "key", "value")


@dataclass(frozen=True)
class RealAttention(RealOperator):
    """Source [rows, 3 * hidden] (queries, keys, values side by side) and mask [batch, length] to [rows, hidden]."""

    name: str
    heads: int
    head_dim: int
    source: Source
    rounded: tuple[Quantize | None, Quantize | None, Quantize | None, Quantize | None]
    """How queries, keys, values and probabilities are quantized and dequantized, if they are."""
    quantize: Quantize | None = None

    @property
    def plan(self) -> Plan:
        return Plan.ATTENTION

    @property
    def structure(self) -> Hashable:
        rounded = tuple(value is not None for value in self.rounded)
        return RealAttention, self.heads, self.head_dim, self.source.kind, rounded, self.quantize is None

    @property
    def attention_heads(self) -> int:
        return self.heads

    @property
    def inputs(self) -> int:
        return self.source.inputs + 1

    def parameters(self) -> list[NDArray[Any]]:
        scalars = [
            value for q in (*self.rounded, self.quantize) for value in ([0.0] * SCALARS if q is None else q.scalars())
        ]
        return [*self.source.parameters(), np.array(scalars, np.float32)]

    def oracle(self, *inputs: Any) -> Any:
        mask = inputs[-1]
        batch, length = mask.shape
        values = self.source.oracle(*inputs[:-1]).astype(np.float32)
        parts = values.reshape(batch, length, 3, self.heads, self.head_dim).transpose(2, 0, 3, 1, 4)
        query, key, value = (
            _rounded(quantize, part).astype(np.float64) for quantize, part in zip(self.rounded[:3], parts, strict=True)
        )
        scores = np.zeros((batch, self.heads, length, length))
        for d in range(self.head_dim):
            scores = scores + query[..., :, None, d] * key[..., None, :, d]
        probabilities = self._probabilities((scores * self._factor).astype(np.float32), mask[:, None, None, :] != 0)
        context = np.zeros((batch, self.heads, length, self.head_dim))
        for j in range(length):
            context = context + probabilities[..., :, j, None] * value[..., None, j, :]
        result = context.astype(np.float32).transpose(0, 2, 1, 3).reshape(batch * length, -1)
        return result if self.quantize is None else self.quantize.oracle(result)

    def _probabilities(self, scores: Float32Array, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        scores = np.where(mask, scores, np.float32(MASKED_SCORE))
        distance = (scores - scores.max(axis=-1, keepdims=True)).astype(np.float64)
        e = np.where(mask, exponential(distance), 0.0).astype(np.float32)
        total = np.maximum(lane_sum(e.astype(np.float64)), 1.0)
        reciprocal = (1.0 / total).astype(np.float32)
        return _rounded(self.rounded[3], e * reciprocal[..., None]).astype(np.float64)

    @property
    def _factor(self) -> float:
        return 1 / math.sqrt(self.head_dim)

    def bounds(self, length: int, *inputs: Bounded) -> Range:
        values = self.source.bounds(self.name, *inputs[:-1])
        query, key, value = (
            values.magnitude if quantize is None else quantize.steps * float(quantize.scale)
            for quantize in self.rounded[:3]
        )
        Range.symmetric(query * key * math.sqrt(self.head_dim)).require(self.name, "a score")
        # Rounded probabilities need not sum to 1.
        probability = self.rounded[3]
        total = 1.0 if probability is None else length * probability.steps * float(probability.scale)
        context = Range.symmetric(value * total).require(self.name, "the context")
        return quantized_range(self.quantize, context)

    def kernel(self, extents: Extents) -> Any:
        batch, length, rows = extents.batch, extents.length, extents.rows
        heads, size = self.heads, self.head_dim
        source = self.source.staged(batch, rows, extents.channels)
        mask = te.placeholder((batch, length), "int32", name="mask")
        scalars = te.placeholder((5 * SCALARS,), "float32", name="scalars")

        def part(index: int) -> Any:
            def element(b: Any, h: Any, i: Any, d: Any) -> ex.Expr:
                value = source.element(b * length + i, (index * heads + h) * size + d).astype("float32")
                if self.rounded[index] is not None:
                    value = rounded_expression(value, scalars, index * SCALARS)
                return value.astype("float64")

            return te.compute((batch, heads, length, size), element, name=PARTS[index])

        query, key, value = part(0), part(1), part(2)
        d = te.reduce_axis((0, size), "d")
        score_sum = te.compute(
            (batch, heads, length, length),
            lambda b, h, i, j: te.sum(query[b, h, i, d] * key[b, h, j, d], axis=d),
            name="score_sum",
        )

        def score(b: Any, h: Any, i: Any, j: Any) -> ex.Expr:
            scaled = (score_sum[b, h, i, j] * real(self._factor)).astype("float32")
            return ex.select(mask[b, j] != 0, scaled, real(MASKED_SCORE).astype("float32"))

        scores = te.compute((batch, heads, length, length), score, name="scores")
        probabilities = self._probability_stages(scores, mask, scalars)
        j = te.reduce_axis((0, length), "j")
        context_sum = te.compute(
            (batch, heads, length, size),
            lambda b, h, i, c: te.sum(probabilities[b, h, i, j] * value[b, h, j, c], axis=j),
            name="context_sum",
        )
        context = te.compute(context_sum.shape, lambda *at: context_sum(*at).astype("float32"), name="context")

        def element(row: Any, channel: Any) -> ex.Expr:
            result = context[row // length, channel // size, row % length, channel % size]
            if self.quantize is None:
                return result
            return quantized_expression(result, scalars, 4 * SCALARS, extents.output_zero_point)

        output = te.compute((rows, heads * size), element, name="output")
        return te.create_prim_func([*source.inputs, mask, *source.constants, scalars, output])

    def _probability_stages(self, scores: Any, mask: Any, scalars: Any) -> Any:
        batch, heads, length, _ = (int(extent) for extent in scores.shape)
        shape, rows = (batch, heads, length, length), (batch, heads, length)
        k = te.reduce_axis((0, length), "k")
        largest = te.compute(rows, lambda b, h, i: te.max(scores[b, h, i, k], axis=k), name="largest")

        def exponential_of(b: Any, h: Any, i: Any, j: Any) -> ex.Expr:
            distance = (scores[b, h, i, j] - largest[b, h, i]).astype("float64")
            e = ex.select(mask[b, j] != 0, exponential_expression(distance), real(0.0))
            return e.astype("float32")

        e = te.compute(shape, exponential_of, name="exponential")
        total = lane_sum_stages("total", rows, length, lambda b, h, i, j: e[b, h, i, j].astype("float64"))
        reciprocal = te.compute(
            rows,
            lambda b, h, i: (real(1.0) / te.max(total[b, h, i], real(1.0))).astype("float32"),
            name="reciprocal",
        )

        def probability(b: Any, h: Any, i: Any, j: Any) -> ex.Expr:
            p = e[b, h, i, j] * reciprocal[b, h, i]
            if self.rounded[3] is not None:
                p = rounded_expression(p, scalars, 3 * SCALARS)
            return p.astype("float64")

        return te.compute(shape, probability, name="probabilities")


def _rounded(quantize: Quantize | None, values: Float32Array) -> Float32Array:
    return values if quantize is None else quantize.rounded(values)
