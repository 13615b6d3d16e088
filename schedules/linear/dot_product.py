"""The linear strategy of dot-product instructions, one step of the reduction at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
from tvm.s_tir import Schedule

from ..micro_kernels import DotProduct
from ..strategy import missing
from ..vectors import vector_width
from .workload import LinearWorkload


@dataclass(frozen=True)
class DotProductLinear:
    """A register tile of accumulators, fed by a dot-product instruction; the reduction is the innermost loop."""

    dot_product: DotProduct

    @property
    def name(self) -> str:
        return self.dot_product.name

    def refuse(self, workload: LinearWorkload, features: frozenset[str]) -> str | None:
        if lacking := missing(self.dot_product.feature, features):
            return lacking
        packed = workload.layout == self.dot_product.layout and workload.unsigned == self.dot_product.unsigned
        return None if packed else "the weight is packed for another instruction"

    def schedule(self, kernel: Any, workload: LinearWorkload) -> Any:
        dot_product = self.dot_product
        n_block, k_block = dot_product.layout.n_block, dot_product.layout.k_block
        tile_rows, tile_blocks = dot_product.register_tile(workload.rows, workload.channels)
        columns = tile_blocks * n_block
        width = vector_width(columns, workload.lanes)
        intrinsic = dot_product.register()
        sch = Schedule(tvm.IRModule({"main": kernel}))
        accumulator, output = sch.get_sblock("accumulator"), sch.get_sblock("output")
        i, j = sch.get_loops(output)
        row_block, row = sch.split(i, [None, tile_rows])
        column_block, vectors, lane = sch.split(j, [None, columns // width, width])
        sch.reorder(column_block, row_block, row, vectors, lane)
        sch.compute_at(accumulator, row_block, preserve_unit_loops=True)
        sch.parallel(column_block)
        sch.vectorize(lane)
        tile_row, tile_column, reduction = sch.get_loops(accumulator)[-3:]
        block, channel = sch.split(tile_column, [None, n_block])
        step, inner = sch.split(reduction, [None, k_block])
        sch.reorder(step, tile_row, block, channel, inner)
        zero = sch.decompose_reduction(accumulator, step)
        sch.tensorize(channel, intrinsic)
        for loop in (tile_row, block):
            sch.unroll(loop)
        zero_row, zero_column = sch.get_loops(zero)[-2:]
        zero_vectors, zero_lane = sch.split(zero_column, [None, n_block])
        for loop in (zero_row, zero_vectors, vectors):
            sch.unroll(loop)
        sch.vectorize(zero_lane)
        return sch.mod["main"]
