"""AVX-512 VBMI: four tables of 16 bytes in a register; vpermb reads 64 entries, vpdpbusd adds four to each channel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

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
BYTE_LIMIT = 255
LANE_BYTES = 16
HALF_ENTRIES = 4
"""Sums of half a group that a lane has room for."""


@cache
def register_tile(layout: LookupFormat, tile: LookupTile, reach: int) -> str:
    """Registers the sums of the tile over all groups, for activations of at most ``reach``; the intrinsic's name.

    Table entries are unsigned bytes: what was added to make them so is the caller's to take off. Those of two steps are
    added as bytes, where no sum can leave them, before vpdpbusd adds neighbours: permutations keep two of the ports
    busy that it needs.
    """
    rows, blocks, channels = tile.rows, tile.blocks, tile.blocks * LANES
    chunk = max(1, min(layout.steps, tile.vectors // layout.fields))
    chunks = -(-layout.steps // chunk)
    together = 2 if 4 * bias(layout, reach) <= BYTE_LIMIT and chunk % 2 == layout.steps % 2 == 0 else 1

    def words(value: int) -> Any:
        return T.reinterpret("uint8x64", T.broadcast(T.int32(value), LANES))

    def field(indices: Any, number: Any) -> Any:
        shifted = indices >> T.broadcast(T.cast(number * 4, "uint8"), VECTOR_BYTES)
        return (shifted & T.broadcast(T.uint8(15), VECTOR_BYTES)) | words(TABLE_OF_BYTE)

    def look_up(table: Any, indices: Any) -> Any:
        table, indices = (T.reinterpret("int8x64", vector) for vector in (table, indices))
        return tirx.call_llvm_pure_intrin("int8x64", "llvm.x86.avx512.permvar.qi.512", table, indices)

    def entries(tables: Any, indices: Any, number: Any, first: Any, row: Any, block: Any) -> Any:
        found = [
            look_up(
                tables.vload([number * layout.steps + first + step, row, 0], dtype="uint8x64"),
                field(indices.vload([block, first + step, 0, 0], dtype="uint8x64"), number),
            )
            for step in range(together)
        ]
        return found[0] if together == 1 else found[0] + found[1]

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
                    for step in T.serial(T.min(chunk, layout.steps - start * chunk) // together):
                        for row in T.unroll(rows):
                            for block in T.unroll(blocks):
                                sums[row, T.ramp(block * LANES, 1, LANES)] = add_fours(
                                    sums.vload([row, block * LANES], dtype="int32x16"),
                                    entries(A, B, number, start * chunk + step * together, row, group * blocks + block),
                                )
                for row in T.unroll(rows):
                    for block in T.unroll(blocks):
                        C[row, T.ramp(group * channels + block * LANES, 1, LANES)] = sums.vload(
                            [row, block * LANES], dtype="int32x16"
                        )

    return register_lookup_tile(f"vpermb_{together}", layout, "uint8", tile, implementation)


@cache
def register_tables(layout: LookupFormat, zero_point: int, reach: int) -> str:
    """Registers the tables of a row of uint8 activations with ``zero_point``, to each entry its :func:`bias` added.

    A 128-bit lane of the register is a table. The sums of every half of a group, of at most :data:`HALF_ENTRIES`
    combinations of weights, are the words of one vpmaddubsw; every entry is a byte of the one plus a byte of the other,
    modulo 256.
    """
    inputs, vectors, group = layout.inputs, layout.table_vectors, layout.group
    inputs_of_vector = group * layout.tables
    complete = inputs // inputs_of_vector
    halves = _Halves(layout)
    sums = layout.table_weights().sum(axis=1)
    start = ((bias(layout, reach) - zero_point * sums) % 256).tolist() * layout.tables

    def table_vector(activations: Any) -> Any:
        # TVM wants no more lanes of a shuffle than its operands have.
        spread = tirx.Shuffle([activations] * (VECTOR_BYTES // inputs_of_vector), halves.activations())
        words = tirx.call_llvm_pure_intrin(
            "int16x32",
            "llvm.x86.avx512.pmaddubs.w.512",
            T.reinterpret("int8x64", spread),
            constant_vector(halves.weights(), "int8"),
        )
        found = [tirx.Shuffle([T.reinterpret("uint8x64", words)], halves.bytes_of(half)) for half in (0, 1)]
        return found[0] + found[1] + constant_vector(start, "uint8")

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


@dataclass(frozen=True)
class _Halves:
    """The two halves of a table's group: which activations and weights make their sums, and where those lie."""

    layout: LookupFormat

    @property
    def sizes(self) -> tuple[int, int]:
        """Inputs of the halves."""
        second = self.layout.group // 2
        return self.layout.group - second, second

    def activations(self) -> list[int]:
        """[64]: the activation of each byte that is multiplied, two to a sum."""
        first, second = self.sizes
        of_a_table = [[0, first - 1]] * HALF_ENTRIES + [[first, first + second - 1]] * HALF_ENTRIES
        return [
            table * self.layout.group + position
            for table in range(self.layout.tables)
            for pair in of_a_table
            for position in pair
        ]

    def weights(self) -> list[int]:
        """[64]: what these activations are multiplied by; a half of one input leaves its second factor out."""
        levels = self.layout.levels
        values = levels.values()
        of_a_table = [
            values[entry // levels.count**position % levels.count] if position < size else 0
            for size in self.sizes
            for entry in range(HALF_ENTRIES)
            for position in range(2)
        ]
        return of_a_table * self.layout.tables

    def bytes_of(self, half: int) -> list[int]:
        """[64]: the byte, of the sums of ``half``, that goes into each entry."""
        count, (first, second) = self.layout.levels.count, self.sizes
        step, size = ((1, first), (count**first, second))[half]
        lanes = range(0, LANE_BYTES * self.layout.tables, LANE_BYTES)
        return [
            lane + 2 * (half * HALF_ENTRIES + entry // step % count**size)
            for lane in lanes
            for entry in range(self.layout.entries)
        ]


def fits(layout: LookupFormat, reach: int) -> bool:
    """Whether an entry, with its bias, is an unsigned byte."""
    return 2 * bias(layout, reach) <= BYTE_LIMIT


def bias(layout: LookupFormat, reach: int) -> int:
    """What makes the entries of tables of activations of at most ``reach`` in magnitude unsigned."""
    return layout.group * layout.levels.largest * reach
