"""The linear strategy of micro-kernels that are a register tile's whole reduction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
from tvm.s_tir import Schedule

from ..micro_kernels import RegisterTile
from ..strategy import missing, not_a_multiple
from ..tiles import tensorize_tile
from ..vectors import vector_width, widest_divisor
from .workload import LinearWorkload

CACHED_WEIGHT_BYTES = 16 * 1024
"""Half of the first-level data cache of an Armv8.0 core, 32 KiB; the activations need the other half."""


@dataclass(frozen=True)
class RegisterTileLinear:
    """Groups of columns whose weights stay in the first-level cache; in each, tiles row by row."""

    register_tile: RegisterTile

    @property
    def name(self) -> str:
        return self.register_tile.name

    def refuse(self, workload: LinearWorkload, features: frozenset[str]) -> str | None:
        tile = self.register_tile
        if lacking := missing(tile.feature, features):
            return lacking
        if workload.layout != tile.layout or workload.unsigned != tile.unsigned:
            return "the weight is packed for another instruction"
        return not_a_multiple("inputs", workload.inputs, tile.step)

    def schedule(self, kernel: Any, workload: LinearWorkload) -> Any:
        rows, blocks = self.register_tile.register_tile(workload.rows, workload.channels)
        columns = blocks * self.register_tile.layout.n_block
        group = widest_divisor(workload.channels // columns, max(1, CACHED_WEIGHT_BYTES // (columns * workload.inputs)))
        width = vector_width(columns, workload.lanes)
        sch = Schedule(tvm.IRModule({"main": kernel}))
        accumulator, output = sch.get_sblock("accumulator"), sch.get_sblock("output")
        i, j = sch.get_loops(output)
        row_block, row = sch.split(i, [None, rows])
        column_group, column_block, vectors, lane = sch.split(j, [None, group, columns // width, width])
        sch.reorder(column_group, row_block, column_block, row, vectors, lane)
        sch.compute_at(accumulator, column_block, preserve_unit_loops=True)
        sch.parallel(column_group)
        sch.vectorize(lane)
        sch.unroll(row)
        sch.unroll(vectors)
        tensorize_tile(sch, self.register_tile, accumulator, rows, blocks, workload.inputs)
        return sch.mod["main"]
