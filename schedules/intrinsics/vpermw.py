"""AVX-512: a table of 32 int16 entries in a register; vpermw reads one of them for each of 32 channels."""

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

ENTRIES = 32
LANES = 16
"""int32 lanes of a vector."""
WORD = 4
"""Activations that one vpdpbusd multiplies."""
INT16_LIMIT = 2**15 - 1


@cache
def register_tile(layout: LookupFormat, tile: LookupTile, reach: int) -> str:
    """Registers the sums of the tile over all groups; the intrinsic's name.

    Sums are kept in int16 for as many groups as activations of at most ``reach`` in magnitude allow.
    """
    rows, blocks, channels = tile.rows, tile.blocks, tile.blocks * ENTRIES
    chunk = min(layout.steps, tile.vectors, layout.most_lookups(reach, INT16_LIMIT))
    chunks = -(-layout.steps // chunk)

    def field(indices: Any, number: Any) -> Any:
        return indices >> T.broadcast(T.cast(number * layout.field_bits, "uint16"), ENTRIES)

    def look_up(table: Any, indices: Any) -> Any:
        words = T.reinterpret("int16x32", indices)
        return tirx.call_llvm_pure_intrin("int16x32", "llvm.x86.avx512.permvar.hi.512", table, words)

    def half(sums: Any, number: Any) -> Any:
        return T.cast(tirx.Shuffle([sums], [number * LANES + lane for lane in range(LANES)]), "int32x16")

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        stride_a = T.int32()
        stride_b = T.int32()
        stride_c = T.int32()
        A = T.match_buffer(
            a, (layout.table_vectors, rows, ENTRIES), "int16", offset_factor=1, strides=[stride_a, ENTRIES, 1]
        )
        B = T.match_buffer(
            b,
            (tile.groups * blocks, layout.steps, ENTRIES, 1),
            "uint16",
            offset_factor=1,
            strides=[stride_b, ENTRIES, 1, 1],
        )
        C = T.match_buffer(c, (rows, tile.groups * channels), "int32", offset_factor=1, strides=[stride_c, 1])
        with T.sblock("root"):
            T.reads(whole(A), whole(B), whole(C))
            T.writes(whole(C))
            partial = T.alloc_buffer((rows, channels), "int16", scope="local")
            for number in T.unroll(layout.fields):
                for start, group in T.grid(chunks, tile.groups):
                    for row in T.unroll(rows):
                        for block in T.unroll(blocks):
                            partial[row, T.ramp(block * ENTRIES, 1, ENTRIES)] = T.broadcast(T.int16(0), ENTRIES)
                    for step in T.serial(T.min(chunk, layout.steps - start * chunk)):
                        for row in T.unroll(rows):
                            for block in T.unroll(blocks):
                                partial[row, T.ramp(block * ENTRIES, 1, ENTRIES)] = partial.vload(
                                    [row, block * ENTRIES], dtype="int16x32"
                                ) + look_up(
                                    A.vload([number * layout.steps + start * chunk + step, row, 0], dtype="int16x32"),
                                    field(
                                        B.vload(
                                            [group * blocks + block, start * chunk + step, 0, 0], dtype="uint16x32"
                                        ),
                                        number,
                                    ),
                                )
                    for row in T.unroll(rows):
                        for block in T.unroll(blocks):
                            for part in T.unroll(2):
                                C[row, T.ramp(group * channels + block * ENTRIES + part * LANES, 1, LANES)] = C.vload(
                                    [row, group * channels + block * ENTRIES + part * LANES], dtype="int32x16"
                                ) + half(partial.vload([row, block * ENTRIES], dtype="int16x32"), part)

    return register_lookup_tile(f"vpermw_{reach}", layout, "int16", tile, implementation)


@cache
def register_tables(layout: LookupFormat, zero_point: int) -> str:
    """Registers the tables of a row of uint8 activations with ``zero_point``."""
    inputs, group, groups = layout.inputs, layout.group, layout.groups
    words = -(-group // WORD)
    complete = (inputs - words * WORD) // group + 1 if inputs >= words * WORD else 0
    weights = np.zeros((ENTRIES, words * WORD), np.int64)
    weights[:, :group] = layout.table_weights()

    def sums(activations: list[Any], half: int) -> Any:
        # vpackssdw takes four entries from one operand, then four from the other.
        entries = weights[[lane // 4 * 8 + half * 4 + lane % 4 for lane in range(LANES)]]
        total = constant_vector((-zero_point * entries.sum(axis=1)).tolist(), "int32")
        for number, word in enumerate(activations):
            total = tirx.call_llvm_pure_intrin(
                "int32x16",
                "llvm.x86.avx512.vpdpbusd.512",
                total,
                T.reinterpret("int8x64", T.broadcast(word, LANES)),
                constant_vector(entries[:, number * WORD : (number + 1) * WORD].ravel().tolist(), "int8"),
            )
        return total

    def table(activations: list[Any]) -> Any:
        return tirx.call_llvm_pure_intrin(
            "int16x32", "llvm.x86.avx512.packssdw.512", sums(activations, 0), sums(activations, 1)
        )

    def load(buffer: Any, start: Any) -> list[Any]:
        return [T.reinterpret("int32", buffer.vload([start + at * WORD], dtype="uint8x4")) for at in range(words)]

    def load_last(buffer: Any, start: Any) -> list[Any]:
        def activation(at: Any) -> Any:
            return T.if_then_else(at < inputs, buffer[T.min(at, inputs - 1)], T.uint8(zero_point))

        scalars = [activation(start + at) for at in range(words * WORD)]
        return [
            T.reinterpret("int32", tirx.Shuffle(scalars[at * WORD : (at + 1) * WORD], [0, 1, 2, 3]))
            for at in range(words)
        ]

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, t: T.handle) -> None:
        stride_t = T.int32()
        A = T.match_buffer(a, (inputs,), "uint8", offset_factor=1)
        tables = T.match_buffer(t, (groups, 1, ENTRIES), "int16", offset_factor=1, strides=[stride_t, ENTRIES, 1])
        with T.sblock("root"):
            T.reads(whole(A))
            T.writes(whole(tables))
            for number in T.serial(complete):
                tables[number, 0, T.ramp(0, 1, ENTRIES)] = table(load(A, number * group))
            for number in T.serial(groups - complete):
                tables[complete + number, 0, T.ramp(0, 1, ENTRIES)] = table(load_last(A, (complete + number) * group))

    return register_table_row(f"vpermw_{zero_point}", layout, "int16", "uint8", implementation)
