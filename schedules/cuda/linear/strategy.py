"""Linear strategies of NVIDIA GPUs: a block's tile of outputs, multiplied by its warps, the epilogue in registers.

The schedule gives every thread of a block the outputs whose sums it will hold (see :mod:`.warp_tile`); the products
are a device function that all threads of the block call.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tvm import tirx
from tvm.s_tir import SBlock, SBlockRealize, Schedule

from ...layout import ROW_MAJOR
from ...linear.workload import LinearWorkload
from ...rewrite import with_body_of_block, with_body_of_loop
from ...strategy import Sketch, Strategy, not_a_multiple
from ..threads import ENOUGH_BLOCKS
from .warp_tile import PIECE, Multiplication, WarpTile, function_name, function_source

TILES = tuple(
    WarpTile(warps, steps, 3)
    for warps, steps in (
        ((2, 2), (4, 8)),
        ((2, 2), (2, 8)),
        ((2, 2), (2, 4)),
        ((1, 2), (2, 4)),
        ((1, 2), (2, 2)),
        ((1, 2), (1, 4)),
        ((1, 2), (1, 2)),
    )
)
"""From the largest to the smallest."""


@dataclass(frozen=True)
class DeviceFunction:
    """CUDA source of a function that leaves a block's sums in registers; its arguments: see :func:`function_name`."""

    name: str
    source: str


class TileLinear(Strategy[LinearWorkload]):
    """Sums in the registers of warps, by a device function."""

    features: tuple[str, ...]
    """What the device function needs of the chip."""

    @abstractmethod
    def device_function(self, tile: WarpTile, workload: LinearWorkload) -> DeviceFunction:
        """What multiplies a block's ``tile``."""

    @abstractmethod
    def refuse_operands(self, workload: LinearWorkload) -> str | None:
        """Why the device function cannot multiply them."""

    @abstractmethod
    def tiles(self, workload: LinearWorkload) -> Sequence[WarpTile]:
        """All that the device function can multiply, from the largest to the smallest."""

    def refuse(self, workload: LinearWorkload, features: frozenset[str]) -> str | None:
        """What the chip lacks comes last: so it is said only where a better chip would have helped."""
        if workload.layout != ROW_MAJOR or workload.unsigned:
            return "the operands are laid out for another instruction"
        if (reason := self.refuse_operands(workload)) is not None:
            return reason
        missing = next((feature for feature in self.features if feature not in features), None)
        return None if missing is None else f"the GPU has no {missing}"

    def sketches(self, workload: LinearWorkload) -> Sequence[Sketch]:
        tiles = _default_first(self.tiles(workload), workload)
        return [Sketch(f"{tile} tile", partial(self._apply, workload, tile)) for tile in tiles]

    def finish(self, function: Any, workload: LinearWorkload) -> Any:
        x, weight = function.params[:2]
        products = _Products(lambda tile: self.device_function(tile, workload), workload, x, weight)
        return function.with_body(products.placed(function.body, {}))

    def _apply(self, workload: LinearWorkload, tile: WarpTile, sch: Schedule) -> None:
        if workload.packed is not None:
            # The device function unpacks: nothing is left to read what this block would write.
            sch.compute_inline(sch.get_sblock("weight"))
        row, column = sch.get_loops(sch.get_sblock("output"))
        rows, warp_row, row_step, half, group = sch.split(row, [None, tile.warps[0], tile.steps[0], 2, 8])
        columns, warp_column, column_step, place, pair = sch.split(column, [None, tile.warps[1], tile.steps[1], 4, 2])
        sch.reorder(rows, columns, warp_row, warp_column, group, place, row_step, half, column_step, pair)
        sch.bind(columns, "blockIdx.x")
        sch.bind(rows, "blockIdx.y")
        sch.bind(sch.fuse(warp_row, warp_column), "threadIdx.y")
        sch.bind(sch.fuse(group, place), "threadIdx.x")
        for loop in (row_step, half, column_step, pair):
            sch.unroll(loop)
        accumulator = sch.get_sblock("accumulator")
        sch.compute_at(accumulator, pair)
        sch.set_scope(accumulator, 0, "local")
        sch.annotate(row_step, _TILE, [*tile.warps, *tile.steps, tile.stages])


