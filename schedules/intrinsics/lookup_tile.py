"""The tensor intrinsics of table look-up: a register tile's sums over all groups, and the tables of a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T

from ..lookup.format import LookupFormat
from .regions import whole
from .table_lookup import table_entry, table_sum


@dataclass(frozen=True)
class LookupTile:
    """What one call of an intrinsic computes: ``rows`` rows and ``groups`` times ``blocks`` vectors of channels.

    The tables of every ``vectors`` vectors are read by all groups before the next ones: they stay in the nearest cache.
    """

    rows: int
    blocks: int
    groups: int
    vectors: int
    gain: int = 1
    """A power of two: the sums are multiplied by it."""


def register_lookup_tile(
    name: str, layout: LookupFormat, dtype: str, tile: LookupTile, implementation: Callable[..., Any]
) -> str:
    """Registers ``implementation`` as ``C[rows, channels] += entries of the tables A that B names``.

    A [table_vectors, rows, lanes] of ``dtype``; B [vectors of channels, steps, n_block, tables]. Returns
    the intrinsic's name.
    """
    rows, blocks = tile.rows, tile.groups * tile.blocks
    n_block, tables, steps, vectors = layout.n_block, layout.tables, layout.steps, layout.table_vectors
    channels, lanes = blocks * n_block, layout.lanes

    @T.prim_func(s_tir=True)
    def description(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (vectors, rows, lanes), dtype, offset_factor=1, strides=["stride_a", lanes, 1])
        B = T.match_buffer(
            b,
            (blocks, steps, n_block, tables),
            layout.dtype,
            offset_factor=1,
            strides=["stride_b", n_block * tables, tables, 1],
        )
        C = T.match_buffer(c, (rows, channels), "int32", offset_factor=1, strides=["stride_c", 1])
        with T.sblock("root"):
            T.reads(whole(C), whole(A), whole(B))
            T.writes(whole(C))
            for i, j, k in T.grid(rows, channels, vectors * tables):
                with T.sblock("update"):
                    vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                    C[vi, vj] = C[vi, vj] + table_entry(
                        A[vk // tables, vi, 0],
                        A[vk // tables, vi, lanes - 1],
                        B[vj // n_block, layout.step(vk // tables), vj % n_block, vk % tables],
                    )

    # A schedule leaves out the loop over a single row.
    @T.prim_func(s_tir=True)
    def description_of_one_row(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (vectors, 1, lanes), dtype, offset_factor=1, strides=["stride_a", lanes, 1])
        B = T.match_buffer(
            b,
            (blocks, steps, n_block, tables),
            layout.dtype,
            offset_factor=1,
            strides=["stride_b", n_block * tables, tables, 1],
        )
        C = T.match_buffer(c, (1, channels), "int32", offset_factor=1, strides=["stride_c", 1])
        with T.sblock("root"):
            T.reads(whole(C), whole(A), whole(B))
            T.writes(whole(C))
            for j, k in T.grid(channels, vectors * tables):
                with T.sblock("update"):
                    vj, vk = T.axis.remap("SR", [j, k])
                    C[0, vj] = C[0, vj] + table_entry(
                        A[vk // tables, 0, 0],
                        A[vk // tables, 0, lanes - 1],
                        B[vj // n_block, layout.step(vk // tables), vj % n_block, vk % tables],
                    )

    full = f"intbert.{name}_{rows}x{tile.blocks}x{tile.groups}_{tile.vectors}_{tile.gain}_{_identity(layout)}"
    TensorIntrin.register(full, description_of_one_row if rows == 1 else description, implementation, override=True)
    return full


def register_table_row(
    name: str, layout: LookupFormat, dtype: str, activations: str, implementation: Callable[..., Any]
) -> str:
    """Registers ``implementation`` as the tables T [table_vectors, 1, lanes] of a row A [inputs]."""
    inputs, vectors, lanes = layout.inputs, layout.table_vectors, layout.lanes

    @T.prim_func(s_tir=True)
    def description(a: T.handle, t: T.handle) -> None:
        A = T.match_buffer(a, (inputs,), activations, offset_factor=1)
        tables = T.match_buffer(t, (vectors, 1, lanes), dtype, offset_factor=1, strides=["stride_t", lanes, 1])
        with T.sblock("root"):
            T.reads(whole(A))
            T.writes(whole(tables))
            for v, lane in T.grid(vectors, lanes):
                with T.sblock("table"):
                    vv, vl = T.axis.remap("SS", [v, lane])
                    tables[vv, 0, vl] = table_sum(dtype, A[0], A[inputs - 1], vv, vl)

    full = f"intbert.{name}_tables_{_identity(layout)}"
    TensorIntrin.register(full, description, implementation, override=True)
    return full


def _identity(layout: LookupFormat) -> str:
    """What beside its instruction makes an intrinsic another one: a trace knows it by its name alone."""
    levels = layout.levels
    return f"{layout.inputs}_{layout.parts}_{levels.count}_{levels.step}_{abs(levels.offset)}"
