"""Attention in AMX tiles: the scores and the values of one head as tile products, the softmax between them in lanes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
from tvm.s_tir import Schedule

from ..intrinsics import amx
from ..rewrite import wrap_body_of_outer_loop
from ..strategy import missing, not_a_multiple
from ..vectors import vector_width, widest_divisor
from .stages import (
    lay_out_operands,
    place_softmax,
    split_row_reductions,
    tensorize_packing,
    vectorize_softmax,
)
from .workload import AttentionWorkload

QUERY_TILES = 2
"""Tiles of 16 queries whose scores are held at a time: their int32 scores must stay in the first-level cache."""


@dataclass(frozen=True)
class AmxAttention:
    """One head and up to 32 queries at a time: scores, softmax, values, all in the first-level cache."""

    name: str = amx.STRATEGY
    operand_signs: str = "mixed"

    def refuse(self, workload: AttentionWorkload, features: frozenset[str]) -> str | None:
        return (
            missing("amx_int8", features)
            or missing("avx512", features)
            or not_a_multiple("length", workload.length, amx.TILE)
            or not_a_multiple("head dimension", workload.head_dim, amx.TILE)
        )

    def schedule(self, kernel: Any, workload: AttentionWorkload) -> Any:
        sch = Schedule(tvm.IRModule({"main": kernel}))
        scores = amx.Operands("tdpbssd", _depth(workload.head_dim), left=(4,), right=(5,))
        values = amx.Operands("tdpbusd", _depth(workload.length), left=(6,), right=(7,))
        lay_out_operands(sch, amx.LAYOUT)
        sch.compute_inline(sch.get_sblock("query"))
        split_row_reductions(sch, workload)
        score_tiles = sch.cache_write(sch.get_sblock("scores"), 0, amx.SCOPE)
        value_tiles = sch.cache_write(sch.get_sblock("context_accumulator"), 0, amx.SCOPE)

        row, channel = sch.get_loops(sch.get_sblock("context"))
        tiles = widest_divisor(workload.length // amx.TILE, QUERY_TILES)
        batch, block, query = sch.split(row, [workload.batch, None, tiles * amx.TILE])
        head, lane = sch.split(channel, [workload.heads, workload.head_dim])
        vectors, lane = sch.split(lane, [None, vector_width(workload.head_dim, workload.lanes)])
        sch.reorder(batch, head, block, query, vectors, lane)
        sch.compute_at(value_tiles, block, preserve_unit_loops=True)
        sch.compute_at(sch.get_sblock("context_accumulator"), block, preserve_unit_loops=True)
        sch.compute_at(sch.get_sblock("value"), head, preserve_unit_loops=True)
        place_softmax(sch, block)
        sch.compute_at(score_tiles, block, preserve_unit_loops=True)
        sch.compute_at(sch.get_sblock("scores"), block, preserve_unit_loops=True)
        sch.compute_at(sch.get_sblock("key"), head, preserve_unit_loops=True)
        sch.parallel(sch.fuse(batch, head))
        sch.vectorize(lane)
        vectorize_softmax(sch, workload)
        tensorize_packing(sch, amx.LAYOUT)
        self._tensorize_product(sch, "scores", score_tiles, tiles, workload.length, scores)
        self._tensorize_product(sch, "context_accumulator", value_tiles, tiles, workload.head_dim, values)
        return wrap_body_of_outer_loop(sch.mod["main"], amx.with_tiles([scores, values]))

    def _tensorize_product(
        self, sch: Schedule, name: str, store: Any, rows: int, channels: int, operands: amx.Operands
    ) -> None:
        columns = widest_divisor(channels // amx.TILE, 2)
        intrinsics = amx.register(rows, columns, operands)
        product = sch.get_sblock(name)
        row, column = sch.get_loops(store)[-2:]
        column_block, column = sch.split(column, [None, columns * amx.TILE])
        sch.reorder(column_block, row, column)
        # The accumulators of one block are tile registers: it is stored before the next one is begun.
        sch.compute_at(product, column_block, preserve_unit_loops=True)
        sch.tensorize(row, intrinsics.store)
        row, column, reduction = sch.get_loops(product)[-3:]
        step, inner = sch.split(reduction, [None, operands.depth])
        sch.reorder(step, row, column, inner)
        zero = sch.decompose_reduction(product, step)
        sch.tensorize(sch.get_loops(zero)[-2], intrinsics.zero)
        sch.tensorize(row, intrinsics.dot)


def _depth(extent: int) -> int:
    """The inputs that one instruction reduces: 64, 32 or 16."""
    return next(depth for depth in (64, 32, 16) if extent % depth == 0)
