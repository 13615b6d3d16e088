"""AVX2: a table of 16 bytes in both halves of a register; vpshufb reads one of its entries for each of 32 channels.

Entries have a bias that makes them unsigned. Those of activations of few bits are bytes, and some of them are added
before they are widened. Others are ``2^DIGIT_BITS * high + low``: a table for each digit, four entries of which fit a
byte again, and vpmaddubsw weighs and adds the two sums of a channel.
"""

from __future__ import annotations

import math
from functools import cache, reduce
from typing import Any

from tvm import tirx
from tvm.script import tirx as T

from ..lookup.format import LookupFormat
from .constants import constant_vector
from .lookup_tile import LookupTile, register_lookup_tile, register_table_row
from .regions import whole

ENTRIES = 16
CHANNELS = 32
"""Of a vector: bytes of an ymm register."""
WORDS = 16
"""int16 lanes of an ymm register."""
EIGHT = 8
"""int32 lanes of an ymm register."""
HALVES = 2
FIELDS = 2
FIELD_BITS = 4
DIGIT_BITS = 6
MOST_TOGETHER = 6
"""Entries that are added as bytes, of a digit four at the most: their indices must stay in registers."""
BYTE_LIMIT, WORD_LIMIT = 2**8 - 1, 2**16 - 1
OFFSET = 128
"""Makes int8 activations uint8."""


