"""Strategies of the row-wise and element-wise operators: rows in parallel, lanes vectorized."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
from tvm.s_tir import Schedule

from .strategy import Strategy
from .vectors import vector_width


@dataclass(frozen=True)
class RowWorkload:
    """An operator whose output blocks have ``rows`` rows of ``channels`` channels."""

    rows: int
    channels: int
    lanes: int


@dataclass(frozen=True)
class LayerNormRows:
    """A row at a time, both reductions and both outputs; the reductions in parallel lanes."""

    name: str = "vectorized_rows"

    def refuse(self, workload: RowWorkload, features: frozenset[str]) -> str | None:
        return None

    def schedule(self, kernel: Any, workload: RowWorkload) -> Any:
        sch = Schedule(tvm.IRModule({"main": kernel}))
        width = vector_width(workload.channels, workload.lanes)
        for name in ("total", "squares"):
            reduction = sch.get_loops(sch.get_sblock(name))[-1]
            _, lane = sch.split(reduction, [None, width])
            sch.rfactor(lane, factor_axis=1)
        narrow = sch.get_sblock("narrow")
        row, channel = sch.get_loops(sch.get_sblock("wide"))
        vectors, lane = sch.split(channel, [None, width])
        sch.reverse_compute_at(narrow, vectors, preserve_unit_loops=True)
        for name in (
            "bits",
            "reciprocal",
            "half_exponent",
            "squares",
            "squares_rf",
            "mean",
            "total",
            "total_rf",
        ):
            sch.compute_at(sch.get_sblock(name), row, preserve_unit_loops=True)
        sch.vectorize(lane)
        sch.vectorize(sch.get_loops(narrow)[-1])
        sch.parallel(row)
        partial_sums = [sch.get_sblock(name) for name in ("total_rf", "squares_rf")]
        steps = [self._vectorize_lanes(sch, block) for block in partial_sums]
        # Last: of a decomposed reduction TVM no longer sees that its lanes are independent.
        for block, step in zip(partial_sums, steps, strict=True):
            sch.decompose_reduction(block, step)
        return sch.mod["main"]

    def _vectorize_lanes(self, sch: Schedule, partial_sum: Any) -> Any:
        lane, row, step = sch.get_loops(partial_sum)[-3:]
        sch.reorder(step, row, lane)
        sch.vectorize(lane)
        return step


@dataclass(frozen=True)
class VectorizedRows:
    """The last block's rows in parallel and its channels in lanes; what it reads is computed inside."""

    output: str
    name: str = "vectorized_rows"

    def refuse(self, workload: RowWorkload, features: frozenset[str]) -> str | None:
        return None

    def schedule(self, kernel: Any, workload: RowWorkload) -> Any:
        sch = Schedule(tvm.IRModule({"main": kernel}))
        row, channel = sch.get_loops(sch.get_sblock(self.output))
        _, lane = sch.split(channel, [None, vector_width(workload.channels, workload.lanes)])
        sch.vectorize(lane)
        sch.parallel(row)
        return sch.mod["main"]


@dataclass(frozen=True)
class PooledRows:
    """Mean pooling: sums over tokens with the channels in lanes."""

    name: str = "vectorized_rows"

    def refuse(self, workload: RowWorkload, features: frozenset[str]) -> str | None:
        return None

    def schedule(self, kernel: Any, workload: RowWorkload) -> Any:
        sch = Schedule(tvm.IRModule({"main": kernel}))
        width = vector_width(workload.channels, workload.lanes)
        total, pooled = sch.get_sblock("total"), sch.get_sblock("pooled")
        batch, channel = sch.get_loops(pooled)
        vectors, lane = sch.split(channel, [None, width])
        sch.compute_at(sch.get_sblock("count"), batch, preserve_unit_loops=True)
        sch.compute_at(total, vectors, preserve_unit_loops=True)
        total_lane, token = sch.get_loops(total)[-2:]
        sch.reorder(token, total_lane)
        sch.vectorize(total_lane)
        sch.vectorize(lane)
        sch.parallel(batch)
        sch.decompose_reduction(total, token)
        return sch.mod["main"]


LAYER_NORM_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (LayerNormRows(),)
DUPLICATE_CHANNELS_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (VectorizedRows("output"),)
EMBEDDING_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (VectorizedRows("wide"),)
MEAN_POOLING_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (PooledRows(),)
FIRST_TOKEN_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (VectorizedRows("pooled"),)
TANH_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (VectorizedRows("output"),)
