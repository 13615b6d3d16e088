"""The linear strategy of table look-up: tables built once a row, sums of their entries in register tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from tvm.s_tir import Schedule

from ..choices import choose_tiles
from ..intrinsics.lookup_tile import LookupTile
from ..lookup.kernels import LookupKernel
from ..lookup.operands import LookupOperands
from ..rewrite import drop_clearing, split_off_clearing
from ..strategy import PrimFunc, Sketch, Strategy
from ..vectors import vector_width, widest_divisor
from .blocking import Outside, tile_name
from .workload import UNSIGNED_ZERO_POINT, LinearWorkload


@dataclass(frozen=True)
class LookupLinear(Strategy[LinearWorkload]):
    """Rows outside: their tables are built when their first channels need them, and stay in the nearest cache.

    Columns outside: all tables are built first. How many tiles of rows and of columns follow each other is open, and
    of how many rows a thread builds the tables.
    """

    kernel: LookupKernel

    @property
    def name(self) -> str:
        return self.kernel.name

    def refuse(self, workload: LinearWorkload, features: frozenset[str]) -> str | None:
        found = workload.layout
        usable = isinstance(found, LookupOperands) and found.kernel == self.kernel
        return None if usable else "the weight is not indices of its tables"

    def sketches(self, workload: LinearWorkload) -> Sequence[Sketch]:
        operands = workload.layout
        assert isinstance(operands, LookupOperands)
        first = Outside.ROWS if workload.rows >= FEW_ROWS else Outside.COLUMNS
        return [
            Sketch(
                tile_name(rows, blocks * self.kernel.n_block, outside),
                partial(self._apply, workload, operands, rows, blocks, outside),
            )
            for outside in sorted(Outside, key=lambda outside: outside is not first)
            for rows, blocks in self.kernel.tiles(workload.rows, workload.channels)
        ]

    def _apply(
        self, workload: LinearWorkload, operands: LookupOperands, rows: int, blocks: int, outside: Outside,
        sch: Schedule,
    ) -> None:  # fmt: skip
        n_block = self.kernel.n_block
        tile = self._tile(operands, rows, blocks)
        table, accumulator = sch.get_sblock("table"), sch.get_sblock("accumulator")
        # The tables of a tile's rows lie side by side: with those of others between them they would share cache sets.
        sch.transform_layout(table, ("write", 0), lambda vector, i, lane: (i // rows, vector, i % rows, lane))
        row, column = sch.get_loops(sch.get_sblock("output"))
        row_block, row = sch.split(row, [None, rows])
        columns = tile.groups * blocks * n_block
        width = vector_width(columns, workload.lanes)
        column_block, vectors, lane = sch.split(column, [None, columns // width, width])
        row_groups, row_block = choose_tiles(sch, row_block, 1)
        column_groups, column_block = choose_tiles(sch, column_block, 1)
        if outside is Outside.ROWS:
            outer = row_groups, column_groups, row_block, column_block
        else:
            outer = column_groups, row_groups, column_block, row_block
        together = widest_divisor(rows, self.kernel.epilogue_rows)
        if together > 1:
            row, row_inside = sch.split(row, [None, together])
            sch.reorder(*outer, row, vectors, row_inside, lane)
            sch.unroll(row_inside)
        else:
            sch.reorder(*outer, row, vectors, lane)
        sch.parallel(outer[0])
        sch.vectorize(lane)
        sch.compute_at(accumulator, outer[-1], preserve_unit_loops=True)
        if outside is Outside.ROWS:
            sch.compute_at(table, row_groups, preserve_unit_loops=True)
        vector, row, _ = sch.get_loops(table)[-3:]
        sch.reorder(row, vector)
        if outside is Outside.COLUMNS:
            groups_of_rows, _ = choose_tiles(sch, row, 1)
            sch.parallel(groups_of_rows)
        self._tensorize(sch, workload, operands, tile)

    def finish(self, function: PrimFunc, workload: LinearWorkload) -> PrimFunc:
        return drop_clearing(function) if self.kernel.sets else function

    def _tile(self, operands: LookupOperands, rows: int, blocks: int) -> LookupTile:
        layout = operands.layout
        vector_bytes = layout.lanes * np.dtype(self.kernel.entry).itemsize
        columns = blocks * self.kernel.n_block
        groups = widest_divisor(layout.channels // columns, max(1, MOST_COLUMNS // columns))
        vectors = max(1, CACHED_TABLE_BYTES // (rows * vector_bytes))
        gain = operands.gain if self.kernel.sets else 1
        return LookupTile(rows, blocks, groups, min(vectors, layout.table_vectors), gain)

    def _tensorize(self, sch: Schedule, workload: LinearWorkload, operands: LookupOperands, tile: LookupTile) -> None:
        kernel, layout = self.kernel, operands.layout
        accumulator, table = sch.get_sblock("accumulator"), sch.get_sblock("table")
        row, column, _ = sch.get_loops(accumulator)[-3:]
        if kernel.sets:
            split_off_clearing(sch, accumulator, row)
        else:
            zero = sch.decompose_reduction(accumulator, row)
            _, lane = sch.split(sch.get_loops(zero)[-1], [None, LANES])
            sch.vectorize(lane)
        sch.tensorize(column if tile.rows == 1 else row, kernel.register_tile(layout, tile, operands.reach))
        zero_point = UNSIGNED_ZERO_POINT if workload.unsigned else 0
        sch.tensorize(sch.get_loops(table)[-2], kernel.register_tables(layout, zero_point, operands.reach))


LANES = 16
"""int32 lanes of the widest vector: LLVM divides wider ones."""
CACHED_TABLE_BYTES = 24 * 1024
"""Of a first-level data cache of 32 KiB or more; indices and accumulators need the rest."""
MOST_COLUMNS = 768
"""Whose accumulators wait for the epilogue."""
FEW_ROWS = 32
"""Below it there are too few tiles of rows for all threads."""
