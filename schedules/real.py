"""Strategies of the float operators: rows or heads in parallel, channels in lanes, sums in the order that is stated.

The blocks' reductions keep their order: only maxima and minima, whose order does not matter, are split into lanes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tvm.s_tir import Schedule

from .choices import choose_tiles, choose_vectors
from .rows import PooledRows, VectorizedRows, parallel_rows
from .strategy import Sketch, Strategy
from .vectors import vector_width, widest_divisor

MAX_QUERIES = 8
"""Queries at a time: their probabilities stay in the first-level cache."""
TILE_VECTORS = 4


@dataclass(frozen=True)
class RealWorkload:
    """A float operator on ``rows`` rows of ``channels`` output channels; ``heads`` of attention, else 1."""

    rows: int
    channels: int
    lanes: int
    """float32 lanes of the target's widest vector."""
    batch: int = 1
    length: int = 1
    heads: int = 1
    wide_registers: bool = False
    """Whether there are 32 vector registers rather than 16."""


def _vectorize(sch: Schedule, loop: Any, extent: int, lanes: int) -> Any:
    """The last lanes of ``loop``, by default ``lanes``, as one vector; the loop over vectors."""
    steps, lane = choose_vectors(sch, loop, vector_width(extent, lanes))
    sch.vectorize(lane)
    return steps


def _vectorize_lane_sum(sch: Schedule, name: str) -> None:
    """The sum in lanes, whose order the operator states: one vector a step."""
    block = sch.get_sblock(f"{name}_lanes")
    lane, step = sch.get_loops(block)[-2:]
    sch.reorder(step, lane)
    sch.vectorize(lane)
    sch.decompose_reduction(block, step)


def _split_extremum(sch: Schedule, name: str, extent: int, lanes: int, axis: int) -> Any:
    """A maximum or minimum as those of lanes, and that of those; the lanes' block."""
    _, lane = choose_vectors(sch, sch.get_loops(sch.get_sblock(name))[-1], vector_width(extent, lanes))
    return sch.rfactor(lane, factor_axis=axis)


@dataclass(frozen=True)
class NormalizedRows(Strategy[RealWorkload]):
    """A row at a time: its sum, its squares, its outputs."""

    @property
    def name(self) -> str:
        return "vectorized_rows"

    def refuse(self, workload: RealWorkload, features: frozenset[str]) -> str | None:
        return None

    def sketches(self, workload: RealWorkload) -> Sequence[Sketch]:
        return [Sketch("row by row", partial(self._apply, workload))]

    def _apply(self, workload: RealWorkload, sch: Schedule) -> None:
        row, channel = sch.get_loops(sch.get_sblock("stream"))
        row = parallel_rows(sch, row)
        vectors = _vectorize(sch, channel, workload.channels, workload.lanes)
        if sch.get_consumers(sch.get_sblock("stream")):
            sch.reverse_compute_at(sch.get_sblock("hidden"), vectors, preserve_unit_loops=True)
            sch.vectorize(sch.get_loops(sch.get_sblock("hidden"))[-1])
        for name in ("reciprocal", "squares", "squares_lanes", "centered", "mean", "total", "total_lanes", "sum"):
            sch.compute_at(sch.get_sblock(name), row, preserve_unit_loops=True)
        for name in ("centered", "sum"):
            _vectorize(sch, sch.get_loops(sch.get_sblock(name))[-1], workload.channels, workload.lanes)
        for name in ("total", "squares"):
            _vectorize_lane_sum(sch, name)


@dataclass(frozen=True)
class DynamicRows(Strategy[RealWorkload]):
    """The extremes of every row, those of the sentence, then the integers."""

    @property
    def name(self) -> str:
        return "vectorized_rows"

    def refuse(self, workload: RealWorkload, features: frozenset[str]) -> str | None:
        return None

    def sketches(self, workload: RealWorkload) -> Sequence[Sketch]:
        return [Sketch("row by row", partial(self._apply, workload))]

    def _apply(self, workload: RealWorkload, sch: Schedule) -> None:
        row, channel = sch.get_loops(sch.get_sblock("output"))
        parallel_rows(sch, row)
        _vectorize(sch, channel, workload.channels, workload.lanes)
        for name in ("row_least", "row_largest"):
            lanes = _split_extremum(sch, name, workload.channels, workload.lanes, 1)
            row = parallel_rows(sch, sch.get_loops(sch.get_sblock(name))[0])
            sch.compute_at(lanes, row, preserve_unit_loops=True)
            lane, step = sch.get_loops(lanes)[-2:]
            sch.reorder(step, lane)
            sch.vectorize(lane)
            sch.decompose_reduction(lanes, step)


