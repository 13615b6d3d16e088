"""AVX-512 VBMI: four tables of 16 bytes in a register; vpermb reads 64 entries, vpdpbusd adds four to each channel."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from tvm import tirx
from tvm.script import tirx as T

from ..lookup.format import LookupFormat
from .constants import constant_vector
from .lookup_tile import LookupTile, register_lookup_tile, register_table_row
from .regions import whole

VECTOR_BYTES = 64
LANES = 16
"""int32 lanes of a vector."""
TABLE_OF_BYTE = 0x30201000
"""What leads the four indices of a channel to the four tables of a register."""
ONES = 0x01010101


@cache
def register_tile(layout: LookupFormat, tile: LookupTile) -> str:
    """Registers the sums of the tile over all groups; the intrinsic's name.

    Table entries are unsigned bytes: what was added to make them so is the caller's to take off.
    """
    rows, blocks, channels = tile.rows, tile.blocks, tile.blocks * LANES
    chunk = max(1, min(layout.steps, tile.vectors // layout.fields))
    chunks = -(-layout.steps // chunk)

    def words(value: int) -> Any:
        return T.reinterpret("uint8x64", T.broadcast(T.int32(value), LANES))

    def field(indices: Any, number: Any) -> Any:
        shifted = indices >> T.broadcast(T.cast(number * 4, "uint8"), VECTOR_BYTES)
        return (shifted & T.broadcast(T.uint8(15), VECTOR_BYTES)) | words(TABLE_OF_BYTE)

    def look_up(table: Any, indices: Any) -> Any:
        table, indices = (T.reinterpret("int8x64", vector) for vector in (table, indices))
        return tirx.call_llvm_pure_intrin("int8x64", "llvm.x86.avx512.permvar.qi.512", table, indices)

    def add_fours(sums: Any, entries: Any) -> Any:
        ones = T.reinterpret("int8x64", words(ONES))
        return tirx.call_llvm_pure_intrin("int32x16", "llvm.x86.avx512.vpdpbusd.512", sums, entries, ones)

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        stride_a = T.int32()
        stride_b = T.int32()
        stride_c = T.int32()
        A = T.match_buffer(
            a, (layout.table_vectors, rows, VECTOR_BYTES), "uint8", offset_factor=1, strides=[stride_a, VECTOR_BYTES, 1]
        )
        B = T.match_buffer(
            b,
            (tile.groups * blocks, layout.steps, LANES, 4),
            "uint8",
            offset_factor=1,
            strides=[stride_b, VECTOR_BYTES, 4, 1],
        )
        C = T.match_buffer(c, (rows, tile.groups * channels), "int32", offset_factor=1, strides=[stride_c, 1])
        with T.sblock("root"):
            T.reads(whole(A), whole(B), whole(C))
            T.writes(whole(C))
            sums = T.alloc_buffer((rows, channels), "int32", scope="local")
            for start, group in T.grid(chunks, tile.groups):
                for row in T.unroll(rows):
                    for block in T.unroll(blocks):
                        sums[row, T.ramp(block * LANES, 1, LANES)] = C.vload(
                            [row, group * channels + block * LANES], dtype="int32x16"
                        )
                for number in T.unroll(layout.fields):
                    for step in T.serial(T.min(chunk, layout.steps - start * chunk)):
                        for row in T.unroll(rows):
                            for block in T.unroll(blocks):
                                sums[row, T.ramp(block * LANES, 1, LANES)] = add_fours(
                                    sums.vload([row, block * LANES], dtype="int32x16"),
                                    look_up(
                                        A.vload(
                                            [number * layout.steps + start * chunk + step, row, 0],
                                            dtype="uint8x64",
                                        ),
                                        field(
                                            B.vload(
                                                [group * blocks + block, start * chunk + step, 0, 0],
                                                dtype="uint8x64",
                                            ),
                                            number,
                                        ),
                                    ),
                                )
                for row in T.unroll(rows):
                    for block in T.unroll(blocks):
                        C[row, T.ramp(group * channels + block * LANES, 1, LANES)] = sums.vload(
                            [row, block * LANES], dtype="int32x16"
                        )

    return register_lookup_tile("vpermb", layout, "uint8", tile, implementation)


@cache
def register_tables(layout: LookupFormat, zero_point: int, reach: int) -> str:
    """Registers the tables of a row of uint8 activations with ``zero_point``, to each entry its :func:`bias` added.

    A 128-bit lane of the register is a table, a quarter of which each of four vpdpbusd computes.
    """
    inputs, vectors, group = layout.inputs, layout.table_vectors, layout.group
    inputs_of_vector = group * layout.tables
    complete = inputs // inputs_of_vector
    weights = np.zeros((layout.entries, 4), np.int64)
    weights[:, :group] = layout.table_weights()

    def quarter(activations: Any, number: int) -> Any:
        entries = weights[number * 4 : number * 4 + 4]
        start = bias(layout, reach) - zero_point * entries.sum(axis=1)
        return tirx.call_llvm_pure_intrin(
            "int32x16",
            "llvm.x86.avx512.vpdpbusd.512",
            constant_vector(start.tolist() * 4, "int32"),
            activations,
            constant_vector(entries.ravel().tolist() * 4, "int8"),
        )

    def pack(dtype: str, name: str, low: Any, high: Any) -> Any:
        return tirx.call_llvm_pure_intrin(dtype, f"llvm.x86.avx512.{name}.512", low, high)

    def table_vector(activations: Any) -> Any:
        groups = T.reinterpret(f"int{8 * group}x4", activations)
        copies = LANES // group
        spread = tirx.Shuffle([groups] * copies, [lane // copies for lane in range(4 * copies)])
        quarters = [quarter(T.reinterpret("int8x64", spread), number) for number in range(4)]
        halves = [pack("int16x32", "packusdw", *quarters[at : at + 2]) for at in (0, 2)]
        return T.reinterpret("uint8x64", pack("int8x64", "packuswb", *halves))

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, t: T.handle) -> None:
        stride_t = T.int32()
        A = T.match_buffer(a, (inputs,), "uint8", offset_factor=1)
        tables = T.match_buffer(
            t, (vectors, 1, VECTOR_BYTES), "uint8", offset_factor=1, strides=[stride_t, VECTOR_BYTES, 1]
        )
        with T.sblock("root"):
            T.reads(whole(A))
            T.writes(whole(tables))
            for vector in T.serial(complete):
                tables[vector, 0, T.ramp(0, 1, VECTOR_BYTES)] = table_vector(
                    A.vload([vector * inputs_of_vector], dtype=f"uint8x{inputs_of_vector}")
                )
            for vector in T.serial(vectors - complete):
                tables[complete + vector, 0, T.ramp(0, 1, VECTOR_BYTES)] = T.broadcast(
                    T.uint8(bias(layout, reach)), VECTOR_BYTES
                )

    return register_table_row(f"vpermb_{zero_point}_{reach}", layout, "uint8", "uint8", implementation)


def fits(layout: LookupFormat, reach: int) -> bool:
    """Whether an entry, with its bias, is an unsigned byte."""
    return 2 * bias(layout, reach) <= np.iinfo(np.uint8).max


def bias(layout: LookupFormat, reach: int) -> int:
    """What makes the entries of tables of activations of at most ``reach`` in magnitude unsigned."""
    return layout.group * layout.levels.largest * reach
