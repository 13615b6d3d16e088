"""Arm NEON: the tables that :mod:`~.tbl` reads, of a row of int8 activations."""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm import tirx
from tvm.script import tirx as T

from ..lookup.format import LookupFormat
from .constants import constant_vector
from .lookup_tile import register_table_row
from .regions import whole
from .registration import lanes_of
from .tbl import ENTRIES, NIBBLE_BITS, NIBBLE_LIMIT, TABLES, TBL, VECTOR_BYTES

SIGNS = (-1, 1)


@cache
def register_tables(layout: LookupFormat) -> str:
    """Registers the tables of a row of int8 activations; the intrinsic's name.

    Those of all signs are made two vectors at a time, of 16 activations.
    """
    inputs, group, parts, vectors = layout.inputs, layout.group, layout.parts, layout.table_vectors
    weights = layout.table_weights()
    inputs_of_vector = TABLES * group
    complete = inputs // inputs_of_vector
    signs = inputs // VECTOR_BYTES if layout.levels.values() == SIGNS else 0

    def split(activations: Any, part: int) -> Any:
        lanes = lanes_of(str(activations.ty.dtype))
        if parts == 1:
            return activations
        if part:
            return activations >> T.broadcast(T.int8(NIBBLE_BITS), lanes)
        return activations & T.broadcast(T.int8(NIBBLE_LIMIT), lanes)

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

    def load_signs(buffer: Any, start: Any, number: int) -> Any:
        activations = buffer.vload([start], dtype=f"int8x{VECTOR_BYTES}")
        of_parts = [_sign_tables(split(activations, part)) for part in range(parts)]
        tables = [each for of_part in of_parts for each in of_part[number * TABLES : (number + 1) * TABLES]]
        return tirx.Shuffle(tables, list(range(layout.lanes)))

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
            for number in T.serial(signs):
                tables[number * 2, 0, T.ramp(0, 1, layout.lanes)] = load_signs(A, number * VECTOR_BYTES, 0)
                tables[number * 2 + 1, 0, T.ramp(0, 1, layout.lanes)] = load_signs(A, number * VECTOR_BYTES, 1)
            for number in T.serial(complete - signs * 2):
                tables[signs * 2 + number, 0, T.ramp(0, 1, layout.lanes)] = load(
                    A, (signs * 2 + number) * inputs_of_vector
                )
            for number in T.serial(vectors - complete):
                tables[complete + number, 0, T.ramp(0, 1, layout.lanes)] = load_last(
                    A, (complete + number) * inputs_of_vector
                )

    return register_table_row("tbl", layout, "int8", "int8", implementation)


def _sign_tables(activations: Any) -> list[Any]:
    """Of 16 activations: four tables, each of all signs of four of them.

    Sums and differences of neighbours, and their negatives, are a table themselves, of which an entry is two.
    """
    even, odd = (tirx.Shuffle([activations], list(range(first, VECTOR_BYTES, 2))) for first in (0, 1))
    pairs = tirx.Shuffle([even + odd, even - odd], list(range(VECTOR_BYTES)))
    halves = [pairs, constant_vector([0] * VECTOR_BYTES, "int8") - pairs]
    half = VECTOR_BYTES // 2
    # By the codes of two weights: both -1, then the first 1, the second, both.
    places = [2 * half, half, 3 * half, 0]

    def entries(pair: int, digit: int) -> Any:
        indices = constant_vector([places[(index >> digit) % 4] + pair for index in range(ENTRIES)], "uint8")
        return tirx.call_llvm_pure_intrin("int8x16", TBL, *halves, indices)

    return [entries(pair, 0) + entries(pair + 1, 2) for pair in range(0, half, 2)]


def _sum(values: list[Any]) -> Any:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total
