"""Linear strategies of NVIDIA GPUs: a block's tile of outputs, multiplied by its warps, the epilogue in registers.

The schedule gives every thread of a block the outputs whose sums it will hold (see :mod:`.warp_tile`); the products
are a device function that all threads of the block call.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tvm import tirx
from tvm.s_tir import SBlock, SBlockRealize, Schedule

from ....targets.cuda import STATIC_SHARED_BYTES
from ...choices import choose_tiles
from ...layout import PADDED_ROWS, ROW_MAJOR
from ...linear.workload import LinearWorkload
from ...rewrite import with_body_of_block, with_body_of_loop
from ...strategy import Sketch, Strategy, not_a_multiple
from ..copies import COPIED_BYTES
from ..threads import most_shared_bytes
from .cost import TileCost
from .multiplication import ALIGNMENT, PIECE, Multiplication, function_name, function_source
from .warp_tile import WarpTile

TILES = tuple(
    WarpTile(warps, steps, stages, slices)
    for warps, steps, slices, all_stages in (
        ((2, 2), (4, 8), 1, (3, 4)),
        ((2, 2), (4, 6), 1, (3,)),
        ((1, 2), (4, 8), 2, (3,)),
        ((2, 2), (2, 8), 1, (3,)),
        ((2, 2), (2, 6), 1, (3,)),
        ((2, 2), (2, 4), 1, (3,)),
        ((1, 1), (4, 8), 4, (3, 4)),
        ((1, 2), (2, 4), 2, (3,)),
        ((1, 1), (2, 8), 4, (3, 4)),
        ((1, 1), (2, 4), 4, (3, 6)),
        ((1, 2), (1, 4), 1, (3, 4)),
        ((1, 1), (1, 4), 4, (3, 6)),
    )
    for stages in all_stages
)
"""From the largest to the smallest. Where a block has few outputs, slices leave its warps more of them to multiply, so
that each load from shared memory is for more products; and its stages are short, so that memory is far behind them."""


@dataclass(frozen=True)
class DeviceFunction:
    """CUDA source of a function that leaves a block's sums in registers; its arguments: see :func:`function_name`.

    ``dynamic_shared_bytes``: of the shared memory that its first argument points to; 0: it has no such argument.
    ``resident_blocks``: that a multiprocessor must have registers for; None: the compiler may spill some for more.
    """

    name: str
    source: str
    dynamic_shared_bytes: int = 0
    resident_blocks: int | None = None


class TileLinear(Strategy[LinearWorkload]):
    """Sums in the registers of warps, by a device function."""

    features: tuple[str, ...]
    """What the device function needs of the chip."""

    @abstractmethod
    def device_function(self, tile: WarpTile, workload: LinearWorkload) -> DeviceFunction:
        """What multiplies a block's ``tile``."""

    def operands(self, workload: LinearWorkload) -> int:
        """How many of the kernel's first arguments the device function reads: activations and what is the weight."""
        return 2

    @abstractmethod
    def refuse_operands(self, workload: LinearWorkload) -> str | None:
        """Why the device function cannot multiply them."""

    @abstractmethod
    def tiles(self, workload: LinearWorkload) -> Sequence[WarpTile]:
        """All that the device function can multiply, from the largest to the smallest."""

    @abstractmethod
    def depth(self, tile: WarpTile, workload: LinearWorkload) -> int:
        """Inputs of a stage of ``tile``, one of :meth:`tiles`."""

    def refuse(self, workload: LinearWorkload, features: frozenset[str]) -> str | None:
        """What the chip lacks comes last: so it is said only where a better chip would have helped."""
        if workload.layout not in (ROW_MAJOR, PADDED_ROWS) or workload.unsigned:
            return "the operands are laid out for another instruction"
        if (reason := self.refuse_operands(workload)) is not None:
            return reason
        missing = next((feature for feature in self.features if feature not in features), None)
        return None if missing is None else f"the GPU has no {missing}"

    def sketches(self, workload: LinearWorkload) -> Sequence[Sketch]:
        costs = [TileCost(tile, self.depth(tile, workload), workload) for tile in self.tiles(workload)]
        costs.sort(key=lambda cost: cost.cycles)
        return [Sketch(f"{cost.tile} tile", partial(self._apply, workload, cost)) for cost in costs]

    def finish(self, function: Any, workload: LinearWorkload) -> Any:
        operands = function.params[: self.operands(workload)]
        products = _Products(lambda tile: self.device_function(tile, workload), workload, operands)
        return function.with_body(products.placed(function.body, {}))

    def _apply(self, workload: LinearWorkload, cost: TileCost, sch: Schedule) -> None:
        tile = cost.tile
        if workload.packed is not None:
            # The device function unpacks: nothing is left to read what this block would write.
            sch.compute_inline(sch.get_sblock("weight"))
        row, column = sch.get_loops(sch.get_sblock("output"))
        rows, warp_row, row_step, half, group = sch.split(row, [None, tile.warps[0], tile.steps[0], 2, 8])
        columns, warp_column, slice_, column_step, place, pair = sch.split(
            column, [None, tile.warps[1], tile.slices, tile.finished_steps, 4, 2]
        )
        groups, rows = choose_tiles(sch, rows, cost.rows_together)
        of_threads = (slice_, warp_row, warp_column, group, place)
        sch.reorder(groups, columns, rows, *of_threads, row_step, half, column_step, pair)
        sch.bind(rows, _ROWS)
        sch.bind(columns, _COLUMNS)
        sch.bind(groups, _GROUPS)
        sch.bind(sch.fuse(slice_, warp_row, warp_column), "threadIdx.y")
        sch.bind(sch.fuse(group, place), "threadIdx.x")
        for loop in (row_step, half, column_step, pair):
            sch.unroll(loop)
        accumulator = sch.get_sblock("accumulator")
        sch.compute_at(accumulator, pair)
        sch.set_scope(accumulator, 0, "local")
        sch.annotate(row_step, _TILE, [*tile.warps, *tile.steps, tile.stages, tile.slices])


