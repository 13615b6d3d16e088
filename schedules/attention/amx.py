"""Attention in AMX tiles: the scores and the values of one head as tile products, the softmax between them in lanes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tvm.s_tir import Schedule

from ..choices import choose_tiles
from ..intrinsics import amx
from ..intrinsics.packing import WORDS
from ..rewrite import wrap_body_of_outer_loop
from ..strategy import Sketch, missing, not_a_multiple
from ..vectors import vector_width, widest_divisor
from .stages import (
    lay_out_operands,
    place_mask,
    place_softmax,
    split_row_reductions,
    tensorize_packing,
    vectorize_softmax,
)
from .strategy import AttentionStrategy
from .workload import AttentionWorkload

QUERY_TILES = 2
"""Tiles of 16 queries whose scores are held at a time: their int32 scores must stay in the first-level cache."""


@dataclass(frozen=True)
class AmxAttention(AttentionStrategy):
    """One head and up to 32 queries at a time: scores, softmax, values, all in the first-level cache."""

    @property
    def name(self) -> str:
        return amx.STRATEGY

    @property
    def operand_signs(self) -> str:
        return "mixed"

    def refuse(self, workload: AttentionWorkload, features: frozenset[str]) -> str | None:
        return (
            missing("amx_int8", features)
            or missing("avx512", features)
            or not_a_multiple("length", workload.length, amx.TILE)
            or not_a_multiple("head dimension", workload.head_dim, amx.TILE)
        )

    def sketches(self, workload: AttentionWorkload) -> Sequence[Sketch]:
        widest = widest_divisor(workload.length // amx.TILE, QUERY_TILES)
        columns = dict.fromkeys(
            tuple(widest_divisor(channels // amx.TILE, most) for channels in (workload.length, workload.head_dim))
            for most in (2, 1)
        )
        return [
            Sketch(
                f"{rows} x {scores} tiles of scores, {rows} x {context} of context{', rows together' * rows_together}",
                partial(self._apply, workload, rows, (scores, context), rows_together),
            )
            for rows in dict.fromkeys([widest, 1])
            for scores, context in columns
            for rows_together in (False, True)
        ]

    def finish(self, function: Any, workload: AttentionWorkload) -> Any:
        return wrap_body_of_outer_loop(function, amx.with_tiles([_scores(workload), _values(workload)]))

    def _apply(
        self, workload: AttentionWorkload, rows: int, columns: tuple[int, int], rows_together: bool, sch: Schedule
    ) -> None:
        """``rows`` and ``columns``: accumulator tiles of the scores and of the context."""
        lay_out_operands(sch, amx.LAYOUT)
        sch.compute_inline(sch.get_sblock("query"))
        split_row_reductions(sch, workload)
        score_tiles = sch.cache_write(sch.get_sblock("scores"), 0, amx.SCOPE)
        value_tiles = sch.cache_write(sch.get_sblock("context_accumulator"), 0, amx.SCOPE)

        row, channel = sch.get_loops(sch.get_sblock("context"))
        batch, tile, query = sch.split(row, [workload.batch, None, rows * amx.TILE])
        together = widest_divisor(workload.length // (rows * amx.TILE), QUERY_TILES // rows)
        block, tile = choose_tiles(sch, tile, together)
        query = sch.fuse(tile, query)
        head, lane = sch.split(channel, [workload.heads, workload.head_dim])
        vectors, lane = sch.split(lane, [None, vector_width(workload.head_dim, workload.lanes)])
        sch.reorder(batch, head, block, query, vectors, lane)
        sch.compute_at(value_tiles, block, preserve_unit_loops=True)
        sch.compute_at(sch.get_sblock("context_accumulator"), block, preserve_unit_loops=True)
        sch.compute_at(sch.get_sblock("value"), head, preserve_unit_loops=True)
        place_softmax(sch, block, rows_together)
        sch.compute_at(score_tiles, block, preserve_unit_loops=True)
        sch.compute_at(sch.get_sblock("scores"), block, preserve_unit_loops=True)
        sch.compute_at(sch.get_sblock("key"), head, preserve_unit_loops=True)
        place_mask(sch, workload, head)
        sch.parallel(sch.fuse(batch, head))
        sch.vectorize(lane)
        vectorize_softmax(sch, workload)
        tensorize_packing(sch, amx.LAYOUT, WORDS)
        scores, context = columns
        self._tensorize_product(sch, "scores", score_tiles, (rows, scores), _scores(workload))
        self._tensorize_product(sch, "context_accumulator", value_tiles, (rows, context), _values(workload))

    def _tensorize_product(
        self, sch: Schedule, name: str, store: Any, tiles: tuple[int, int], operands: amx.Operands
    ) -> None:
        rows, columns = tiles
        intrinsics = amx.register(rows, columns, operands)
        product = sch.get_sblock(name)
        row, column = sch.get_loops(store)[-2:]
        row_block, row = sch.split(row, [None, rows * amx.TILE])
        column_block, column = sch.split(column, [None, columns * amx.TILE])
        sch.reorder(row_block, column_block, row, column)
        # The accumulators of one block are tile registers: it is stored before the next one is begun.
        sch.compute_at(product, column_block, preserve_unit_loops=True)
        sch.tensorize(row, intrinsics.store)
        row, column, reduction = sch.get_loops(product)[-3:]
        step, inner = sch.split(reduction, [None, operands.depth])
        sch.reorder(step, row, column, inner)
        zero = sch.decompose_reduction(product, step)
        sch.tensorize(sch.get_loops(zero)[-2], intrinsics.zero)
        sch.tensorize(row, intrinsics.dot)


def _scores(workload: AttentionWorkload) -> amx.Operands:
    return amx.Operands("tdpbssd", _depth(workload.head_dim), left=(4,), right=(5,))


def _values(workload: AttentionWorkload) -> amx.Operands:
    return amx.Operands("tdpbusd", _depth(workload.length), left=(6,), right=(7,))


def _depth(extent: int) -> int:
    """The inputs that one instruction reduces: 64, 32 or 16."""
    return next(depth for depth in (64, 32, 16) if extent % depth == 0)
