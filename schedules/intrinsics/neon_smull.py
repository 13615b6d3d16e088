"""Armv8.0 has no dot product: smull and smlal2 add two products in each of eight int16 lanes, sadalp adds those up.

A is int8 and |B| <= 127: two products are at most 2 * 128 * 127 = 32512, exact. sadalp adds them to four int32 lanes
of one output channel, which are added up at the end (the scheme of ruy's NEON kernels).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm import tirx
from tvm.script import tirx as T

from ..layout import PackedLayout
from ..vectors import widest_divisor
from .neon_tile import LANES, VECTOR_BYTES, Tile, register
from .regions import whole

LAYOUT = PackedLayout(4, 16)
SMULL = "llvm.aarch64.neon.smull"
SADDLP = "llvm.aarch64.neon.saddlp"
ADDP = "llvm.aarch64.neon.addp"
ROWS = PackedLayout(4, 16)
"""Packed activations: vectors of four rows side by side, so that one ldp loads two of them."""
MOST_STEPS = 4
"""Vectors of inputs in one pass of the loop over packed rows."""


@cache
def register_smull(rows: int, blocks: int, inputs: int) -> str:
    """Registers the tile of rows as they lie. ``inputs``: a multiple of 16."""
    return _register(Tile("smull", rows, blocks, inputs, LAYOUT))


@cache
def register_packed_smull(rows: int, blocks: int, inputs: int) -> str:
    """Registers the tile of packed rows, a multiple of 4."""
    return _register(Tile("smull", rows, blocks, inputs, LAYOUT, ROWS))


def _register(tile: Tile) -> str:
    rows, blocks, channels, vectors = tile.rows, tile.blocks, tile.channels, tile.inputs // VECTOR_BYTES
    packed = tile.activations == ROWS
    together = widest_divisor(vectors, MOST_STEPS) if packed else 1

    def row_vector(buffer: Any, row: Any, vector: Any) -> Any:
        place = [row // 4, vector, row % 4, 0] if packed else [row, vector * VECTOR_BYTES]
        return buffer.vload(place, dtype="int8x16")

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        stride_a = T.int32()
        stride_b = T.int32()
        stride_c = T.int32()
        A = T.match_buffer(
            a, tile.activation_shape, "int8", offset_factor=1, strides=[stride_a, *tile.activation_strides]
        )
        B = T.match_buffer(b, tile.weight_shape, "int8", offset_factor=1, strides=[stride_b, *tile.weight_strides])
        C = T.match_buffer(c, (rows, channels), "int32", offset_factor=1, strides=[stride_c, 1])
        with T.sblock("root"):
            T.reads(whole(C), whole(A), whole(B))
            T.writes(whole(C))
            partial = T.alloc_buffer((rows, channels, LANES), "int32", scope="local")
            for row in T.unroll(rows):
                for channel in T.unroll(channels):
                    partial[row, channel, T.ramp(0, 1, LANES)] = T.broadcast(T.int32(0), LANES)
            for step in T.serial(vectors // together):
                for vector in T.unroll(together):
                    for channel in T.unroll(channels):
                        for row in T.unroll(rows):
                            partial[row, channel, T.ramp(0, 1, LANES)] = partial.vload(
                                [row, channel, 0], dtype="int32x4"
                            ) + _sums_of_four(
                                row_vector(A, row, step * together + vector),
                                B.vload(
                                    [channel // LANES, step * together + vector, channel % LANES, 0], dtype="int8x16"
                                ),
                            )
            for row in T.unroll(rows):
                for block in T.unroll(blocks):
                    C[row, T.ramp(block * LANES, 1, LANES)] = C.vload(
                        [row, block * LANES], dtype="int32x4"
                    ) + _pairwise_sums(
                        _pairwise_sums(
                            partial.vload([row, block * LANES, 0], dtype="int32x4"),
                            partial.vload([row, block * LANES + 1, 0], dtype="int32x4"),
                        ),
                        _pairwise_sums(
                            partial.vload([row, block * LANES + 2, 0], dtype="int32x4"),
                            partial.vload([row, block * LANES + 3, 0], dtype="int32x4"),
                        ),
                    )

    return register(tile, implementation)


def _sums_of_four(a: Any, b: Any) -> Any:
    low, high = (tirx.call_llvm_pure_intrin("int16x8", SMULL, _half(a, first), _half(b, first)) for first in (0, 8))
    return tirx.call_llvm_pure_intrin("int32x4", SADDLP, low + high)


def _half(vector: Any, first: int) -> Any:
    return tirx.Shuffle([vector], list(range(first, first + 8)))


def _pairwise_sums(a: Any, b: Any) -> Any:
    return tirx.call_llvm_pure_intrin("int32x4", ADDP, a, b)
