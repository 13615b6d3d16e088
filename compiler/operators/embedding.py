"""Embedding: the sum of word, position and token-type rows, brought to one wide scale.

``saturate((word * m_w + position * m_p + token_type * m_t + 2^(shift-1)) >> shift)``; the multipliers are the ratios
of the tables' scales to the output scale, in fixed point with a common shift (I-BERT, Kim et al. 2021, sums the
embeddings in 16 bits). A table with a scale per row has a multiplier per row.

Tables of fewer than 8 bits lie in the artifact packed, row by row; the kernel unpacks the rows that it gathers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tvm import te

from ...errors import BoundsError
from ..packing import Packing
from . import expressions as ex
from .fixed_point import WIDE_LIMIT, Int64Array, rounding_shift_right, saturate
from .interval import Interval
from .unpack import chunk_length, unpack_expression

MAX_MULTIPLIER = 2**16
TABLES = ("word", "position", "token_type")
Scale: TypeAlias = float | NDArray[np.float64]
"""One scale, or one per row of the table."""


@dataclass(frozen=True)
class Embedding:
    """Token ids to wide rows; tables are int8."""

    name: str
    word: NDArray[np.int8]
    position: NDArray[np.int8]
    """[positions, H]: row 0 belongs to the first token."""
    token_type: NDArray[np.int8] | None
    multipliers: tuple[int | NDArray[np.int32], ...]
    """Of each table, one or [rows]."""
    shift: int
    packings: tuple[Packing | None, ...] = (None, None, None)
    """Of each table, how the kernel's constants hold it; None: as int8."""

    @classmethod
    def from_scales(
        cls,
        name: str,
        word: tuple[NDArray[np.int8], Scale],
        position: tuple[NDArray[np.int8], Scale],
        token_type: tuple[NDArray[np.int8], Scale] | None,
        output_scale: float,
        packings: tuple[Packing | None, ...] = (None, None, None),
    ) -> Embedding:
        """Each table comes with its scale, or the scales of its rows."""
        tables = [word, position, *([] if token_type is None else [token_type])]
        ratios = [np.asarray(scale, np.float64) / output_scale for _, scale in tables]
        largest = max(float(ratio.max()) for ratio in ratios)
        shift = math.floor(math.log2(MAX_MULTIPLIER / largest)) if 2.0**-30 < largest < 2.0**30 else 0
        if not 1 <= shift <= 30:
            raise BoundsError(
                f"{name}: the tables' scales are {largest:.3g} times the output scale; quantize again with more "
                "calibration data"
            )
        rounded = [np.floor(ratio * 2.0**shift + 0.5).astype(np.int32) for ratio in ratios]
        multipliers = tuple(multiplier if multiplier.ndim else int(multiplier) for multiplier in rounded)
        types = None if token_type is None else token_type[0]
        return cls(name, word[0], position[0], types, multipliers, shift, packings)

    @property
    def tables(self) -> tuple[NDArray[np.int8], ...]:
        """Word, position and, if there are any, token types."""
        return (self.word, self.position, *(() if self.token_type is None else (self.token_type,)))

    def table_packings(self) -> list[tuple[str, Packing | None]]:
        """The tables' names, and how they are held."""
        return list(zip(TABLES[: len(self.tables)], self.packings, strict=False))

    @property
    def kind(self) -> tuple[tuple[Packing | None, bool], ...]:
        """Of each table, what is compiled into the kernel: its packing, and whether every row has a multiplier."""
        return tuple(
            (packing, not isinstance(multiplier, int))
            for packing, multiplier in zip(self.packings, self.multipliers, strict=False)
        )

    @property
    def contiguous_channels(self) -> int:
        """Channels whose values lie side by side in every table; vectors hold a divisor of them."""
        hidden = self.word.shape[1]
        packed = any(packing is not None for packing, _ in self.kind)
        return math.gcd(hidden, chunk_length(hidden)) if packed else hidden

    def oracle(self, ids: Int64Array, token_types: Int64Array | None = None) -> Int64Array:
        """ids, token_types: [batch, length]; [batch * length, H] wide."""
        rows: list[Any] = [ids, slice(0, ids.shape[1]), token_types]
        total = np.int64(0)
        for table, multiplier, row in zip(self.tables, self.multipliers, rows, strict=False):
            factor = multiplier if isinstance(multiplier, int) else multiplier[row].astype(np.int64)[..., None]
            total = total + table[row].astype(np.int64) * factor
        wide = saturate(rounding_shift_right(np.asarray(total), self.shift), WIDE_LIMIT)
        return wide.reshape(-1, wide.shape[-1])

    def bounds(self) -> Interval:
        """The output's range; BoundsError where the sum could overflow."""
        largest = sum(int(np.max(multiplier)) for multiplier in self.multipliers)
        total = Interval.symmetric(128) * largest + (1 << self.shift >> 1)
        total.require("int32", self.name, "the sum of the tables")
        return Interval.symmetric(WIDE_LIMIT)

    def parameters(self) -> list[NDArray[Any]]:
        """The kernel's constants in the order of its arguments."""
        tables = [
            table if packing is None else packing.pack(table)
            for table, packing in zip(self.tables, self.packings, strict=False)
        ]
        scalars = [multiplier if isinstance(multiplier, int) else 0 for multiplier in self.multipliers]
        rows = [multiplier for multiplier in self.multipliers if not isinstance(multiplier, int)]
        return [*tables, np.array([self.shift, 1 << self.shift >> 1, *scalars], np.int32), *rows]


def _table_placeholder(name: str, table: NDArray[np.int8], packing: Packing | None) -> Any:
    if packing is None:
        return te.placeholder(table.shape, "int8", name=name)
    return te.placeholder((len(table), packing.bytes(table.shape[1])), "uint8", name=f"packed_{name}")


def embedding_kernel(embedding: Embedding, batch: int, length: int) -> Any:
    """The unscheduled PrimFunc: arguments ids, [token_types], word, position, [token_type], scalars, [multipliers of
    the tables that have one a row], wide."""
    hidden = embedding.word.shape[1]
    ids = te.placeholder((batch, length), "int32", name="ids")
    types = [te.placeholder((batch, length), "int32", name="token_types")] if embedding.token_type is not None else []
    tables = [
        _table_placeholder(name, table, packing)
        for name, table, packing in zip(TABLES, embedding.tables, embedding.packings, strict=False)
    ]
    scalars = te.placeholder((2 + len(tables),), "int32", name="scalars")
    row_multipliers = {
        index: te.placeholder(multiplier.shape, "int32", name=f"{TABLES[index]}_multipliers")
        for index, multiplier in enumerate(embedding.multipliers)
        if not isinstance(multiplier, int)
    }

    def value(index: int, row: Any, channel: Any) -> ex.Expr:
        packing, table = embedding.packings[index], tables[index]
        if packing is None:
            return table[row, channel]
        return unpack_expression(packing, hidden, lambda byte: table[row, byte], channel).astype("int8")

    def element(position: Any, channel: Any) -> ex.Expr:
        b, i = position // length, position % length
        total = scalars[1]
        for index, row in enumerate([ids[b, i], i, *(kinds[b, i] for kinds in types)]):
            multiplier = row_multipliers[index][row] if index in row_multipliers else scalars[2 + index]
            total = total + value(index, row, channel).astype("int32") * multiplier
        return ex.clamp(total >> scalars[0], -WIDE_LIMIT, WIDE_LIMIT).astype("int16")

    wide = te.compute((batch * length, hidden), element, name="wide")
    return te.create_prim_func([ids, *types, *tables, scalars, *row_multipliers.values(), wide])
