"""Arm NEON: two tables of 16 bytes in a pair of registers; tbl reads an entry of each for every one of 8 channels.

The two entries of a channel lie side by side, and sadalp adds both to its sum of 16 bits. Activations of few bits have
one table a group. Others are ``16 * high + low``: two tables, and two sums that are put together at the end.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm import tirx
from tvm.script import tirx as T

from ..lookup.format import LookupFormat
from .constants import constant_vector
from .lookup_tile import LookupTile, register_lookup_tile, register_table_row
from .regions import whole

ENTRIES = 16
VECTOR_BYTES = 16
CHANNELS = 8
"""Of a vector: int16 lanes of a sum."""
TABLES = 2
QUARTER = 4
"""int32 lanes of a vector."""
FIELDS = 2
SECOND_TABLE = 0x1000
"""What leads the second index of a channel to the second table."""
NIBBLE_BITS = 4
NIBBLE_LIMIT = 2**NIBBLE_BITS - 1
INT8_LIMIT, INT16_LIMIT = 2**7 - 1, 2**15 - 1


@cache
def register_tile(layout: LookupFormat, tile: LookupTile, reach: int) -> str:
    """Registers the sums of the tile over all groups; the intrinsic's name.

    Sums are kept in int16 for as many groups as activations of at most ``reach`` in magnitude allow.
    """
    rows, blocks, channels = tile.rows, tile.blocks, tile.blocks * CHANNELS
    steps, lanes, parts = layout.steps, layout.lanes, layout.parts
    most = INT16_LIMIT // (FIELDS * TABLES * _largest_entry(layout, reach))
    chunk = max(1, min(steps, tile.vectors // FIELDS, most))
    chunks = -(-steps // chunk)

    def field(indices: Any, number: Any) -> Any:
        shifted = indices >> T.broadcast(T.cast(number * NIBBLE_BITS, "uint8"), VECTOR_BYTES)
        second = T.reinterpret("uint8x16", T.broadcast(T.int16(SECOND_TABLE), CHANNELS))
        return (shifted & T.broadcast(T.uint8(NIBBLE_LIMIT), VECTOR_BYTES)) | second

    def look_up(tables: list[Any], indices: Any) -> Any:
        return tirx.call_llvm_pure_intrin("int8x16", "llvm.aarch64.neon.tbl2.v16i8", *tables, indices)

    def pair_sums(entries: Any) -> Any:
        return tirx.call_llvm_pure_intrin("int16x8", "llvm.aarch64.neon.saddlp.v8i16.v16i8", entries)

    def total(buffer: Any, row: Any, lane: Any) -> Any:
        sums = [T.cast(buffer.vload([row, part, lane], dtype="int16x4"), "int32x4") for part in range(parts)]
        return sums[0] if parts == 1 else sums[0] + (sums[1] << T.broadcast(T.int32(NIBBLE_BITS), QUARTER))

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        stride_a = T.int32()
        stride_b = T.int32()
        stride_c = T.int32()
        A = T.match_buffer(
            a, (layout.table_vectors, rows, lanes), "int8", offset_factor=1, strides=[stride_a, lanes, 1]
        )
        B = T.match_buffer(
            b,
            (tile.groups * blocks, steps, CHANNELS, TABLES),
            "uint8",
            offset_factor=1,
            strides=[stride_b, VECTOR_BYTES, TABLES, 1],
        )
        C = T.match_buffer(c, (rows, tile.groups * channels), "int32", offset_factor=1, strides=[stride_c, 1])
        with T.sblock("root"):
            T.reads(whole(A), whole(B), whole(C))
            T.writes(whole(C))
            partial = T.alloc_buffer((rows, parts, channels), "int16", scope="local")
            for start, group in T.grid(chunks, tile.groups):
                for row in T.unroll(rows):
                    for part in T.unroll(parts):
                        for block in T.unroll(blocks):
                            partial[row, part, T.ramp(block * CHANNELS, 1, CHANNELS)] = T.broadcast(
                                T.int16(0), CHANNELS
                            )
                for number in T.unroll(FIELDS):
                    for step in T.serial(T.min(chunk, steps - start * chunk)):
                        for row in T.unroll(rows):
                            for part in T.unroll(parts):
                                for block in T.unroll(blocks):
                                    partial[row, part, T.ramp(block * CHANNELS, 1, CHANNELS)] = partial.vload(
                                        [row, part, block * CHANNELS], dtype="int16x8"
                                    ) + pair_sums(
                                        look_up(
                                            [
                                                A.vload(
                                                    [
                                                        number * steps + start * chunk + step,
                                                        row,
                                                        (part * TABLES + table) * ENTRIES,
                                                    ],
                                                    dtype="int8x16",
                                                )
                                                for table in range(TABLES)
                                            ],
                                            field(
                                                B.vload(
                                                    [group * blocks + block, start * chunk + step, 0, 0],
                                                    dtype="uint8x16",
                                                ),
                                                number,
                                            ),
                                        )
                                    )
                for row in T.unroll(rows):
                    for lane in T.unroll(channels // QUARTER):
                        C[row, T.ramp(group * channels + lane * QUARTER, 1, QUARTER)] = C.vload(
                            [row, group * channels + lane * QUARTER], dtype="int32x4"
                        ) + total(partial, row, lane * QUARTER)

    return register_lookup_tile(f"tbl_{reach}", layout, "int8", tile, implementation)


@cache
def register_tables(layout: LookupFormat) -> str:
    """Registers the tables of a row of int8 activations."""
    inputs, group, parts, vectors = layout.inputs, layout.group, layout.parts, layout.table_vectors
    weights = layout.table_weights()
    inputs_of_vector = TABLES * group
    complete = inputs // inputs_of_vector

    def split(activations: Any, part: int) -> Any:
        if parts == 1:
            return activations
        if part:
            return activations >> T.broadcast(T.int8(NIBBLE_BITS), inputs_of_vector)
        return activations & T.broadcast(T.int8(NIBBLE_LIMIT), inputs_of_vector)

    def table(activations: Any, first: int) -> Any:
        copies = ENTRIES // inputs_of_vector
        products = [
            tirx.Shuffle([activations] * copies, [first + position] * ENTRIES)
            * constant_vector(weights[:, position].tolist(), "int8")
            for position in range(group)
        ]
        return _sum(products)

    def vector(activations: Any) -> Any:
        tables = [
            table(split(activations, part), first)
            for part in range(parts)
            for first in range(0, inputs_of_vector, group)
        ]
        return tirx.Shuffle(tables, list(range(layout.lanes)))

    def load(buffer: Any, start: Any) -> Any:
        return vector(buffer.vload([start], dtype=f"int8x{inputs_of_vector}"))

    def load_last(buffer: Any, start: Any) -> Any:
        def activation(at: Any) -> Any:
            return T.if_then_else(at < inputs, buffer[T.min(at, inputs - 1)], T.int8(0))

        scalars = [activation(start + position) for position in range(inputs_of_vector)]
        return vector(tirx.Shuffle(scalars, list(range(inputs_of_vector))))

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, t: T.handle) -> None:
        stride_t = T.int32()
        A = T.match_buffer(a, (inputs,), "int8", offset_factor=1)
        tables = T.match_buffer(
            t, (vectors, 1, layout.lanes), "int8", offset_factor=1, strides=[stride_t, layout.lanes, 1]
        )
        with T.sblock("root"):
            T.reads(whole(A))
            T.writes(whole(tables))
            for number in T.serial(complete):
                tables[number, 0, T.ramp(0, 1, layout.lanes)] = load(A, number * inputs_of_vector)
            for number in T.serial(vectors - complete):
                tables[complete + number, 0, T.ramp(0, 1, layout.lanes)] = load_last(
                    A, (complete + number) * inputs_of_vector
                )

    return register_table_row("tbl", layout, "int8", "int8", implementation)


def fits(layout: LookupFormat, reach: int) -> bool:
    """Whether the entries are bytes."""
    return _largest_entry(layout, reach) <= INT8_LIMIT


def _largest_entry(layout: LookupFormat, reach: int) -> int:
    """Of one part's tables: the high part is at least as small as the low one."""
    return layout.group * layout.levels.largest * (reach if layout.parts == 1 else NIBBLE_LIMIT)


def _sum(values: list[Any]) -> Any:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total
