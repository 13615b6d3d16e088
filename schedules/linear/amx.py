"""The linear strategy of AMX tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tvm.s_tir import Schedule

from ..intrinsics import amx
from ..rewrite import wrap_body_of_outer_loop
from ..strategy import Sketch, Strategy, missing, not_a_multiple
from ..vectors import widest_divisor
from .blocking import Outside, block_output, place_weight, tile_name
from .workload import LinearWorkload

PARALLEL_GROUPS = 8
"""At least so many groups of columns, for the threads to share."""
CACHED_ROW_BLOCKS = 2
"""Row blocks whose activations stay in the first-level cache while the columns of a group pass: what limits AMX is
how often the operands come from the second level."""
AMX_OPERANDS = amx.Operands("tdpbusd", amx.MAX_DEPTH, left=(4, 5), right=(6, 7), prefetch=True)


@dataclass(frozen=True)
class AmxLinear(Strategy[LinearWorkload]):
    """Blocks of up to 32 x 32 outputs in AMX tile registers."""

    @property
    def name(self) -> str:
        return amx.STRATEGY

    def refuse(self, workload: LinearWorkload, features: frozenset[str]) -> str | None:
        if lacking := missing("amx_int8", features) or missing("avx512", features):
            return lacking
        if not workload.unsigned or workload.layout != amx.LAYOUT:
            return "the weight is packed for another instruction"
        return not_a_multiple("rows", workload.rows, amx.TILE) or not_a_multiple(
            "inputs", workload.inputs, AMX_OPERANDS.depth
        )

    def sketches(self, workload: LinearWorkload) -> Sequence[Sketch]:
        rows = widest_divisor(workload.rows // amx.TILE, 2)
        columns = widest_divisor(workload.channels // amx.TILE, 2)
        tiles = dict.fromkeys([(rows, columns), (1, columns), (rows, 1)])
        return [
            Sketch(
                f"{tile_name(tile[0] * amx.TILE, tile[1] * amx.TILE, outside)}{'' if prefetch else ', no prefetch'}",
                partial(self._apply, workload, tile, outside, replace(AMX_OPERANDS, prefetch=prefetch)),
            )
            for tile in tiles
            for outside in Outside
            for prefetch in (True, False)
        ]

    def finish(self, function: Any, workload: LinearWorkload) -> Any:
        return wrap_body_of_outer_loop(function, amx.with_tiles([AMX_OPERANDS]))

    def _apply(
        self, workload: LinearWorkload, tile: tuple[int, int], outside: Outside, operands: amx.Operands, sch: Schedule
    ) -> None:
        rows, columns = tile
        intrinsics = amx.register(rows, columns, operands)
        accumulator = sch.get_sblock("accumulator")
        store = sch.cache_write(accumulator, 0, amx.SCOPE)
        column_blocks = workload.channels // (columns * amx.TILE)
        loops = block_output(
            sch,
            workload,
            outside,
            (rows * amx.TILE, columns * amx.TILE),
            column_group=widest_divisor(column_blocks, max(1, column_blocks // PARALLEL_GROUPS)),
            row_group=widest_divisor(workload.rows // (rows * amx.TILE), CACHED_ROW_BLOCKS),
        )
        sch.compute_at(store, loops.block, preserve_unit_loops=True)
        sch.compute_at(accumulator, loops.block, preserve_unit_loops=True)
        place_weight(sch, workload, loops)
        tile_row, tile_column, reduction = sch.get_loops(accumulator)[-3:]
        step, inner = sch.split(reduction, [None, operands.depth])
        sch.reorder(step, tile_row, tile_column, inner)
        zero = sch.decompose_reduction(accumulator, step)
        sch.tensorize(sch.get_loops(zero)[-2], intrinsics.zero)
        sch.tensorize(tile_row, intrinsics.dot)
        sch.tensorize(sch.get_loops(store)[-2], intrinsics.store)
