"""The linear strategy of AMX tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
from tvm.s_tir import Schedule

from ..intrinsics import amx
from ..rewrite import wrap_body_of_outer_loop
from ..strategy import missing, not_a_multiple
from ..vectors import vector_width, widest_divisor
from .workload import LinearWorkload

PARALLEL_GROUPS = 8
"""At least so many groups of columns, for the threads to share."""
CACHED_ROW_BLOCKS = 2
"""Row blocks whose activations stay in the first-level cache while the columns of a group pass: what limits AMX is
how often the operands come from the second level."""
AMX_OPERANDS = amx.Operands("tdpbusd", amx.MAX_DEPTH, left=(4, 5), right=(6, 7), prefetch=True)


@dataclass(frozen=True)
class AmxLinear:
    """Blocks of up to 32 x 32 outputs in AMX tile registers."""

    name: str = amx.STRATEGY

    def refuse(self, workload: LinearWorkload, features: frozenset[str]) -> str | None:
        if lacking := missing("amx_int8", features) or missing("avx512", features):
            return lacking
        if not workload.unsigned or workload.layout != amx.LAYOUT:
            return "the weight is packed for another instruction"
        return not_a_multiple("rows", workload.rows, amx.TILE) or not_a_multiple(
            "inputs", workload.inputs, AMX_OPERANDS.depth
        )

    def schedule(self, kernel: Any, workload: LinearWorkload) -> Any:
        rows = widest_divisor(workload.rows // amx.TILE, 2)
        columns = widest_divisor(workload.channels // amx.TILE, 2)
        intrinsics = amx.register(rows, columns, AMX_OPERANDS)
        sch = Schedule(tvm.IRModule({"main": kernel}))
        accumulator, output = sch.get_sblock("accumulator"), sch.get_sblock("output")
        store = sch.cache_write(accumulator, 0, amx.SCOPE)
        i, j = sch.get_loops(output)
        row_block, row = sch.split(i, [None, rows * amx.TILE])
        width = vector_width(columns * amx.TILE, workload.lanes)
        column_blocks = workload.channels // (columns * amx.TILE)
        group = widest_divisor(column_blocks, max(1, column_blocks // PARALLEL_GROUPS))
        column_group, column_block, vectors, lane = sch.split(j, [None, group, columns * amx.TILE // width, width])
        cached = widest_divisor(workload.rows // (rows * amx.TILE), CACHED_ROW_BLOCKS)
        cached_rows, row_block = sch.split(row_block, [None, cached])
        sch.reorder(column_group, cached_rows, column_block, row_block, row, vectors, lane)
        sch.compute_at(store, row_block, preserve_unit_loops=True)
        sch.compute_at(accumulator, row_block, preserve_unit_loops=True)
        sch.parallel(column_group)
        sch.vectorize(lane)
        sch.unroll(vectors)
        tile_row, tile_column, reduction = sch.get_loops(accumulator)[-3:]
        step, inner = sch.split(reduction, [None, AMX_OPERANDS.depth])
        sch.reorder(step, tile_row, tile_column, inner)
        zero = sch.decompose_reduction(accumulator, step)
        sch.tensorize(sch.get_loops(zero)[-2], intrinsics.zero)
        sch.tensorize(tile_row, intrinsics.dot)
        sch.tensorize(sch.get_loops(store)[-2], intrinsics.store)
        return wrap_body_of_outer_loop(sch.mod["main"], amx.with_tiles([AMX_OPERANDS]))
