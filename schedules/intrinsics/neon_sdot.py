"""Armv8.2's sdot: four products a lane, by four bytes that are one of the four lanes of a vector."""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm import tirx
from tvm.script import tirx as T

from ..layout import PackedLayout
from ..vectors import widest_divisor
from .neon_tile import LANES, VECTOR_BYTES, Tile, register
from .regions import whole

LAYOUT = PackedLayout(8, 4)
"""Two vectors side by side, so that one ldp loads them."""
ROWS = PackedLayout(8, 4)
"""Packed activations: two vectors of four rows each, so that one ldp loads what eight rows multiply."""
SDOT = "llvm.aarch64.neon.sdot"
MOST_GROUPS = 16
"""Groups of four inputs in one pass of the loop."""


def _multiply_add(accumulators: Any, weights: Any, activations: Any, lane: Any) -> Any:
    words = T.reinterpret("int32x4", activations)
    by_lane = T.reinterpret("int8x16", tirx.Shuffle([words], [lane] * LANES))
    return tirx.call_llvm_pure_intrin("int32x4", SDOT, accumulators, weights, by_lane)


@cache
def register_sdot(rows: int, blocks: int, inputs: int) -> str:
    """Registers the tile of rows as they lie: a row's 16 activations are one load. ``inputs``: a multiple of 16."""
    tile = Tile("sdot", rows, blocks, inputs, LAYOUT)
    channels = tile.channels

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        stride_a = T.int32()
        stride_b = T.int32()
        stride_c = T.int32()
        A = T.match_buffer(a, (rows, inputs), "int8", offset_factor=1, strides=[stride_a, 1])
        B = T.match_buffer(b, (blocks, inputs // 4, 8, 4), "int8", offset_factor=1, strides=[stride_b, 32, 4, 1])
        C = T.match_buffer(c, (rows, channels), "int32", offset_factor=1, strides=[stride_c, 1])
        with T.sblock("root"):
            T.reads(whole(C), whole(A), whole(B))
            T.writes(whole(C))
            for step in T.serial(inputs // VECTOR_BYTES):
                for group in T.unroll(4):
                    for block in T.unroll(blocks):
                        for row in T.unroll(rows):
                            for half in T.unroll(2):
                                C[row, T.ramp(block * 8 + half * LANES, 1, LANES)] = _multiply_add(
                                    C.vload([row, block * 8 + half * LANES], dtype="int32x4"),
                                    B.vload([block, step * 4 + group, half * LANES, 0], dtype="int8x16"),
                                    A.vload([row, step * VECTOR_BYTES], dtype="int8x16"),
                                    group,
                                )

    return register(tile, implementation)


@cache
def register_packed_sdot(rows: int, blocks: int, inputs: int) -> str:
    """Registers the tile of packed rows, a multiple of 8: one load brings the activations of four rows."""
    tile = Tile("sdot", rows, blocks, inputs, LAYOUT, ROWS)
    channels, groups = tile.channels, inputs // 4
    together = widest_divisor(groups, MOST_GROUPS)

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        stride_a = T.int32()
        stride_b = T.int32()
        stride_c = T.int32()
        A = T.match_buffer(a, tile.activation_shape, "int8", offset_factor=1, strides=[stride_a, 32, 4, 1])
        B = T.match_buffer(b, tile.weight_shape, "int8", offset_factor=1, strides=[stride_b, 32, 4, 1])
        C = T.match_buffer(c, (rows, channels), "int32", offset_factor=1, strides=[stride_c, 1])
        with T.sblock("root"):
            T.reads(whole(C), whole(A), whole(B))
            T.writes(whole(C))
            for step in T.serial(groups // together):
                for group in T.unroll(together):
                    for vector in T.unroll(channels // LANES):
                        for row in T.unroll(rows):
                            C[row, T.ramp(vector * LANES, 1, LANES)] = _multiply_add(
                                C.vload([row, vector * LANES], dtype="int32x4"),
                                B.vload([vector // 2, step * together + group, vector % 2 * LANES, 0], dtype="int8x16"),
                                A.vload(
                                    [row // 8, step * together + group, row % 8 // LANES * LANES, 0], dtype="int8x16"
                                ),
                                row % LANES,
                            )

    return register(tile, implementation)
