"""Strategies of the linear operator: blocks ``accumulator`` (int32 reduction) and ``output`` (fused epilogue)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
from tvm.s_tir import Schedule

from .intrinsics import amx
from .layout import ROW_MAJOR, PackedLayout
from .micro_kernels import MICRO_KERNELS, DotProduct
from .register_tile import RegisterTileLinear
from .rewrite import wrap_body_of_outer_loop
from .strategy import Strategy, missing, not_a_multiple
from .vectors import int16_lanes, vector_width, widest_divisor

UNSIGNED_ZERO_POINT = 128


@dataclass(frozen=True)
class LinearWorkload:
    """``output[rows, channels]`` from ``inputs`` inputs, the weight packed in ``layout``."""

    rows: int
    channels: int
    inputs: int
    layout: PackedLayout
    unsigned: bool
    """Whether memory holds the activations as uint8 with zero point 128."""
    lanes: int
    """int16 lanes of the target's widest vector."""


def weight_layout(features: frozenset[str], channels: int, inputs: int) -> PackedLayout:
    """The layout for a [channels, inputs] weight: one for all lengths, since buckets share their weights."""
    unsigned = activation_zero_point(features) != 0
    for micro_kernel in MICRO_KERNELS:
        usable = micro_kernel.feature in features and micro_kernel.unsigned == unsigned
        if usable and micro_kernel.layout.fits(channels, inputs):
            return micro_kernel.layout
    return ROW_MAJOR


def activation_zero_point(features: frozenset[str]) -> int:
    """128 where the best dot product multiplies unsigned by signed bytes, else 0: one for the whole model."""
    best = next((micro_kernel for micro_kernel in MICRO_KERNELS if micro_kernel.feature in features), None)
    return UNSIGNED_ZERO_POINT if best is not None and best.unsigned else 0


AMX_OPERANDS = amx.Operands("tdpbusd", amx.MAX_DEPTH, left=(4, 5), right=(6, 7))


@dataclass(frozen=True)
class AmxLinear:
    """Blocks of up to 32 x 32 outputs in AMX tile registers."""

    name: str = "amx"

    def refuse(self, workload: LinearWorkload, features: frozenset[str]) -> str | None:
        if not workload.unsigned or workload.layout != PackedLayout(amx.TILE, 4):
            return "the weight is not packed for AMX"
        return (
            missing("amx_int8", features)
            or not_a_multiple("rows", workload.rows, amx.TILE)
            or not_a_multiple("inputs", workload.inputs, AMX_OPERANDS.depth)
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
        column_block, vectors, lane = sch.split(j, [None, columns * amx.TILE // width, width])
        sch.reorder(column_block, row_block, row, vectors, lane)
        sch.compute_at(store, row_block, preserve_unit_loops=True)
        sch.compute_at(accumulator, row_block, preserve_unit_loops=True)
        sch.parallel(column_block)
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
        n_block, k_block = dot_product.layout.n_block, dot_product.layout.k_block
        tile_rows, tile_blocks = dot_product.register_tile(workload.rows, workload.channels)
        columns = tile_blocks * n_block
        width = vector_width(columns, workload.lanes)
        intrinsic = dot_product.register()
        sch = Schedule(tvm.IRModule({"main": kernel}))
        accumulator, output = sch.get_sblock("accumulator"), sch.get_sblock("output")
        i, j = sch.get_loops(output)
        row_block, row = sch.split(i, [None, tile_rows])
        column_block, vectors, lane = sch.split(j, [None, columns // width, width])
        sch.reorder(column_block, row_block, row, vectors, lane)
        sch.compute_at(accumulator, row_block, preserve_unit_loops=True)
        sch.parallel(column_block)
        sch.vectorize(lane)
        tile_row, tile_column, reduction = sch.get_loops(accumulator)[-3:]
        block, channel = sch.split(tile_column, [None, n_block])
        step, inner = sch.split(reduction, [None, k_block])
        sch.reorder(step, tile_row, block, channel, inner)
        zero = sch.decompose_reduction(accumulator, step)
        sch.tensorize(channel, intrinsic)
        for loop in (tile_row, block):
            sch.unroll(loop)
        zero_row, zero_column = sch.get_loops(zero)[-2:]
        zero_vectors, zero_lane = sch.split(zero_column, [None, n_block])
        for loop in (zero_row, zero_vectors, vectors):
            sch.unroll(loop)
        sch.vectorize(zero_lane)
        return sch.mod["main"]


@dataclass(frozen=True)
class PlainLinear:
    """Loops over rows and channels with the reduction inside; the compiler may vectorize what it can."""

    name: str = "plain"

    def refuse(self, workload: LinearWorkload, features: frozenset[str]) -> str | None:
        return None

    def schedule(self, kernel: Any, workload: LinearWorkload) -> Any:
        sch = Schedule(tvm.IRModule({"main": kernel}))
        output = sch.get_sblock("output")
        i, j = sch.get_loops(output)
        sch.compute_at(sch.get_sblock("accumulator"), j, preserve_unit_loops=True)
        sch.parallel(sch.fuse(i, j) if workload.rows == 1 else i)
        return sch.mod["main"]


LINEAR_STRATEGIES: tuple[Strategy[LinearWorkload], ...] = (
    AmxLinear(),
    *(
        DotProductLinear(micro_kernel) if isinstance(micro_kernel, DotProduct) else RegisterTileLinear(micro_kernel)
        for micro_kernel in MICRO_KERNELS
    ),
    PlainLinear(),
)

__all__ = ["LINEAR_STRATEGIES", "LinearWorkload", "activation_zero_point", "int16_lanes", "weight_layout"]
