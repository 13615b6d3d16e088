"""A reduction block in the micro-kernel's instructions: what linear layers and attention share."""

from __future__ import annotations

from typing import Any

from tvm.s_tir import Schedule

from .choices import choose_tiles
from .micro_kernels import DotProduct, MicroKernel, RegisterTile

MOST_STEPS = 8
"""Steps of the reduction that may be unrolled."""


def tensorize_tile(sch: Schedule, micro_kernel: MicroKernel, product: Any, rows: int, blocks: int, inputs: int) -> None:
    """Computes ``product`` with ``micro_kernel``; its innermost loops are one register tile.

    These loops are ``rows``, ``blocks`` times the layout's n_block columns, and ``inputs``, the whole reduction.
    """
    if isinstance(micro_kernel, RegisterTile):
        zero = _whole_tile(sch, micro_kernel, product, rows, blocks, inputs)
    else:
        zero = _step_by_step(sch, micro_kernel, product)
    zero_row, zero_column = sch.get_loops(zero)[-2:]
    vectors, lane = sch.split(zero_column, [None, micro_kernel.layout.n_block])
    sch.unroll(zero_row)
    sch.unroll(vectors)
    sch.vectorize(lane)


def _whole_tile(sch: Schedule, tile: RegisterTile, product: Any, rows: int, blocks: int, inputs: int) -> Any:
    row, column, _ = sch.get_loops(product)[-3:]
    zero = sch.decompose_reduction(product, row)
    # The blockized reduction has no axis for a single row.
    sch.tensorize(column if rows == 1 else row, tile.register(rows, blocks, inputs))
    return zero


def _step_by_step(sch: Schedule, dot_product: DotProduct, product: Any) -> Any:
    layout = dot_product.layout
    row, column, reduction = sch.get_loops(product)[-3:]
    block, channel = sch.split(column, [None, layout.n_block])
    step, inner = sch.split(reduction, [None, layout.k_block])
    steps, step = choose_tiles(sch, step, 1, most=MOST_STEPS)
    sch.reorder(steps, step, row, block, channel, inner)
    zero = sch.decompose_reduction(product, steps)
    sch.tensorize(channel, dot_product.register())
    sch.unroll(step)
    sch.unroll(row)
    sch.unroll(block)
    return zero
