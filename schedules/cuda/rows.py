"""Row-wise operators on NVIDIA GPUs: a thread for each vector of channels; the lanes of a warp share what is summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tvm import tirx
from tvm.s_tir import SBlockRealize, Schedule

from ...targets.cuda import WARP
from ..rewrite import with_body_of_block, with_body_of_loop
from ..rows import RowWorkload
from ..strategy import Sketch, Strategy
from ..vectors import vector_width
from .threads import THREADS
from .warps import VECTOR_BYTES, bind_rows_of_warps


@dataclass(frozen=True)
class VectorRows(Strategy[RowWorkload]):
    """A thread for each vector of ``output``, of at most ``widest`` channels, whatever its row."""

    output: str
    widest: int

    @property
    def name(self) -> str:
        return "vectors"

    def refuse(self, workload: RowWorkload, features: frozenset[str]) -> str | None:
        return None

    def sketches(self, workload: RowWorkload) -> Sequence[Sketch]:
        vector = vector_width(workload.channels, self.widest)
        return [Sketch("a thread a vector", partial(self._apply, vector))]

    def _apply(self, vector: int, sch: Schedule) -> None:
        row, channel = sch.get_loops(sch.get_sblock(self.output))
        vectors, element = sch.split(channel, [None, 1 if _unpacks(sch) else vector])
        blocks, thread = sch.split(sch.fuse(row, vectors), [None, THREADS])
        sch.bind(blocks, "blockIdx.x")
        sch.bind(thread, "threadIdx.x")
        sch.vectorize(element)


@dataclass(frozen=True)
class WarpMeanPooling(Strategy[RowWorkload]):
    """Some lanes of a warp, each with every so-many-th token of a vector of channels; they are added up by shuffles."""

    @property
    def name(self) -> str:
        return "warp_shuffle"

    def refuse(self, workload: RowWorkload, features: frozenset[str]) -> str | None:
        return None

    def sketches(self, workload: RowWorkload) -> Sequence[Sketch]:
        vector = vector_width(workload.channels, VECTOR_BYTES // 2)
        vectors = workload.rows * workload.channels // vector
        return [
            Sketch(f"{lanes} lanes a vector", partial(self._apply, vector, lanes))
            for lanes in (WARP // 2, WARP // 4, WARP)
            if vectors % (WARP // lanes) == 0
        ]

    def _apply(self, vector: int, lanes: int, sch: Schedule) -> None:
        total, pooled = sch.get_sblock("total"), sch.get_sblock("pooled")
        states = sch.cache_read(total, "states", "local")
        stored = sch.cache_write(pooled, 0, "local")
        _, lane = sch.split(sch.get_loops(total)[-1], [None, lanes])
        lane_total = sch.rfactor(lane, 0)

        sentence, channel = sch.get_loops(stored)
        vectors, element = sch.split(channel, [None, vector])
        place = bind_rows_of_warps(sch, sch.fuse(sentence, vectors), lanes)
        for block in (pooled, total, lane_total, sch.get_sblock("count")):
            sch.compute_at(block, place, preserve_unit_loops=True)
            sch.set_scope(block, 0, "local")
        sch.unroll(sch.get_loops(pooled)[-1])
        # All lanes have the means; the first one stores them.
        lane, _ = sch.split(sch.add_unit_loop(element), [lanes, 1])
        sch.bind(lane, "threadIdx.x")
        sch.vectorize(element)
        self._sums(sch, lanes, states, total, lane_total)

    def _sums(self, sch: Schedule, lanes: int, states: Any, total: Any, lane_total: Any) -> None:
        _, count_lane = sch.split(sch.get_loops(sch.get_sblock("count"))[-1], [None, lanes])
        total_lane, _, total_element = sch.get_loops(total)[2:]
        lane, _, element, token = sch.get_loops(lane_total)[2:]
        for loop in (count_lane, total_lane, lane):
            sch.bind(loop, "threadIdx.x")
        sch.reorder(total_element, total_lane)
        sch.reorder(token, element)
        sch.unroll(element)
        sch.compute_at(states, token, preserve_unit_loops=True)
        sch.vectorize(sch.get_loops(states)[-1])
        sch.decompose_reduction(lane_total, token)

    def finish(self, function: Any, workload: RowWorkload) -> Any:
        _, length = (int(extent) for extent in function.params[1].shape)
        return function.with_body(_within(length, function.body))


def _within(length: int, statement: Any) -> Any:
    """``statement`` with no lane's tokens beyond ``length``: ``rfactor`` drops the condition of an uneven split."""
    if isinstance(statement, tirx.SeqStmt):
        return tirx.SeqStmt([_within(length, each) for each in statement.seq])
    if isinstance(statement, tirx.For):
        return with_body_of_loop(statement, _within(length, statement.body))
    if not isinstance(statement, SBlockRealize):
        return statement
    block, predicate = statement.block, statement.predicate
    if block.name_hint == "total_rf_update":
        lane, *_, step = statement.iter_values
        predicate = step * block.iter_vars[0].dom.extent + lane < length
    else:
        block = with_body_of_block(block, _within(length, block.body))
    return SBlockRealize(statement.iter_values, predicate, block)


def _unpacks(sch: Schedule) -> bool:
    """Whether the kernel unpacks a table: TVM's code generator has no shifts of such vectors."""
    return any(str(buffer.name).startswith("packed_") for buffer in sch.mod["main"].params)