@cache
def register_tile(layout: LookupFormat, tile: LookupTile, reach: int) -> str:
    """Registers the sums of the tile over all groups; the intrinsic's name.

    Sums are kept in 16 bits, modulo 2^16, for as many groups as activations of at most ``reach`` in magnitude allow.
    """
    rows, blocks, channels = tile.rows, tile.blocks, tile.blocks * CHANNELS
    steps, lanes, parts = layout.steps, layout.lanes, layout.parts
    together = _together(layout, reach)
    pass_steps = _steps_of_pass(together)
    most = min(steps, tile.vectors // FIELDS, WORD_LIMIT // (FIELDS * 2 * bias(layout, reach)))
    chunk = max(1, most // pass_steps) * pass_steps
    chunks = -(-steps // chunk)
    shift = tile.gain.bit_length() - 1

    def field(indices: Any, number: Any) -> Any:
        shifted = indices >> T.broadcast(T.cast(number * FIELD_BITS, "uint8"), CHANNELS)
        return shifted & T.broadcast(T.uint8(ENTRIES - 1), CHANNELS)

    def look_up(table: Any, indices: Any) -> Any:
        both = tirx.Shuffle([table] * HALVES, list(range(CHANNELS)))
        signed = [T.reinterpret("int8x32", vector) for vector in (both, indices)]
        return T.reinterpret("uint8x32", tirx.call_llvm_pure_intrin("int8x32", "llvm.x86.avx2.pshuf.b", *signed))

    def add(one: Any, other: Any) -> Any:
        # It never saturates. A plain sum LLVM would take apart, into pairs for which there is no register left.
        return tirx.call_llvm_pure_intrin("uint8x32", "llvm.uadd.sat", one, other)

    def byte_sums(tables: Any, indices: Any, row: Any, part: Any, block: Any, first: Any) -> Any:
        """Of the entries that the fields from ``first`` on name."""
        found = [
            look_up(
                tables.vload([first + position, row, part * ENTRIES], dtype="uint8x16"),
                field(
                    indices.vload([block, (first + position) // FIELDS, 0, 0], dtype="uint8x32"),
                    (first + position) % FIELDS,
                ),
            )
            for position in range(together)
        ]
        return reduce(add, found)

    def words(found: Any, half: Any) -> Any:
        """16 of the 32 channels' sums, as uint16."""
        sums = [found.vload([part, 0], dtype="uint8x32") for part in range(parts)]
        if parts == 1:
            # Above an even channel stands the odd one: what that adds is taken off at the end.
            return T.reinterpret("uint16x16", sums[0]) >> T.broadcast(T.cast(half * 8, "uint16"), WORDS)
        zipped = tirx.Shuffle(sums, [_byte_of_pair(lane) + half * EIGHT for lane in range(CHANNELS)])
        weights = constant_vector([1, 2**DIGIT_BITS] * WORDS, "int8")
        pairs = T.reinterpret("int8x32", zipped)
        return T.reinterpret(
            "uint16x16", tirx.call_llvm_pure_intrin("int16x16", "llvm.x86.avx2.pmadd.ub.sw", pairs, weights)
        )

    def eight_sums(sums: Any, row: Any, block: Any, eight: Any) -> Any:
        """Of the channels from ``EIGHT * eight`` on, as int32."""
        if parts == 1:
            odd = sums.vload([row, block, 1, 0], dtype="uint16x16")
            even = sums.vload([row, block, 0, 0], dtype="uint16x16") - (odd << T.broadcast(T.uint16(8), WORDS))
            order = [eight * (EIGHT // 2) + lane // 2 + WORDS * (lane % 2) for lane in range(EIGHT)]
            return T.cast(tirx.Shuffle([even, odd], order), "int32x8")
        half = sums.vload([row, block, eight % HALVES, eight // HALVES * EIGHT], dtype="uint16x8")
        return T.cast(half, "int32x8")

    def total(memory: Any, channel: Any, sums: Any, row: Any, block: Any, eight: Any) -> Any:
        """What memory holds at last, of eight channels."""
        found = eight_sums(sums, row, block, eight) << T.broadcast(T.int32(shift), EIGHT)
        return found if chunks == 1 else memory.vload([row, channel], dtype="int32x8") + found

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        stride_a = T.int32()
        stride_b = T.int32()
        stride_c = T.int32()
        A = T.match_buffer(
            a, (layout.table_vectors, rows, lanes), "uint8", offset_factor=1, strides=[stride_a, lanes, 1]
        )
        B = T.match_buffer(
            b,
            (tile.groups * blocks, steps, CHANNELS, 1),
            "uint8",
            offset_factor=1,
            strides=[stride_b, CHANNELS, 1, 1],
        )
        C = T.match_buffer(c, (rows, tile.groups * channels), "int32", offset_factor=1, strides=[stride_c, 1])
        with T.sblock("root"):
            T.reads(whole(A), whole(B))
            T.writes(whole(C))
            sums = T.alloc_buffer((rows, blocks, HALVES, WORDS), "uint16", scope="local")
            found = T.alloc_buffer((parts, CHANNELS), "uint8", scope="local")
            if chunks > 1:
                for row, eight in T.grid(rows, tile.groups * channels // EIGHT):
                    C[row, T.ramp(eight * EIGHT, 1, EIGHT)] = T.broadcast(T.int32(0), EIGHT)
            for start, group in T.grid(chunks, tile.groups):
                for row in T.unroll(rows):
                    for block in T.unroll(blocks):
                        for half in T.unroll(HALVES):
                            sums[row, block, half, T.ramp(0, 1, WORDS)] = T.broadcast(T.uint16(0), WORDS)
                for step in T.serial(T.min(chunk, steps - start * chunk) // pass_steps):
                    for part_of_pass in T.unroll(pass_steps * FIELDS // together):
                        for row in T.unroll(rows):
                            for block in T.unroll(blocks):
                                for part in T.unroll(parts):
                                    found[part, T.ramp(0, 1, CHANNELS)] = byte_sums(
                                        A, B, row, part, group * blocks + block,
                                        (start * chunk + step * pass_steps) * FIELDS + part_of_pass * together,
                                    )  # fmt: skip
                                for half in T.unroll(HALVES):
                                    sums[row, block, half, T.ramp(0, 1, WORDS)] = sums.vload(
                                        [row, block, half, 0], dtype="uint16x16"
                                    ) + words(found, half)
                for row in T.unroll(rows):
                    for block in T.unroll(blocks):
                        for eight in T.unroll(CHANNELS // EIGHT):
                            C[row, T.ramp(group * channels + block * CHANNELS + eight * EIGHT, 1, EIGHT)] = total(
                                C, group * channels + block * CHANNELS + eight * EIGHT, sums, row, block, eight
                            )

    return register_lookup_tile(f"vpshufb_{reach}", layout, "uint8", tile, implementation)


@cache
def register_tables(layout: LookupFormat, zero_point: int, reach: int) -> str:
    """Registers the tables of a row of activations: uint8 with a ``zero_point`` of 128, int8 with none.

    Two tables at a time, one in each half of a register: vpmaddubsw multiplies two weights with their activations, and
    vpackuswb puts the first eight entries of each table beside the other eight.
    """
    inputs, group, parts, lanes = layout.inputs, layout.group, layout.parts, layout.lanes
    weights = layout.table_weights()
    inputs_of_pair = HALVES * group
    complete = inputs // inputs_of_pair
    pairs = layout.table_vectors // HALVES
    memory = "uint8" if zero_point else "int8"

    def entries(activations: Any, eight: int) -> Any:
        """The entries from ``EIGHT * eight`` on of both tables, with their bias."""
        of_eight = weights[eight * EIGHT : (eight + 1) * EIGHT]
        start = bias(layout, reach) - OFFSET * of_eight.sum(axis=1)
        total = constant_vector(start.tolist() * HALVES, "int16")
        for first in range(0, group, 2):
            order = [lane // ENTRIES * group + first + lane % 2 for lane in range(CHANNELS)]
            total = total + tirx.call_llvm_pure_intrin(
                "int16x16",
                "llvm.x86.avx2.pmadd.ub.sw",
                T.reinterpret("int8x32", tirx.Shuffle([activations] * (CHANNELS // inputs_of_pair), order)),
                constant_vector(of_eight[:, first : first + 2].ravel().tolist() * HALVES, "int8"),
            )
        return total

    def digit(words: Any, part: Any) -> Any:
        if parts == 1:
            return words
        shifted = words >> T.broadcast(T.cast(part * DIGIT_BITS, "int16"), WORDS)
        return shifted & T.broadcast(T.int16(2**DIGIT_BITS - 1), WORDS)

    def pair_of_tables(activations: Any, part: Any) -> Any:
        """A digit of the entries of two tables, one behind the other."""
        if not zero_point:
            activations = T.reinterpret(f"uint8x{inputs_of_pair}", activations)
            activations = activations ^ T.broadcast(T.uint8(OFFSET), inputs_of_pair)
        eights = [digit(entries(activations, eight), part) for eight in range(ENTRIES // EIGHT)]
        return T.reinterpret("uint8x32", tirx.call_llvm_pure_intrin("int8x32", "llvm.x86.avx2.packuswb", *eights))

    def table(found: Any, half: Any) -> Any:
        """One of them: its digits side by side."""
        pairs = [found.vload([part, 0], dtype="uint8x32") for part in range(parts)]
        order = [part * CHANNELS + half * ENTRIES + entry for part in range(parts) for entry in range(ENTRIES)]
        return tirx.Shuffle(pairs, order)

    def load(buffer: Any, start: Any) -> Any:
        return buffer.vload([start], dtype=f"{memory}x{inputs_of_pair}")

    def load_last(buffer: Any, start: Any) -> Any:
        scalars = [
            T.if_then_else(start + at < inputs, buffer[T.min(start + at, inputs - 1)], tirx.const(zero_point, memory))
            for at in range(inputs_of_pair)
        ]
        return tirx.Shuffle(scalars, list(range(inputs_of_pair)))

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, t: T.handle) -> None:
        stride_t = T.int32()
        A = T.match_buffer(a, (inputs,), memory, offset_factor=1)
        tables = T.match_buffer(
            t, (layout.table_vectors, 1, lanes), "uint8", offset_factor=1, strides=[stride_t, lanes, 1]
        )
        with T.sblock("root"):
            T.reads(whole(A))
            T.writes(whole(tables))
            found = T.alloc_buffer((parts, CHANNELS), "uint8", scope="local")
            for number in T.serial(complete):
                for part in T.unroll(parts):
                    found[part, T.ramp(0, 1, CHANNELS)] = pair_of_tables(load(A, number * inputs_of_pair), part)
                for half in T.unroll(HALVES):
                    tables[number * HALVES + half, 0, T.ramp(0, 1, lanes)] = table(found, half)
            for number in T.serial(pairs - complete):
                for part in T.unroll(parts):
                    found[part, T.ramp(0, 1, CHANNELS)] = pair_of_tables(
                        load_last(A, (complete + number) * inputs_of_pair), part
                    )
                for half in T.unroll(HALVES):
                    tables[(complete + number) * HALVES + half, 0, T.ramp(0, 1, lanes)] = table(found, half)

    return register_table_row(f"vpshufb_{zero_point}_{reach}", layout, "uint8", memory, implementation)


def bias(layout: LookupFormat, reach: int) -> int:
    """What makes the entries of tables of activations of at most ``reach`` in magnitude unsigned."""
    return layout.group * layout.levels.largest * reach


def fits(layout: LookupFormat, reach: int) -> bool:
    """Whether an entry, with its bias, is a byte, or two digits."""
    return 2 * bias(layout, reach) <= (BYTE_LIMIT if layout.parts == 1 else 4**DIGIT_BITS - 1)


def _together(layout: LookupFormat, reach: int) -> int:
    """How many entries are added as bytes: the most that fit one, and whose passes make up all steps."""
    largest = 2 * bias(layout, reach) if layout.parts == 1 else 2**DIGIT_BITS - 1
    most = min(MOST_TOGETHER, BYTE_LIMIT // largest)
    return next(count for count in range(most, 0, -1) if layout.steps % _steps_of_pass(count) == 0)


def _steps_of_pass(together: int) -> int:
    """The fewest vectors of indices whose fields make up whole sums of bytes."""
    return math.lcm(together, FIELDS) // FIELDS


def _byte_of_pair(lane: int) -> int:
    """Where a byte of vpunpcklbw's result comes from, in the two operands side by side."""
    return lane // ENTRIES * ENTRIES + lane % ENTRIES // 2 + CHANNELS * (lane % 2)
