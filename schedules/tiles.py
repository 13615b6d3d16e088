"""A reduction block in the micro-kernel's instructions: what linear layers and attention share."""

from __future__ import annotations

from typing import Any

from tvm.s_tir import Schedule

from .choices import choose_tiles
from .micro_kernels import DotProduct, MicroKernel, PackedRows, RegisterTile
from .unpack import CHUNKS, unpack_in_registers

MOST_STEPS = 8
"""Steps of the reduction that may be unrolled."""


def tensorize_tile(
    sch: Schedule,
    micro_kernel: MicroKernel,
    product: Any,
    rows: int,
    blocks: int,
    inputs: int,
    packed: bool = False,
    unpack: bool = False,
) -> None:
    """Computes ``product`` with ``micro_kernel``; its innermost loops are one register tile.

    These loops are ``rows``, ``blocks`` times the layout's n_block columns, and ``inputs``, the whole reduction.
    ``packed``: whether the activations lie as the micro-kernel's packed rows. ``unpack``: whether a dot product's
    weights are unpacked in registers, step by step.
    """
    if isinstance(micro_kernel, RegisterTile):
        packed_rows = micro_kernel.packed_rows if packed else None
        register = micro_kernel.register if packed_rows is None else packed_rows.register
        zero = _whole_tile(sch, product, rows, register(rows, blocks, inputs))
    else:
        zero = _step_by_step(sch, micro_kernel, product, unpack)
    zero_row, zero_column = sch.get_loops(zero)[-2:]
    vectors, lane = sch.split(zero_column, [None, micro_kernel.layout.n_block])
    sch.unroll(zero_row)
    sch.unroll(vectors)
    sch.vectorize(lane)


def _whole_tile(sch: Schedule, product: Any, rows: int, intrinsic: str) -> Any:
    row, column, _ = sch.get_loops(product)[-3:]
    zero = sch.decompose_reduction(product, row)
    # The blockized reduction has no axis for a single row.
    sch.tensorize(column if rows == 1 else row, intrinsic)
    return zero


def tensorize_row_packing(sch: Schedule, packed_rows: PackedRows, copy: Any) -> Any:
    """The block ``copy`` [.., rows, inputs] of a copy lays its output out for ``packed_rows``; its loop over the blocks
    of rows."""
    layout = packed_rows.layout
    row, channel = sch.get_loops(copy)[-2:]
    row_block, row = sch.split(row, [None, layout.n_block])
    step, channel = sch.split(channel, [None, packed_rows.step])
    sch.reorder(row_block, step, row, channel)
    sch.tensorize(row, packed_rows.register_copy())
    return row_block


def _step_by_step(sch: Schedule, dot_product: DotProduct, product: Any, unpack: bool) -> Any:
    layout = dot_product.layout
    row, column, reduction = sch.get_loops(product)[-3:]
    block, channel = sch.split(column, [None, layout.n_block])
    step, inner = sch.split(reduction, [None, layout.k_block])
    if unpack:
        # The two steps that share the bytes of a field of 4 bits follow each other.
        part, chunk, steps = sch.split(step, [2, CHUNKS // 2, None])
        sch.reorder(steps, chunk, part, row, block, channel, inner)
        sch.unroll(chunk)
        step = part
        unpack_in_registers(sch, step)
    else:
        steps, step = choose_tiles(sch, step, 1, most=MOST_STEPS)
        sch.reorder(steps, step, row, block, channel, inner)
    zero = sch.decompose_reduction(product, steps)
    sch.tensorize(channel, dot_product.register())
    sch.unroll(step)
    sch.unroll(row)
    sch.unroll(block)
    return zero