@dataclass(frozen=True)
class WarpTileLinear(TileLinear):
    """Products of int8."""

    multiplication: Multiplication
    features: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.multiplication.name

    def device_function(self, tile: WarpTile, workload: LinearWorkload) -> DeviceFunction:
        return DeviceFunction(function_name(self.multiplication, tile), function_source(self.multiplication, tile))

    def tiles(self, workload: LinearWorkload) -> Sequence[WarpTile]:
        return [tile for tile in TILES if tile.registers <= self.multiplication.most_sums]

    def refuse_operands(self, workload: LinearWorkload) -> str | None:
        if workload.packed is not None:
            return f"the weight is packed, and {self.name} copies int8"
        return not_a_multiple("inputs", workload.inputs, PIECE)


_TILE = "intbert.warp_tile"


def _default_first(tiles: Sequence[WarpTile], workload: LinearWorkload) -> list[WarpTile]:
    """``tiles``, behind the default: the largest that leaves enough blocks, and whose rows would not fit half of it."""

    def suits(tile: WarpTile) -> bool:
        blocks = -(-workload.rows // tile.rows) * -(-workload.channels // tile.columns)
        return blocks >= ENOUGH_BLOCKS and workload.rows > tile.rows // 2

    default = next(filter(suits, tiles), tiles[-1])
    return [default, *(tile for tile in tiles if tile != default)]


@dataclass(frozen=True)
class _Products:
    """Puts the device function in place of the reduction of a scheduled kernel."""

    device_function: Callable[[WarpTile], DeviceFunction]
    workload: LinearWorkload
    x: Any
    weight: Any

    def placed(self, statement: Any, indices: Mapping[str, Any]) -> Any:
        """``statement``, below the loops that are bound to ``indices``, with the call before a thread's outputs."""
        if isinstance(statement, SBlockRealize):
            body = self.placed(statement.block.body, indices)
            return SBlockRealize(
                statement.iter_values, statement.predicate, with_body_of_block(statement.block, body)
            )  # fmt: skip
        assert isinstance(statement, tirx.For), "the schedule is of another strategy"
        if _TILE not in statement.annotations:
            inside = {**indices, statement.thread_binding.thread_tag: statement.loop_var}
            return with_body_of_loop(statement, self.placed(statement.body, inside))
        *sizes, stages = (int(size) for size in statement.annotations[_TILE])
        tile = WarpTile((sizes[0], sizes[1]), (sizes[2], sizes[3]), stages)
        sums = tirx.decl_buffer((tile.registers,), "int32", name="sums", scope="local")
        call = tirx.Evaluate(self._call(tile, sums, indices))
        outputs = _reading(statement, sums, tile)
        loop = tirx.For(outputs.loop_var, outputs.min, outputs.extent, outputs.kind, outputs.body)
        return tirx.SeqStmt([tirx.AllocBuffer(sums), call, loop])

    def _call(self, tile: WarpTile, sums: Any, indices: Mapping[str, Any]) -> Any:
        function = self.device_function(tile)
        return tirx.call_intrin(
            "",
            "tirx.cuda.func_call",
            function.name,
            sums.access_ptr("w"),
            self.x.access_ptr("r"),
            self.weight.access_ptr("r"),
            indices["blockIdx.y"] * tile.rows,
            indices["blockIdx.x"] * tile.columns,
            self.workload.rows,
            self.workload.channels,
            self.workload.inputs,
            function.source,
        )


def _reading(statement: Any, sums: Any, tile: WarpTile) -> Any:
    """``statement`` with each sum taken from a register of ``sums``, where it was computed."""
    if isinstance(statement, tirx.SeqStmt):
        return tirx.SeqStmt([_reading(each, sums, tile) for each in statement.seq])
    if isinstance(statement, tirx.For):
        body = _reading(statement.body, sums, tile)
        # The loop over the inputs is inside the device function.
        reduces = isinstance(statement.body, SBlockRealize) and statement.body.block.name_hint == "accumulator"
        return body if reduces else with_body_of_loop(statement, body)
    if statement.block.name_hint != "accumulator":
        return statement
    row, column, _ = statement.block.iter_vars
    step = row.var // 16 % tile.steps[0] * 2 + row.var // 8 % 2
    index = (step * tile.steps[1] + column.var // 8 % tile.steps[1]) * 2 + column.var % 2
    (region,) = statement.block.writes
    store = tirx.BufferStore(statement.block.body.buffer, tirx.BufferLoad(sums, [index]), [row.var, column.var])
    block = SBlock([row, column], [], [region], statement.block.name_hint, store)
    return SBlockRealize(statement.iter_values[:2], statement.predicate, block)