@dataclass(frozen=True)
class RegisterTileAttention(Strategy[RealWorkload]):
    """One head and a few queries at a time; both products in register tiles, the reduction innermost but the tile."""

    @property
    def name(self) -> str:
        return "register_tiles"

    def refuse(self, workload: RealWorkload, features: frozenset[str]) -> str | None:
        return None

    def sketches(self, workload: RealWorkload) -> Sequence[Sketch]:
        return [
            Sketch(
                f"scores {rows} rows x {scores} vectors, context {rows} x {context}",
                partial(self._apply, workload, rows, scores, context),
            )
            for rows, scores, context in self._tiles(workload)
        ]

    def _tiles(self, workload: RealWorkload) -> Sequence[tuple[int, int, int]]:
        """Rows of a register tile, and its vectors for the scores and for the context."""
        registers = 32 if workload.wide_registers else 16
        rows = widest_divisor(widest_divisor(workload.length, MAX_QUERIES), registers // 8)
        columns = workload.length, workload.channels // workload.heads
        available = [extent // self._width(workload, extent) for extent in columns]
        found = [
            (tile_rows, widest_divisor(available[0], vectors), widest_divisor(available[1], vectors))
            for tile_rows in (rows, 2 * rows, rows // 2)
            for vectors in (TILE_VECTORS, TILE_VECTORS // 2, 2 * TILE_VECTORS)
            if tile_rows and workload.length % tile_rows == 0 and (tile_rows + 1) * vectors < registers
        ]
        return list(dict.fromkeys(found))

    def _width(self, workload: RealWorkload, extent: int) -> int:
        """float64 lanes of a vector."""
        return vector_width(extent, max(1, workload.lanes // 2))

    def _apply(self, workload: RealWorkload, rows: int, scores: int, context: int, sch: Schedule) -> None:
        head_dim, length = workload.channels // workload.heads, workload.length
        sch.transform_layout("key", ("write", 0), lambda b, h, j, d: (b, h, d, j))
        largest_lanes = _split_extremum(sch, "largest", length, workload.lanes, 3)
        row, channel = sch.get_loops(sch.get_sblock("output"))
        batch, tile, query = sch.split(row, [workload.batch, None, rows])
        together = widest_divisor(length // rows, max(1, MAX_QUERIES // rows))
        block, tile = choose_tiles(sch, tile, together)
        query = sch.fuse(tile, query)
        head, column = sch.split(channel, [workload.heads, head_dim])
        sch.reorder(batch, head, block, query, column)
        _vectorize(sch, column, head_dim, workload.lanes)
        sch.compute_at(sch.get_sblock("context"), block, preserve_unit_loops=True)
        context_sum = self._tile(sch, workload, "context_sum", "context", head_dim, rows, context)
        for name in ("probabilities", "reciprocal", "total", "total_lanes", "exponential", "largest"):
            sch.compute_at(sch.get_sblock(name), block, preserve_unit_loops=True)
        sch.compute_at(largest_lanes, block, preserve_unit_loops=True)
        sch.compute_at(sch.get_sblock("scores"), block, preserve_unit_loops=True)
        score_sum = self._tile(sch, workload, "score_sum", "scores", length, rows, scores)
        sch.compute_at(sch.get_sblock("query"), block, preserve_unit_loops=True)
        for name in ("key", "value"):
            sch.compute_at(sch.get_sblock(name), head, preserve_unit_loops=True)
        sch.parallel(sch.fuse(batch, head))
        for name, extent in (
            ("query", head_dim),
            ("value", head_dim),
            ("probabilities", length),
            ("exponential", length),
        ):
            _vectorize(sch, sch.get_loops(sch.get_sblock(name))[-1], extent, workload.lanes)
        self._vectorize_largest(sch, largest_lanes)
        _vectorize_lane_sum(sch, "total")
        for product, reduction in (context_sum, score_sum):
            sch.decompose_reduction(product, reduction)

    def _tile(
        self, sch: Schedule, workload: RealWorkload, product: str, consumer: str, columns: int, rows: int, vectors: int
    ) -> Any:
        """The reduction ``product`` inside register tiles of ``rows`` and ``vectors`` of its ``consumer``."""
        row, column = sch.get_loops(sch.get_sblock(consumer))[-2:]
        width = self._width(workload, columns)
        row_block, row = sch.split(row, [None, rows])
        column_block, vector, lane = sch.split(column, [None, vectors, width])
        sch.reorder(row_block, column_block, row, vector, lane)
        block = sch.get_sblock(product)
        sch.set_scope(block, 0, "local")
        sch.compute_at(block, column_block, preserve_unit_loops=True)
        sch.vectorize(lane)
        sch.unroll(row)
        sch.unroll(vector)
        inner_row, inner_column, reduction = sch.get_loops(block)[-3:]
        inner_vector, inner_lane = sch.split(inner_column, [None, width])
        sch.reorder(reduction, inner_row, inner_vector, inner_lane)
        sch.vectorize(inner_lane)
        sch.unroll(inner_row)
        sch.unroll(inner_vector)
        return block, reduction

    def _vectorize_largest(self, sch: Schedule, lanes_block: Any) -> None:
        lane, batch, head, query, step = sch.get_loops(lanes_block)[-5:]
        sch.reorder(batch, head, query, step, lane)
        sch.vectorize(lane)
        lane, batch, head, query = sch.get_loops(sch.get_sblock("largest"))[-4:]
        sch.reorder(batch, head, query, lane)
        sch.decompose_reduction(lanes_block, step)


REAL_STRATEGIES: Mapping[str, tuple[Strategy[Any], ...]] = {
    "elements": (VectorizedRows("output"),),
    "normalized_rows": (NormalizedRows(),),
    "pooled": (PooledRows(),),
    "attention": (RegisterTileAttention(),),
    "dynamic": (DynamicRows(),),
}
"""By the plan of the operator's kernel."""
