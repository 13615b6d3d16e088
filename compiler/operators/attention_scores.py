"""Attention scores: the int32 dot products of queries and keys, one matrix a head.

The scale is ``query scale * key scale``; the 1 / sqrt(head dimension) of attention goes into the softmax's constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from tvm import te

from . import expressions as ex
from .fixed_point import NARROW_LIMIT, Int64Array
from .interval import Interval

OFFSET = 128


class OperandSigns(Enum):
    """Which signs the dot products of a schedule multiply: left operand (queries, probabilities) by right (keys,
    values). The result is the same integer; only the arithmetic that reaches it differs."""

    MIXED = "mixed"
    """Signed and unsigned on the left, as each product needs it."""
    UNSIGNED = "unsigned"
    """Unsigned by signed only (vpdpbusd)."""
    SIGNED = "signed"
    """Signed by signed only (sdot, smull)."""


@dataclass(frozen=True)
class AttentionScores:
    """``scores[.., i, j] = sum_d query[.., i, d] * key[.., j, d]``."""

    name: str
    head_dim: int

    def oracle(self, query: Int64Array, key: Int64Array) -> Int64Array:
        """query, key: [..., T, head_dim] narrow; [..., T, T]."""
        product = query.astype(np.float64) @ np.swapaxes(key, -1, -2).astype(np.float64)
        return product.astype(np.int64)

    def bounds(self) -> Interval:
        """The scores' range, with room for the 128 that unsigned kernels add to each key value."""
        narrow = Interval.symmetric(NARROW_LIMIT)
        (Interval(-255, 255) * narrow * (2 * self.head_dim)).require("int32", self.name, "the accumulator")
        return (narrow * narrow * self.head_dim).require("int32", self.name, "the scores")


def head_stage(qkv: Any, part: int, name: str, batch: int, length: int, heads: int, head_dim: int) -> Any:
    """TE: [batch, heads, length, head_dim] of ``qkv`` [batch * length, 3 * heads * head_dim]; part 0 holds the
    queries, 1 the keys, 2 the values. A copy that schedules inline, or lay out for their instruction."""
    offset = part * heads * head_dim
    return te.compute(
        (batch, heads, length, head_dim),
        lambda b, h, i, d: qkv[b * length + i, offset + h * head_dim + d],
        name=name,
    )


def key_stage(qkv: Any, batch: int, length: int, heads: int, head_dim: int, signs: OperandSigns) -> Any:
    """TE: the keys of ``qkv`` as :func:`head_stage`'s; as uint8 ``key + 128`` where one factor must be unsigned.

    That adds ``128 * sum_d query[i, d]`` to all scores of query i, of which only the differences matter.
    """
    if signs is not OperandSigns.UNSIGNED:
        return head_stage(qkv, 1, "key", batch, length, heads, head_dim)
    return te.compute(
        (batch, heads, length, head_dim),
        lambda b, h, j, d: (
            qkv[b * length + j, (heads + h) * head_dim + d].astype("int16") + ex.constant(OFFSET, "int16")
        ).astype("uint8"),
        name="key",
    )


def scores_stage(query: Any, key: Any) -> Any:
    """TE: [batch, heads, length, length] int32 from queries and keys [batch, heads, length, head_dim]."""
    batch, heads, length, head_dim = query.shape
    d = te.reduce_axis((0, head_dim), "d")

    def element(b: Any, h: Any, i: Any, j: Any) -> ex.Expr:
        return te.sum(query[b, h, i, d].astype("int32") * key[b, h, j, d].astype("int32"), axis=d)

    return te.compute((batch, heads, length, length), element, name="scores")