@dataclass(frozen=True)
class WarpTileLinear(TileLinear):
    """Products of int8."""

    multiplication: Multiplication
    features: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.multiplication.name

    def device_function(self, tile: WarpTile, workload: LinearWorkload) -> DeviceFunction:
        depth = self.depth(tile, workload)
        shared_bytes = self.multiplication.shared_bytes(tile, depth)
        alignment = math.gcd(workload.inputs, PIECE)
        return DeviceFunction(
            function_name(self.multiplication, tile, alignment),
            function_source(self.multiplication, tile, depth, alignment),
            shared_bytes if shared_bytes > STATIC_SHARED_BYTES else 0,
        )

    def tiles(self, workload: LinearWorkload) -> Sequence[WarpTile]:
        return [
            tile
            for tile in TILES
            if tile.registers <= self.multiplication.most_sums
            and self.multiplication.keeps(tile)
            and self._depth(tile, workload) is not None
        ]

    def depth(self, tile: WarpTile, workload: LinearWorkload) -> int:
        depth = self._depth(tile, workload)
        assert depth is not None, f"{tile} does not fit the shared memory"
        return depth

    def _depth(self, tile: WarpTile, workload: LinearWorkload) -> int | None:
        return self.multiplication.depth(tile, most_shared_bytes(workload.gpu))

    def refuse_operands(self, workload: LinearWorkload) -> str | None:
        if workload.packed is not None:
            return f"the weight is packed, and {self.name} copies int8"
        return not_a_multiple("inputs", workload.inputs, COPIED_BYTES[-1])


_TILE = "intbert.warp_tile"
_RESIDENT_BLOCKS = "tirx.launch_bounds_min_blocks_per_sm"
"""TVM's name for the second of a kernel's ``__launch_bounds__``."""
_ROWS, _COLUMNS, _GROUPS = "blockIdx.x", "blockIdx.y", "blockIdx.z"
"""Blocks run in the order of x, then y, then z: those of a group of rows before the next group."""


@dataclass(frozen=True)
class _Products:
    """Puts the device function in place of the reduction of a scheduled kernel."""

    device_function: Callable[[WarpTile], DeviceFunction]
    workload: LinearWorkload
    operands: Sequence[Any]

    def placed(self, statement: Any, bound: Mapping[str, Any]) -> Any:
        """``statement``, below loops that are ``bound`` to indices, with the call before a thread's outputs."""
        if isinstance(statement, SBlockRealize):
            body = self.placed(statement.block.body, bound)
            return SBlockRealize(
                statement.iter_values, statement.predicate, with_body_of_block(statement.block, body)
            )  # fmt: skip
        assert isinstance(statement, tirx.For), "the schedule is of another strategy"
        if _TILE not in statement.annotations:
            inside = {**bound, statement.thread_binding.thread_tag: statement}
            return with_body_of_loop(statement, self.placed(statement.body, inside))
        *sizes, stages, slices = (int(size) for size in statement.annotations[_TILE])
        tile = WarpTile((sizes[0], sizes[1]), (sizes[2], sizes[3]), stages, slices)
        function = self.device_function(tile)
        sums = tirx.decl_buffer((tile.finished,), "int32", name="sums", scope="local")
        shared = [] if not function.dynamic_shared_bytes else [_dynamic_shared(function.dynamic_shared_bytes)]
        call = tirx.Evaluate(self._call(tile, function, [*shared, sums], bound))
        outputs = _reading(statement, sums, tile)
        loop = tirx.For(outputs.loop_var, outputs.min, outputs.extent, outputs.kind, outputs.body)
        body = tirx.SeqStmt([*map(tirx.AllocBuffer, [*shared, sums]), call, loop])
        if function.resident_blocks is None:
            return body
        return tirx.AttrStmt(0, _RESIDENT_BLOCKS, tirx.IntImm("int32", function.resident_blocks), body)

    def _call(self, tile: WarpTile, function: DeviceFunction, written: Sequence[Any], bound: Mapping[str, Any]) -> Any:
        rows, columns, groups = (bound[index] for index in (_ROWS, _COLUMNS, _GROUPS))
        return tirx.call_intrin(
            "",
            "tirx.cuda.func_call",
            function.name,
            *(buffer.access_ptr("rw") for buffer in written),
            *(operand.access_ptr("r") for operand in self.operands),
            (groups.loop_var * rows.extent + rows.loop_var) * tile.rows,
            columns.loop_var * tile.columns,
            self.workload.rows,
            self.workload.channels,
            self.workload.inputs,
            function.source,
        )


def _dynamic_shared(size: int) -> Any:
    """A buffer that TVM asks for at the launch."""
    return tirx.decl_buffer((size,), "int8", name="staged", scope="shared.dyn", data_alignment=ALIGNMENT)


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
    index = (step * tile.finished_steps + column.var // 8 % tile.finished_steps) * 2 + column.var % 2
    (region,) = statement.block.writes
    store = tirx.BufferStore(statement.block.body.buffer, tirx.BufferLoad(sums, [index]), [row.var, column.var])
    block = SBlock([row, column], [], [region], statement.block.name_hint, store)
    return SBlockRealize(statement.iter_values[:2], statement.predicate, block)
