"""The linear strategy of dot-product instructions, one step of the reduction at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
from tvm.s_tir import Schedule

from ..micro_kernels import DotProduct
from ..strategy import missing
from ..tiles import tensorize_tile
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
        tile_rows, tile_blocks = dot_product.register_tile(workload.rows, workload.channels)
        columns = tile_blocks * dot_product.layout.n_block
        width = vector_width(columns, workload.lanes)
        sch = Schedule(tvm.IRModule({"main": kernel}))
        accumulator, output = sch.get_sblock("accumulator"), sch.get_sblock("output")
        i, j = sch.get_loops(output)
        row_block, row = sch.split(i, [None, tile_rows])
        column_block, vectors, lane = sch.split(j, [None, columns // width, width])
        sch.reorder(column_block, row_block, row, vectors, lane)
        sch.compute_at(accumulator, row_block, preserve_unit_loops=True)
        sch.parallel(column_block)
        sch.vectorize(lane)
        sch.unroll(vectors)
        tensorize_tile(sch, dot_product, accumulator, tile_rows, tile_blocks, workload.inputs)
        return sch.mod["main"]
