"""The linear strategy of micro-kernels that are a register tile's whole reduction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tvm.s_tir import Schedule

from ..micro_kernels import PackedRows, RegisterTile
from ..strategy import Sketch, Strategy, missing, not_a_multiple
from ..tiles import tensorize_row_packing, tensorize_tile
from ..vectors import widest_divisor
from .blocking import Outside, block_output, place_weight, tile_name
from .workload import LinearWorkload

CACHED_WEIGHT_BYTES = 16 * 1024
"""Half of the first-level data cache of an Armv8.0 core, 32 KiB; the activations need the other half."""


@dataclass(frozen=True)
class RegisterTileLinear(Strategy[LinearWorkload]):
    """Groups of columns whose weights stay in the first-level cache; in each, tiles row by row.

    Where the micro-kernel reads packed rows, the activations are packed once, before all tiles.
    """

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
        packed_rows = self.register_tile.packed_rows
        ways: list[PackedRows | None] = [None]
        if packed_rows is not None and packed_rows.fits(workload.rows, workload.inputs):
            ways = [packed_rows, None]
        return [sketch for way in ways for sketch in self._sketches(workload, way)]

    def _sketches(self, workload: LinearWorkload, packed_rows: PackedRows | None) -> list[Sketch]:
        block = self.register_tile.layout.n_block
        tiles = (
            self.register_tile.register_tiles(workload.rows, workload.channels)
            if packed_rows is None
            else packed_rows.register_tiles(workload.channels // block)
        )
        return [
            Sketch(
                f"{tile_name(rows, blocks * block, outside)}{'' if packed_rows is None else ', packed rows'}",
                partial(self._apply, workload, rows, blocks, outside, packed_rows),
            )
            for outside in Outside
            for rows, blocks in tiles
        ]

    def _apply(
        self,
        workload: LinearWorkload,
        rows: int,
        blocks: int,
        outside: Outside,
        packed_rows: PackedRows | None,
        sch: Schedule,
    ) -> None:
        tile_columns = blocks * self.register_tile.layout.n_block
        # The epilogue works on whole vectors of 16-bit lanes: some tiles are narrower.
        columns = tile_columns * widest_divisor(
            workload.channels // tile_columns, max(1, workload.lanes // tile_columns)
        )
        group = widest_divisor(workload.channels // columns, max(1, CACHED_WEIGHT_BYTES // (columns * workload.inputs)))
        accumulator = sch.get_sblock("accumulator")
        if packed_rows is not None:
            _pack_activations(sch, packed_rows)
        loops = block_output(sch, workload, outside, (rows, columns), column_group=group)
        sch.compute_at(accumulator, loops.block, preserve_unit_loops=True)
        place_weight(sch, workload, loops)
        row, column, reduction = sch.get_loops(accumulator)[-3:]
        tile, column = sch.split(column, [None, tile_columns])
        sch.reorder(tile, row, column, reduction)
        sch.unroll(tile)
        sch.unroll(loops.row)
        tensorize_tile(
            sch, self.register_tile, accumulator, rows, blocks, workload.inputs, packed=packed_rows is not None
        )


def _pack_activations(sch: Schedule, packed_rows: PackedRows) -> None:
    copy = sch.cache_read(sch.get_sblock("accumulator"), 0, "global")
    sch.transform_layout(copy, ("write", 0), lambda i, k: packed_rows.layout.index(i, k))
    sch.parallel(tensorize_row_packing(sch, packed_rows, copy))
