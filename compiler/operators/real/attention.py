"""Multi-head self-attention in float, from the accumulators of the queries, keys and values.

``q``, ``k``, ``v`` are float32, quantized and dequantized where the model says so, perhaps repeatedly. For
each head, sums in float64:

1. ``s = float32(sum_d q k * c)``, from the first channel to the last; ``c = 1 / sqrt(head dimension)`` in float64;
   quantized and dequantized where the model says so.
2. ``e = float32(exp(float32(s - largest)))`` over the unmasked keys, 0 at the masked ones.
3. ``r = float32(1 / max(sum(e), 1))``, the sum in lanes of keys; the largest key alone gives 1, so only a row whose
   keys are all masked is below it, and its probabilities are 0.
4. ``p = float32(e r)``, quantized and dequantized where the model says so.
5. ``context = float32(sum_j p v)``, from the first key to the last, quantized for the next linear.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te

from .. import expressions as ex
from .elementwise import quantized_range
from .functions import exponential, exponential_expression, real
from .operator import Extents, Plan, RealOperator
from .quantize import (
    SCALARS,
    Float32Array,
    Quantize,
    Roundings,
    quantized_expression,
    reach,
    rounded,
    rounded_chain,
    scalars_of,
)
from .ranges import Bounded, Range
from .sources import Source
from .sums import lane_sum, lane_sum_stages

MASKED_SCORE = -(2.0**126)
PARTS = ("query", "key", "value")


@dataclass(frozen=True)
class AttentionRoundings:
    """How the values inside attention are quantized and dequantized, if they are."""

    query: Roundings = ()
    key: Roundings = ()
    value: Roundings = ()
    scores: Roundings = ()
    probabilities: Roundings = ()

    def __iter__(self) -> Iterator[Roundings]:
        return iter((self.query, self.key, self.value, self.scores, self.probabilities))


@dataclass(frozen=True)
class RealAttention(RealOperator):
    """Source [rows, 3 * hidden] (queries, keys, values side by side) and mask [batch, length] to [rows, hidden]."""

    name: str
    heads: int
    head_dim: int
    source: Source
    rounded: AttentionRoundings
    quantize: Quantize | None = None

    @property
    def plan(self) -> Plan:
        return Plan.ATTENTION

    @property
    def structure(self) -> Hashable:
        lengths = tuple(len(roundings) for roundings in self.rounded)
        return RealAttention, self.heads, self.head_dim, self.source.kind, lengths, self.quantize is None

    @property
    def attention_heads(self) -> int:
        return self.heads

    @property
    def inputs(self) -> int:
        return self.source.inputs + 1

    def parameters(self) -> list[NDArray[Any]]:
        return [*self.source.parameters(), *scalars_of(*self._quantizations)]

    @property
    def _quantizations(self) -> list[Quantize]:
        """In the order of the kernel's constants."""
        last = [] if self.quantize is None else [self.quantize]
        return [*(quantize for roundings in self.rounded for quantize in roundings), *last]

    def oracle(self, *inputs: Any) -> Any:
        mask = inputs[-1]
        batch, length = mask.shape
        values = self.source.oracle(*inputs[:-1]).astype(np.float32)
        parts = values.reshape(batch, length, 3, self.heads, self.head_dim).transpose(2, 0, 3, 1, 4)
        query, key, value = (
            rounded(roundings, part).astype(np.float64)
            for roundings, part in zip(list(self.rounded)[:3], parts, strict=True)
        )
        scores = np.zeros((batch, self.heads, length, length))
        for d in range(self.head_dim):
            scores = scores + query[..., :, None, d] * key[..., None, :, d]
        scaled = rounded(self.rounded.scores, (scores * self._factor).astype(np.float32))
        probabilities = self._probabilities(scaled, mask[:, None, None, :] != 0)
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
        return rounded(self.rounded.probabilities, e * reciprocal[..., None]).astype(np.float64)

    @property
    def _factor(self) -> float:
        return 1 / math.sqrt(self.head_dim)

    def bounds(self, length: int, *inputs: Bounded) -> Range:
        values = self.source.bounds(self.name, *inputs[:-1])
        query, key, value = (reach(roundings, values.magnitude) for roundings in list(self.rounded)[:3])
        score = Range.symmetric(query * key * math.sqrt(self.head_dim)).require(self.name, "a score")
        Range.symmetric(reach(self.rounded.scores, score.magnitude)).require(self.name, "a rounded score")
        # Rounded probabilities need not sum to 1.
        probabilities = self.rounded.probabilities
        total = length * reach(probabilities, 1.0) if probabilities else 1.0
        context = Range.symmetric(value * total).require(self.name, "the context")
        return quantized_range(self.quantize, context)

    def kernel(self, extents: Extents) -> Any:
        batch, length, rows = extents.batch, extents.length, extents.rows
        heads, size = self.heads, self.head_dim
        source = self.source.staged(batch, rows, extents.channels)
        mask = te.placeholder((batch, length), "int32", name="mask")
        count = len(self._quantizations)
        scalars = te.placeholder((max(1, count) * SCALARS,), "float32", name="scalars")
        ends = np.cumsum([0, *(len(roundings) for roundings in self.rounded)])
        first = [int(end) * SCALARS for end in ends]

        def part(index: int) -> Any:
            def element(b: Any, h: Any, i: Any, d: Any) -> ex.Expr:
                value = source.element(b * length + i, (index * heads + h) * size + d).astype("float32")
                return rounded_chain(value, list(self.rounded)[index], scalars, first[index]).astype("float64")

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
            scaled = rounded_chain(scaled, self.rounded.scores, scalars, first[3])
            return ex.select(mask[b, j] != 0, scaled, real(MASKED_SCORE).astype("float32"))

        scores = te.compute((batch, heads, length, length), score, name="scores")
        probabilities = self._probability_stages(scores, mask, scalars, first[4])
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
            return quantized_expression(result, scalars, first[5], extents.output_zero_point)

        output = te.compute((rows, heads * size), element, name="output")
        constants = [*source.constants, *([scalars] if count else [])]
        return te.create_prim_func([*source.inputs, mask, *constants, output])

    def _probability_stages(self, scores: Any, mask: Any, scalars: Any, first: int) -> Any:
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
            return rounded_chain(p, self.rounded.probabilities, scalars, first).astype("float64")

        return te.compute(shape, probability, name="probabilities")
