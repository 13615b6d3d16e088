"""Attention scores: the int32 dot products of queries and keys, one matrix a head.

The scale is ``query scale * key scale``; the 1 / sqrt(head dimension) of attention goes into the softmax's constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te

from . import expressions as ex
from .fixed_point import NARROW_LIMIT, Int64Array
from .interval import Interval


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
        """The scores' range, with room for the 128 that unsigned kernels add to each query value."""
        narrow = Interval.symmetric(NARROW_LIMIT)
        (Interval(-255, 255) * narrow * (2 * self.head_dim)).require("int32", self.name, "the accumulator")
        return (narrow * narrow * self.head_dim).require("int32", self.name, "the scores")


def scores_stage(qkv: Any, batch: int, length: int, heads: int, head_dim: int) -> Any:
    """TE: [batch, heads, length, length] int32 from ``qkv`` [batch * length, 3 * heads * head_dim] int8."""
    hidden = heads * head_dim
    d = te.reduce_axis((0, head_dim), "d")

    def element(b: Any, h: Any, i: Any, j: Any) -> ex.Expr:
        query = qkv[b * length + i, h * head_dim + d].astype("int32")
        key = qkv[b * length + j, hidden + h * head_dim + d].astype("int32")
        return te.sum(query * key, axis=d)

    return te.compute((batch, heads, length, length), element, name="scores")
