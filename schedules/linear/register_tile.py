"""The linear strategy of micro-kernels that are a register tile's whole reduction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tvm.s_tir import Schedule

from ..micro_kernels import RegisterTile
from ..strategy import Sketch, Strategy, missing, not_a_multiple
from ..tiles import tensorize_tile
from ..vectors import widest_divisor
from .blocking import Outside, begin, block_output, tile_name
from .workload import LinearWorkload

CACHED_WEIGHT_BYTES = 16 * 1024
"""Half of the first-level data cache of an Armv8.0 core, 32 KiB; the activations need the other half."""


@dataclass(frozen=True)
class RegisterTileLinear(Strategy[LinearWorkload]):
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

    def sketches(self, workload: LinearWorkload) -> Sequence[Sketch]:
        block = self.register_tile.layout.n_block
        return [
            Sketch(tile_name(rows, blocks * block, outside), partial(self._apply, workload, rows, blocks, outside))
            for outside in Outside
            for rows, blocks in self.register_tile.register_tiles(workload.rows, workload.channels)
        ]

    def _apply(self, workload: LinearWorkload, rows: int, blocks: int, outside: Outside, sch: Schedule) -> None:
        columns = blocks * self.register_tile.layout.n_block
        group = widest_divisor(workload.channels // columns, max(1, CACHED_WEIGHT_BYTES // (columns * workload.inputs)))
        accumulator = begin(sch, workload)
        loops = block_output(sch, workload, outside, (rows, columns), column_group=group)
        sch.compute_at(accumulator, loops.block, preserve_unit_loops=True)
        sch.unroll(loops.row)
        tensorize_tile(sch, self.register_tile, accumulator, rows, blocks, workload.inputs)
