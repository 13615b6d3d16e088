"""Arm NEON: two tables of 16 bytes in a pair of registers; tbl reads an entry of each for every one of 8 channels.

The two entries of a channel lie side by side, and sadalp adds both to its sum of 16 bits. Activations of few bits have
one table a group. Others are ``16 * high + low``: two tables, and two sums that are put together at the end.

A byte holds two indices. The bits above an index lead it to its table: a register that has them gets the indices of
one field after the other inserted below, by one instruction each (bit, sri).
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from tvm import tirx
from tvm.script import tirx as T

from ..lookup.format import LookupFormat
from ..vectors import widest_divisor
from .lookup_tile import LookupTile, register_lookup_tile
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
MOST_SUMS = 16
"""Vectors of sums that stay in registers: LLVM needs the others to load ahead."""
MOST_STEPS = 2
"""Vectors of indices of a block of channels in one pass of the loop over them."""
LDP_REACH = 1024
"""Bytes of tables that ldp addresses from one register."""
TBL = "llvm.aarch64.neon.tbl2.v16i8"
SADDLP = "llvm.aarch64.neon.saddlp.v8i16.v16i8"
SRI = "llvm.aarch64.neon.vsri.v16i8"


@cache
def register_tile(layout: LookupFormat, tile: LookupTile, reach: int) -> str:
    """Registers the sums of the tile over all groups, which replace what C held; the intrinsic's name.

    Sums are kept in int16 for as many groups as activations of at most ``reach`` in magnitude allow. As many rows as
    registers hold pass over all channels before the next ones.
    """
    blocks, channels = tile.blocks, tile.blocks * CHANNELS
    steps, lanes, parts = layout.steps, layout.lanes, layout.parts
    rows = widest_divisor(tile.rows, max(1, MOST_SUMS // (blocks * parts)))
    most = INT16_LIMIT // (FIELDS * TABLES * _largest_entry(layout, reach))
    chunk = max(1, min(steps, tile.vectors * (tile.rows // rows) // FIELDS, most))
    chunks = -(-steps // chunk)
    in_reach = LDP_REACH // (FIELDS * tile.rows * lanes)
    together = widest_divisor(math.gcd(steps, chunk), max(1, min(MOST_STEPS, in_reach)))
    shift = tile.gain.bit_length() - 1

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        stride_a = T.int32()
        stride_b = T.int32()
        stride_c = T.int32()
        A = T.match_buffer(
            a, (layout.table_vectors, tile.rows, lanes), "int8", offset_factor=1, strides=[stride_a, lanes, 1]
        )
        B = T.match_buffer(
            b,
            (tile.groups * blocks, steps, CHANNELS, TABLES),
            "uint8",
            offset_factor=1,
            strides=[stride_b, VECTOR_BYTES, TABLES, 1],
        )
        C = T.match_buffer(c, (tile.rows, tile.groups * channels), "int32", offset_factor=1, strides=[stride_c, 1])
        with T.sblock("root"):
            T.reads(whole(A), whole(B))
            T.writes(whole(C))
            sums = T.alloc_buffer((rows, parts, channels), "int16", scope="local")
            index = T.alloc_buffer((blocks, VECTOR_BYTES), "uint8", scope="local")

            @T.inline
            def clear() -> None:
                for row in T.unroll(rows):
                    for part in T.unroll(parts):
                        for block in T.unroll(blocks):
                            sums[row, part, T.ramp(block * CHANNELS, 1, CHANNELS)] = T.broadcast(T.int16(0), CHANNELS)
                for block in T.unroll(blocks):
                    index[block, T.ramp(0, 1, VECTOR_BYTES)] = T.reinterpret(
                        "uint8x16", T.broadcast(T.int16(SECOND_TABLE), CHANNELS)
                    )

            @T.inline
            def add_entries(number: int, step: Any, group: Any, first: Any) -> None:
                for block in T.unroll(blocks):
                    index[block, T.ramp(0, 1, VECTOR_BYTES)] = _inserted(
                        number,
                        B.vload([group * blocks + block, step, 0, 0], dtype="uint8x16"),
                        index.vload([block, 0], dtype="uint8x16"),
                    )
                for row in T.unroll(rows):
                    for part in T.unroll(parts):
                        for block in T.unroll(blocks):
                            sums[row, part, T.ramp(block * CHANNELS, 1, CHANNELS)] = sums.vload(
                                [row, part, block * CHANNELS], dtype="int16x8"
                            ) + _pairs_of_entries(
                                _tables(A, step * FIELDS + number, first + row, part),
                                index.vload([block, 0], dtype="uint8x16"),
                            )

            @T.inline
            def store(half: int, group: Any, first: Any) -> None:
                for row in T.unroll(rows):
                    for block in T.unroll(blocks):
                        channel = group * channels + block * CHANNELS + half * QUARTER
                        C[first + row, T.ramp(channel, 1, QUARTER)] = _total(
                            [sums.vload([row, part, block * CHANNELS], dtype="int16x8") for part in range(parts)],
                            half,
                            shift,
                            C.vload([first + row, channel], dtype="int32x4") if chunks > 1 else None,
                        )

            if chunks > 1:
                for row, vector in T.grid(tile.rows, tile.groups * channels // QUARTER):
                    C[row, T.ramp(vector * QUARTER, 1, QUARTER)] = T.broadcast(T.int32(0), QUARTER)
            for rows_before, start, group in T.grid(tile.rows // rows, chunks, tile.groups):
                clear()
                for steps_before in T.serial(T.min(chunk, steps - start * chunk) // together):
                    for step in T.unroll(together):
                        add_entries(0, start * chunk + steps_before * together + step, group, rows_before * rows)
                        add_entries(1, start * chunk + steps_before * together + step, group, rows_before * rows)
                store(0, group, rows_before * rows)
                store(1, group, rows_before * rows)

    return register_lookup_tile(f"tbl_{reach}", layout, "int8", tile, implementation)


def fits(layout: LookupFormat, reach: int) -> bool:
    """Whether the entries are bytes."""
    return _largest_entry(layout, reach) <= INT8_LIMIT


def _largest_entry(layout: LookupFormat, reach: int) -> int:
    """Of one part's tables: the high part is at least as small as the low one."""
    return layout.group * layout.levels.largest * (reach if layout.parts == 1 else NIBBLE_LIMIT)


