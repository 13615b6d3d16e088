"""The loops around a linear layer's register tiles: which part of the operands stays in which cache."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from tvm.s_tir import Schedule

from ..choices import choose_tiles
from ..unpack import unpack_weight
from ..vectors import vector_width
from .workload import LinearWorkload


class Outside(Enum):
    """What the threads share, and what is brought to the nearest cache once."""

    COLUMNS = "columns outside"
    """A group of columns' weights, while all rows pass."""
    ROWS = "rows outside"
    """A group of rows' activations, while all columns pass."""


@dataclass(frozen=True)
class TileLoops:
    """The loops of a register tile of outputs."""

    block: Any
    """The innermost loop around it: where its accumulators belong."""
    row: Any
    vectors: Any
    weights: Any | None
    """The loop over groups of columns, where all rows pass in it."""


def place_weight(sch: Schedule, workload: LinearWorkload, loops: TileLoops) -> None:
    """Unpacks the weight where it is packed; after the products have their place."""
    if workload.packed is not None:
        unpack_weight(sch, workload.packed, workload.lanes, loops.weights)


def block_output(
    sch: Schedule,
    workload: LinearWorkload,
    outside: Outside,
    tile: tuple[int, int],
    column_group: int = 1,
    row_group: int = 1,
) -> TileLoops:
    """Tiles of ``tile`` (rows, columns) outputs, in groups of columns and of rows, the outermost in parallel.

    The tiles of a group of columns and a group of rows follow each other; by default as many as ``column_group`` and
    ``row_group`` say.
    """
    rows, columns = tile
    width = vector_width(columns, workload.lanes)
    row, column = sch.get_loops(sch.get_sblock("output"))
    row_block, row = sch.split(row, [None, rows])
    column_block, vectors, lane = sch.split(column, [None, columns // width, width])
    column_groups, column_block = choose_tiles(sch, column_block, column_group)
    row_groups, row_block = choose_tiles(sch, row_block, row_group)
    if outside is Outside.COLUMNS:
        order = column_groups, row_groups, column_block, row_block
    else:
        order = row_groups, column_groups, row_block, column_block
    sch.reorder(*order, row, vectors, lane)
    sch.parallel(order[0])
    sch.vectorize(lane)
    sch.unroll(vectors)
    return TileLoops(order[-1], row, vectors, column_groups if outside is Outside.COLUMNS else None)


def tile_name(rows: int, columns: int, outside: Outside) -> str:
    """A sketch's name."""
    return f"{rows} x {columns} tile, {outside.value}"
