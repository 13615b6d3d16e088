"""Arm NEON: copies that lay 8-bit matrices out for dot products, whole vectors at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from tvm import tirx
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T

from ..layout import PackedLayout
from .neon_tile import VECTOR_BYTES
from .packing import PackingCopies
from .regions import whole


@cache
def register_row_packing(layout: PackedLayout) -> str:
    """Registers ``packed[16 / k_block, n_block, k_block] = rows[n_block, 16]``: groups of inputs move as one."""
    rows, k_block = layout.n_block, layout.k_block
    groups = VECTOR_BYTES // k_block
    name = f"intbert.neon_pack_rows_{rows}_{k_block}"

    def packed(buffer: Any) -> Any:
        vectors = [buffer.vload([row, 0], dtype="int8x16") for row in range(rows)]
        if groups == 1:
            return _concatenate(vectors)
        vectors = [_as_groups(vector, k_block) for vector in vectors]
        parts = [_transpose(vectors[first : first + groups], groups) for first in range(0, rows, groups)]
        return _concatenate([part[group] for group in range(groups) for part in parts])

    @T.prim_func(s_tir=True)
    def description(a: T.handle, p: T.handle) -> None:
        A = T.match_buffer(a, (rows, VECTOR_BYTES), "int8", offset_factor=1, strides=["stride_a", 1])
        P = T.match_buffer(p, (groups, rows, k_block), "int8", offset_factor=1)
        with T.sblock("root"):
            T.reads(whole(A))
            T.writes(whole(P))
            for i, k in T.grid(rows, VECTOR_BYTES):
                with T.sblock("copy"):
                    vi, vk = T.axis.remap("SS", [i, k])
                    P[vk // k_block, vi, vk % k_block] = A[vi, vk]

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, p: T.handle) -> None:
        stride_a = T.int32()
        A = T.match_buffer(a, (rows, VECTOR_BYTES), "int8", offset_factor=1, strides=[stride_a, 1])
        P = T.match_buffer(p, (groups, rows, k_block), "int8", offset_factor=1)
        with T.sblock("root"):
            T.reads(whole(A))
            T.writes(whole(P))
            P.vstore([0, 0, 0], packed(A))

    TensorIntrin.register(name, description, implementation, override=True)
    return name


@cache
def register_column_packing(layout: PackedLayout) -> str:
    """Registers ``packed[n_block, k_block] = matrix[k_block, n_block]`` transposed."""
    channels, k_block = layout.n_block, layout.k_block
    name = f"intbert.neon_pack_columns_{channels}_{k_block}"

    def packed(buffer: Any) -> Any:
        rows = [buffer.vload([row, 0], dtype=f"int8x{channels}") for row in range(k_block)]
        return _concatenate(_columns(rows, channels))

    @T.prim_func(s_tir=True)
    def description(a: T.handle, p: T.handle) -> None:
        A = T.match_buffer(a, (k_block, channels), "int8", offset_factor=1, strides=["stride_a", 1])
        P = T.match_buffer(p, (channels, k_block), "int8", offset_factor=1)
        with T.sblock("root"):
            T.reads(whole(A))
            T.writes(whole(P))
            for k, i in T.grid(k_block, channels):
                with T.sblock("copy"):
                    vk, vi = T.axis.remap("SS", [k, i])
                    P[vi, vk] = A[vk, vi]

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, p: T.handle) -> None:
        stride_a = T.int32()
        A = T.match_buffer(a, (k_block, channels), "int8", offset_factor=1, strides=[stride_a, 1])
        P = T.match_buffer(p, (channels, k_block), "int8", offset_factor=1)
        with T.sblock("root"):
            T.reads(whole(A))
            T.writes(whole(P))
            P.vstore([0, 0], packed(A))

    TensorIntrin.register(name, description, implementation, override=True)
    return name


def _as_groups(vector: Any, size: int) -> Any:
    """A vector of 16 bytes as one of integers of ``size`` bytes."""
    return tirx.reinterpret(f"int{8 * size}x{VECTOR_BYTES // size}", vector)


def _interleave(first: Any, second: Any, lanes: int) -> list[Any]:
    """zip1 and zip2 of two vectors of ``lanes`` elements."""
    halves = (range(start, start + lanes // 2) for start in (0, lanes // 2))
    return [tirx.Shuffle([first, second], [place for k in half for place in (k, lanes + k)]) for half in halves]


def _transpose(rows: Sequence[Any], lanes: int) -> list[Any]:
    """The columns of two or four vectors of as many elements."""
    if len(rows) == 2:
        return _interleave(rows[0], rows[1], lanes)
    even, odd = _interleave(rows[0], rows[2], lanes), _interleave(rows[1], rows[3], lanes)
    return [column for pair in zip(even, odd, strict=True) for column in _interleave(*pair, lanes)]


def _columns(rows: Sequence[Any], channels: int) -> list[Any]:
    """Of rows of ``channels`` bytes: vectors that hold, channel after channel, the bytes of all rows."""
    if len(rows) == 1:
        return list(rows)
    size = len(rows) // 2
    width = min(VECTOR_BYTES, size * channels)
    pairs = zip(_columns(rows[:size], channels), _columns(rows[size:], channels), strict=True)
    return [merged for left, right in pairs for merged in _merge(left, right, width, size)]


def _merge(first: Any, second: Any, width: int, size: int) -> list[Any]:
    """Groups of ``size`` bytes of two vectors of ``width`` bytes, in turns."""
    lanes = width // size
    left, right = (tirx.reinterpret(f"int{8 * size}x{lanes}", vector) for vector in (first, second))
    if width == VECTOR_BYTES:
        return [tirx.reinterpret(f"int8x{width}", half) for half in _interleave(left, right, lanes)]
    turns = tirx.Shuffle([left, right], [place for k in range(lanes) for place in (k, lanes + k)])
    return [tirx.reinterpret(f"int8x{2 * width}", turns)]


def _concatenate(vectors: Sequence[Any]) -> Any:
    """All vectors of 16 bytes, one after the other."""
    whole = [tirx.reinterpret("int8x16", vector) for vector in vectors]
    return tirx.Shuffle(whole, list(range(VECTOR_BYTES * len(whole))))


VECTORS = PackingCopies(VECTOR_BYTES, register_row_packing, register_column_packing)
"""Whole vectors of NEON."""
