"""The i8mm extension's smmla: two rows by two channels of eight inputs each, into one vector of four sums."""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm import tirx
from tvm.script import tirx as T

from ..layout import PackedLayout
from ..vectors import widest_divisor
from .neon_tile import LANES, VECTOR_BYTES, Tile, register
from .regions import whole

LAYOUT = PackedLayout(8, 8)
"""Four vectors of two channels each."""
ROWS = PackedLayout(8, 8)
"""Packed activations: four vectors of two rows each."""
SMMLA = "llvm.aarch64.neon.smmla"
MOST_GROUPS = 8
"""Groups of eight inputs in one pass of the loop."""


@cache
def register_packed_smmla(rows: int, blocks: int, inputs: int) -> str:
    """Registers the tile of packed rows, a multiple of 8."""
    tile = Tile("smmla", rows, blocks, inputs, LAYOUT, ROWS)
    channels, groups = tile.channels, inputs // 8
    together = widest_divisor(groups, MOST_GROUPS)

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        stride_a = T.int32()
        stride_b = T.int32()
        stride_c = T.int32()
        A = T.match_buffer(a, tile.activation_shape, "int8", offset_factor=1, strides=[stride_a, 64, 8, 1])
        B = T.match_buffer(b, tile.weight_shape, "int8", offset_factor=1, strides=[stride_b, 64, 8, 1])
        C = T.match_buffer(c, (rows, channels), "int32", offset_factor=1, strides=[stride_c, 1])
        with T.sblock("root"):
            T.reads(whole(C), whole(A), whole(B))
            T.writes(whole(C))
            sums = T.alloc_buffer((rows // 2, channels // 2, LANES), "int32", scope="local")
            for pair in T.unroll(rows // 2):
                for column in T.unroll(channels // 2):
                    sums[pair, column, T.ramp(0, 1, LANES)] = T.broadcast(T.int32(0), LANES)
            for step in T.serial(groups // together):
                for group in T.unroll(together):
                    for column in T.unroll(channels // 2):
                        for pair in T.unroll(rows // 2):
                            sums[pair, column, T.ramp(0, 1, LANES)] = _multiply_add(
                                sums.vload([pair, column, 0], dtype="int32x4"),
                                A.vload([pair // 4, step * together + group, pair % 4 * 2, 0], dtype="int8x16"),
                                B.vload([column // 4, step * together + group, column % 4 * 2, 0], dtype="int8x16"),
                            )
            for row in T.unroll(rows):
                for vector in T.unroll(channels // LANES):
                    C[row, T.ramp(vector * LANES, 1, LANES)] = C.vload(
                        [row, vector * LANES], dtype="int32x4"
                    ) + _row_of_squares(
                        sums.vload([row // 2, vector * 2, 0], dtype="int32x4"),
                        sums.vload([row // 2, vector * 2 + 1, 0], dtype="int32x4"),
                        row % 2,
                    )

    return register(tile, implementation)


@cache
def register_smmla(rows: int, blocks: int, inputs: int) -> str:
    """Registers the tile of rows as they lie, any number: an odd last one is its own partner. ``inputs``: a multiple
    of 16."""
    tile = Tile("smmla", rows, blocks, inputs, LAYOUT)
    channels, pairs = tile.channels, (rows + 1) // 2

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        stride_a = T.int32()
        stride_b = T.int32()
        stride_c = T.int32()
        A = T.match_buffer(a, (rows, inputs), "int8", offset_factor=1, strides=[stride_a, 1])
        B = T.match_buffer(b, tile.weight_shape, "int8", offset_factor=1, strides=[stride_b, 64, 8, 1])
        C = T.match_buffer(c, (rows, channels), "int32", offset_factor=1, strides=[stride_c, 1])
        with T.sblock("root"):
            T.reads(whole(C), whole(A), whole(B))
            T.writes(whole(C))
            sums = T.alloc_buffer((pairs, channels // 2, LANES), "int32", scope="local")
            for pair in T.unroll(pairs):
                for column in T.unroll(channels // 2):
                    sums[pair, column, T.ramp(0, 1, LANES)] = T.broadcast(T.int32(0), LANES)
            for step in T.serial(inputs // VECTOR_BYTES):
                for half in T.unroll(2):
                    for column in T.unroll(channels // 2):
                        for pair in T.unroll(pairs):
                            sums[pair, column, T.ramp(0, 1, LANES)] = _multiply_add(
                                sums.vload([pair, column, 0], dtype="int32x4"),
                                _pair_of_rows(
                                    A.vload([pair * 2, step * VECTOR_BYTES], dtype="int8x16"),
                                    A.vload([T.min(pair * 2 + 1, rows - 1), step * VECTOR_BYTES], dtype="int8x16"),
                                    half,
                                ),
                                B.vload([column // 4, step * 2 + half, column % 4 * 2, 0], dtype="int8x16"),
                            )
            for row in T.unroll(rows):
                for vector in T.unroll(channels // LANES):
                    C[row, T.ramp(vector * LANES, 1, LANES)] = C.vload(
                        [row, vector * LANES], dtype="int32x4"
                    ) + _row_of_squares(
                        sums.vload([row // 2, vector * 2, 0], dtype="int32x4"),
                        sums.vload([row // 2, vector * 2 + 1, 0], dtype="int32x4"),
                        row % 2,
                    )

    return register(tile, implementation)


def _multiply_add(sums: Any, rows: Any, channels: Any) -> Any:
    return tirx.call_llvm_pure_intrin("int32x4", SMMLA, sums, rows, channels)


def _pair_of_rows(first: Any, second: Any, half: Any) -> Any:
    """Eight inputs of two rows: zip1 or zip2 of their 64-bit halves."""
    return tirx.Shuffle([first, second], [half * 8 + source * 16 + k for source in (0, 1) for k in range(8)])


def _row_of_squares(left: Any, right: Any, row: Any) -> Any:
    """One row of two squares of sums side by side."""
    return tirx.Shuffle([left, right], [row * 2, row * 2 + 1, row * 2 + 4, row * 2 + 5])
