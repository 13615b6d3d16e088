"""Strategies of the row-wise and element-wise operators: rows in parallel, lanes vectorized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tvm.s_tir import Schedule

from .choices import MOST_VECTORS, choose_tiles, choose_vectors
from .strategy import Sketch, Strategy
from .vectors import vector_width, widest_divisor

STATISTICS = ("bits", "reciprocal", "half_exponent", "squares", "squares_rf", "mean", "total", "total_rf")
"""The blocks of a layer norm's row that its outputs read, from the last to the first."""
ROWS_TOGETHER = 4
MOST_TOKENS = 8
"""Tokens whose sums may be unrolled."""


@dataclass(frozen=True)
class RowWorkload:
    """An operator whose output blocks have ``rows`` rows of ``channels`` channels."""

    rows: int
    channels: int
    lanes: int


def vector_widths(extent: int, lanes: int) -> tuple[int, ...]:
    """The widths worth trying for a row of ``extent``: the widest vectors, and those of half the width."""
    widest = vector_width(extent, lanes)
    return (widest,) if widest == 1 else (widest, widest // 2)


def parallel_rows(sch: Schedule, row: Any) -> Any:
    """Shares the rows out among the threads, by default one by one; the loop over the rows of a share."""
    shares, row = choose_tiles(sch, row, 1)
    sch.parallel(shares)
    return row


@dataclass(frozen=True)
class LayerNormRows(Strategy[RowWorkload]):
    """Both reductions of a row and both its outputs; the reductions in parallel lanes."""

    @property
    def name(self) -> str:
        return "vectorized_rows"

    def refuse(self, workload: RowWorkload, features: frozenset[str]) -> str | None:
        return None

    def sketches(self, workload: RowWorkload) -> Sequence[Sketch]:
        widths = vector_widths(workload.channels, workload.lanes)
        together = widest_divisor(workload.rows, ROWS_TOGETHER)
        row_by_row = [Sketch(f"{width} lanes, row by row", partial(self._apply, width, None)) for width in widths]
        rows_together = [
            Sketch(f"{width} lanes, rows together", partial(self._apply, width, together)) for width in widths
        ]
        return [*rows_together, *row_by_row] if together > 1 else row_by_row

    def _apply(self, width: int, together: int | None, sch: Schedule) -> None:
        """``together``: the rows whose statistics are computed one after the other, before their outputs, so that
        their divisions overlap; None: a row's statistics, then its outputs."""
        for name in ("total", "squares"):
            reduction = sch.get_loops(sch.get_sblock(name))[-1]
            _, lane = choose_vectors(sch, reduction, width)
            sch.rfactor(lane, factor_axis=1)
        narrow = sch.get_sblock("narrow")
        row, channel = sch.get_loops(sch.get_sblock("wide"))
        shares, row = choose_tiles(sch, row, together or 1)
        sch.parallel(shares)
        vectors, lane = choose_vectors(sch, channel, width)
        sch.reverse_compute_at(narrow, vectors, preserve_unit_loops=True)
        for name in STATISTICS:
            sch.compute_at(sch.get_sblock(name), row if together is None else shares, preserve_unit_loops=True)
        sch.vectorize(lane)
        sch.vectorize(sch.get_loops(narrow)[-1])
        partial_sums = [sch.get_sblock(name) for name in ("total_rf", "squares_rf")]
        steps = [self._vectorize_lanes(sch, block) for block in partial_sums]
        # Last: of a decomposed reduction TVM no longer sees that its lanes are independent.
        for block, step in zip(partial_sums, steps, strict=True):
            sch.decompose_reduction(block, step)

    def _vectorize_lanes(self, sch: Schedule, partial_sum: Any) -> Any:
        lane, row, step = sch.get_loops(partial_sum)[-3:]
        sch.reorder(row, step, lane)
        sch.vectorize(lane)
        return step


@dataclass(frozen=True)
class VectorizedRows(Strategy[RowWorkload]):
    """The last block's rows in parallel and its channels in lanes; what it reads is computed inside."""

    output: str

    @property
    def name(self) -> str:
        return "vectorized_rows"

    def refuse(self, workload: RowWorkload, features: frozenset[str]) -> str | None:
        return None

    def sketches(self, workload: RowWorkload) -> Sequence[Sketch]:
        return [
            Sketch(f"{width} lanes", partial(self._apply, width))
            for width in vector_widths(workload.channels, workload.lanes)
        ]

    def _apply(self, width: int, sch: Schedule) -> None:
        row, channel = sch.get_loops(sch.get_sblock(self.output))
        parallel_rows(sch, row)
        # Not one wide vector: a kernel may ask where its channels lie for each whole vector.
        vectors, lane = sch.split(channel, [None, width])
        _, vector = choose_tiles(sch, vectors, 1, most=MOST_VECTORS)
        sch.unroll(vector)
        sch.vectorize(lane)


@dataclass(frozen=True)
class PooledRows(Strategy[RowWorkload]):
    """Mean pooling: sums over tokens with the channels in lanes."""

    @property
    def name(self) -> str:
        return "vectorized_rows"

    def refuse(self, workload: RowWorkload, features: frozenset[str]) -> str | None:
        return None

    def sketches(self, workload: RowWorkload) -> Sequence[Sketch]:
        return [
            Sketch(f"{width} lanes", partial(self._apply, width))
            for width in vector_widths(workload.channels, workload.lanes)
        ]

    def _apply(self, width: int, sch: Schedule) -> None:
        total, pooled = sch.get_sblock("total"), sch.get_sblock("pooled")
        batch, channel = sch.get_loops(pooled)
        batch = parallel_rows(sch, batch)
        vectors, lane = choose_vectors(sch, channel, width)
        sch.compute_at(sch.get_sblock("count"), batch, preserve_unit_loops=True)
        sch.compute_at(total, vectors, preserve_unit_loops=True)
        total_lane, token = sch.get_loops(total)[-2:]
        tokens, token = choose_tiles(sch, token, 1, most=MOST_TOKENS)
        sch.reorder(tokens, token, total_lane)
        sch.vectorize(total_lane)
        sch.vectorize(lane)
        sch.unroll(token)
        sch.decompose_reduction(total, tokens)


LAYER_NORM_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (LayerNormRows(),)
DUPLICATE_CHANNELS_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (VectorizedRows("output"),)
EMBEDDING_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (VectorizedRows("wide"),)
MEAN_POOLING_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (PooledRows(),)
FIRST_TOKEN_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (VectorizedRows("pooled"),)
TANH_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (VectorizedRows("output"),)
