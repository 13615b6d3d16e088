"""Embedding: the sum of word, position and token-type rows, brought to one wide scale.

``saturate((word * m_w + position * m_p + token_type * m_t + 2^(shift-1)) >> shift)``; the multipliers are the ratios
of the tables' scales to the output scale, in fixed point with a common shift (I-BERT, Kim et al. 2021, sums the
embeddings in 16 bits).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te

from ...errors import BoundsError
from . import expressions as ex
from .fixed_point import WIDE_LIMIT, Int64Array, rounding_shift_right, saturate
from .interval import Interval

MAX_MULTIPLIER = 2**16


@dataclass(frozen=True)
class Embedding:
    """Token ids to wide rows; tables are int8."""

    name: str
    word: NDArray[np.int8]
    position: NDArray[np.int8]
    """[positions, H]: row 0 belongs to the first token."""
    token_type: NDArray[np.int8] | None
    multipliers: tuple[int, ...]
    shift: int

    @classmethod
    def from_scales(
        cls,
        name: str,
        word: tuple[NDArray[np.int8], float],
        position: tuple[NDArray[np.int8], float],
        token_type: tuple[NDArray[np.int8], float] | None,
        output_scale: float,
    ) -> Embedding:
        """Each table comes with its scale."""
        tables = [word, position, *([] if token_type is None else [token_type])]
        ratios = [scale / output_scale for _, scale in tables]
        largest = max(ratios)
        shift = math.floor(math.log2(MAX_MULTIPLIER / largest)) if 2.0**-30 < largest < 2.0**30 else 0
        if not 1 <= shift <= 30:
            raise BoundsError(
                f"{name}: the tables' scales are {largest:.3g} times the output scale; quantize again with more "
                "calibration data"
            )
        multipliers = tuple(math.floor(ratio * 2.0**shift + 0.5) for ratio in ratios)
        return cls(name, word[0], position[0], None if token_type is None else token_type[0], multipliers, shift)

    def oracle(self, ids: Int64Array, token_types: Int64Array | None = None) -> Int64Array:
        """ids, token_types: [batch, length]; [batch * length, H] wide."""
        length = ids.shape[1]
        total = self.word[ids].astype(np.int64) * self.multipliers[0]
        total = total + self.position[:length].astype(np.int64) * self.multipliers[1]
        if self.token_type is not None:
            assert token_types is not None
            total = total + self.token_type[token_types].astype(np.int64) * self.multipliers[2]
        wide = saturate(rounding_shift_right(total, self.shift), WIDE_LIMIT)
        return wide.reshape(-1, wide.shape[-1])

    def bounds(self) -> Interval:
        """The output's range; BoundsError where the sum could overflow."""
        total = Interval.symmetric(128) * sum(self.multipliers) + (1 << self.shift >> 1)
        total.require("int32", self.name, "the sum of the tables")
        return Interval.symmetric(WIDE_LIMIT)

    def parameters(self) -> list[NDArray[Any]]:
        """The kernel's constants in the order of its arguments."""
        tables = [self.word, self.position, *([] if self.token_type is None else [self.token_type])]
        return [*tables, np.array([self.shift, 1 << self.shift >> 1, *self.multipliers], np.int32)]


def embedding_kernel(embedding: Embedding, batch: int, length: int) -> Any:
    """The unscheduled PrimFunc: arguments ids, [token_types], word, position, [token_type], scalars, wide."""
    vocabulary, hidden = embedding.word.shape
    ids = te.placeholder((batch, length), "int32", name="ids")
    word = te.placeholder((vocabulary, hidden), "int8", name="word")
    position = te.placeholder(embedding.position.shape, "int8", name="position")
    scalars = te.placeholder((2 + len(embedding.multipliers),), "int32", name="scalars")
    inputs, tables = [ids], [word, position]
    if embedding.token_type is not None:
        inputs.append(te.placeholder((batch, length), "int32", name="token_types"))
        tables.append(te.placeholder(embedding.token_type.shape, "int8", name="token_type"))

    def element(row: Any, channel: Any) -> ex.Expr:
        b, i = row // length, row % length
        rows = [ids[b, i], i, *(types[b, i] for types in inputs[1:])]
        total = scalars[1]
        for index, (table, table_row) in enumerate(zip(tables, rows, strict=True)):
            total = total + table[table_row, channel].astype("int32") * scalars[2 + index]
        return ex.clamp(total >> scalars[0], -WIDE_LIMIT, WIDE_LIMIT).astype("int16")

    wide = te.compute((batch * length, hidden), element, name="wide")
    return te.create_prim_func([*inputs, *tables, scalars, wide])
