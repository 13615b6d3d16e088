"""The linear strategy that runs everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tvm.s_tir import Schedule

from ..choices import choose_tiles
from ..lookup.operands import LookupOperands
from ..strategy import Sketch, Strategy
from ..unpack import unpack_weight
from .workload import LinearWorkload


@dataclass(frozen=True)
class PlainLinear(Strategy[LinearWorkload]):
    """Loops over rows and channels with the reduction inside; the compiler may vectorize what it can."""

    @property
    def name(self) -> str:
        return "plain"

    def refuse(self, workload: LinearWorkload, features: frozenset[str]) -> str | None:
        return "the weight is indices of tables" if isinstance(workload.layout, LookupOperands) else None

    def sketches(self, workload: LinearWorkload) -> Sequence[Sketch]:
        return [Sketch("row by row", partial(self._apply, workload))]

    def _apply(self, workload: LinearWorkload, sch: Schedule) -> None:
        if workload.packed is not None:
            unpack_weight(sch, workload.packed, workload.lanes)
        accumulator = sch.get_sblock("accumulator")
        i, j = sch.get_loops(sch.get_sblock("output"))
        if workload.rows == 1:
            sch.compute_at(accumulator, j, preserve_unit_loops=True)
            shared = sch.fuse(i, j)
            groups, _ = choose_tiles(sch, shared, 1)
        else:
            groups, row = choose_tiles(sch, i, 1)
            columns, column = choose_tiles(sch, j, 1)
            sch.reorder(groups, columns, row, column)
            sch.compute_at(accumulator, column, preserve_unit_loops=True)
        sch.parallel(groups)