def _inserted(field: int, indices: Any, index: Any) -> Any:
    """``index`` with those of a field in its lower nibbles."""
    if field:
        return tirx.call_llvm_pure_intrin("uint8x16", SRI, index, indices, T.int32(NIBBLE_BITS))
    nibble, others = (T.broadcast(T.uint8(mask), VECTOR_BYTES) for mask in (NIBBLE_LIMIT, 255 - NIBBLE_LIMIT))
    return (indices & nibble) | (index & others)


def _tables(buffer: Any, vector: Any, row: Any, part: Any) -> list[Any]:
    starts = [(part * TABLES + table) * ENTRIES for table in range(TABLES)]
    return [buffer.vload([vector, row, start], dtype="int8x16") for start in starts]


def _pairs_of_entries(tables: list[Any], index: Any) -> Any:
    return tirx.call_llvm_pure_intrin("int16x8", SADDLP, tirx.call_llvm_pure_intrin("int8x16", TBL, *tables, index))


def _total(sums: list[Any], half: int, shift: int, before: Any | None) -> Any:
    """int32 of half the lanes of each part's sums, shifted left, put together, and added to what was ``before``."""
    lanes = list(range(half * QUARTER, (half + 1) * QUARTER))
    total = before
    for part, vector in enumerate(sums):
        bits = T.broadcast(T.int32(shift + part * NIBBLE_BITS), QUARTER)
        shifted = T.cast(tirx.Shuffle([vector], lanes), "int32x4") << bits
        total = shifted if total is None else total + shifted
    return total
