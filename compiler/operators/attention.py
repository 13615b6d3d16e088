"""Multi-head self-attention: scores, masked softmax and values of all heads, as one kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te

from .attention_scores import AttentionScores, OperandSigns, head_stage, key_stage, scores_stage
from .attention_values import AttentionValues, values_stages
from .fixed_point import Int64Array
from .interval import Interval
from .masked_softmax import MaskedSoftmax, softmax_stages
from .value_range import NARROW, Range


@dataclass(frozen=True)
class Attention:
    """``context = softmax(query key^T) value``, head by head; every narrow tensor has one scale."""

    name: str
    heads: int
    scores: AttentionScores
    softmax: MaskedSoftmax
    values: AttentionValues

    @property
    def output(self) -> Range:
        """The context's."""
        return self.values.requantize.output

    @property
    def head_dim(self) -> int:
        """Channels of one head."""
        return self.scores.head_dim

    def oracle(self, qkv: Int64Array, mask: Int64Array) -> Int64Array:
        """qkv: [batch * length, 3 * hidden] narrow (queries, keys, values side by side); mask: [batch, length] of
        0 and 1; [batch * length, hidden] narrow."""
        batch, length = mask.shape
        parts = qkv.reshape(batch, length, 3, self.heads, self.head_dim).transpose(2, 0, 3, 1, 4)
        scores = self.scores.oracle(parts[0], parts[1])
        probabilities = self.softmax.oracle(scores, mask[:, None, None, :])
        context = self.values.oracle(probabilities, parts[2])
        return context.transpose(0, 2, 1, 3).reshape(batch * length, self.heads * self.head_dim)

    def bounds(self, length: int) -> Interval:
        """The context's range for sequences of up to ``length`` tokens."""
        self.softmax.bounds(self.scores.bounds(), length)
        return self.values.bounds(length)

    def parameters(self) -> list[NDArray[Any]]:
        """The kernel's constants in the order of its arguments."""
        return [np.array([*self.softmax.scalars(), *self.values.scalars()], np.int32)]


SCALARS = 7
VALUES_FIRST_SCALAR = 4


def attention_kernel(
    batch: int,
    length: int,
    heads: int,
    head_dim: int,
    output_zero_point: int,
    signs: OperandSigns = OperandSigns.MIXED,
    output: Range = NARROW,
) -> Any:
    """The unscheduled PrimFunc: arguments qkv (int8), mask (int32), scalars, context."""
    qkv = te.placeholder((batch * length, 3 * heads * head_dim), "int8", name="qkv")
    mask = te.placeholder((batch, length), "int32", name="mask")
    scalars = te.placeholder((SCALARS + len(output.scalars()),), "int32", name="scalars")
    query, value, value_rows = (
        head_stage(qkv, part, name, batch, length, heads, head_dim)
        for part, name in ((0, "query"), (2, "value"), (2, "value_rows"))
    )
    key = key_stage(qkv, batch, length, heads, head_dim, signs)
    probabilities = softmax_stages(scores_stage(query, key), mask, scalars)
    context = values_stages(
        probabilities, value, value_rows, scalars, VALUES_FIRST_SCALAR, output_zero_point, signs, output
    )
    return te.create_prim_func([qkv, mask, scalars, context])
