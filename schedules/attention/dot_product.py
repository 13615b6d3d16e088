"""Attention with the linear layers' micro-kernels: keys and values packed once a head, a few queries at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
from tvm.s_tir import Schedule

from ..micro_kernels import MicroKernel
from ..strategy import missing, not_a_multiple
from ..tiles import tensorize_tile
from ..vectors import vector_width, widest_divisor
from .stages import (
    lay_out_operands,
    place_softmax,
    split_row_reductions,
    tensorize_packing,
    vectorize_softmax,
    vectorize_value_sum,
)
from .workload import AttentionWorkload

MAX_QUERIES = 8
"""Queries at a time: their scores stay in the first-level cache, and their accumulators in registers."""


@dataclass(frozen=True)
class DotProductAttention:
    """Scores, softmax and values of a few queries of one head; both products in the micro-kernel's register tiles."""

    micro_kernel: MicroKernel

    @property
    def name(self) -> str:
        return self.micro_kernel.name

    @property
    def operand_signs(self) -> str:
        return "unsigned" if self.micro_kernel.unsigned else "signed"

    def refuse(self, workload: AttentionWorkload, features: frozenset[str]) -> str | None:
        layout = self.micro_kernel.layout
        block = max(layout.n_block, layout.k_block, self.micro_kernel.step)
        return (
            missing(self.micro_kernel.feature, features)
            or not_a_multiple("length", workload.length, block)
            or not_a_multiple("head dimension", workload.head_dim, block)
        )

    def schedule(self, kernel: Any, workload: AttentionWorkload) -> Any:
        sch = Schedule(tvm.IRModule({"main": kernel}))
        layout = self.micro_kernel.layout
        lay_out_operands(sch, layout)
        sch.compute_inline(sch.get_sblock("query"))
        sch.compute_inline(sch.get_sblock("corrected_scores" if self.micro_kernel.unsigned else "value_rows"))
        split_row_reductions(sch, workload)
        row, channel = sch.get_loops(sch.get_sblock("context"))
        queries = widest_divisor(workload.length, MAX_QUERIES)
        batch, block, query = sch.split(row, [workload.batch, None, queries])
        head, lane = sch.split(channel, [workload.heads, workload.head_dim])
        vectors, lane = sch.split(lane, [None, vector_width(workload.head_dim, workload.lanes)])
        sch.reorder(batch, head, block, query, vectors, lane)
        sch.compute_at(sch.get_sblock("context_accumulator"), block, preserve_unit_loops=True)
        if not self.micro_kernel.unsigned:
            sch.compute_at(sch.get_sblock("offset_probabilities"), block, preserve_unit_loops=True)
        place_softmax(sch, block)
        for name in ("scores", "offset_query") if self.micro_kernel.unsigned else ("scores",):
            sch.compute_at(sch.get_sblock(name), block, preserve_unit_loops=True)
        for name in ("key_sum", "key") if self.micro_kernel.unsigned else ("value_sum", "key"):
            sch.compute_at(sch.get_sblock(name), head, preserve_unit_loops=True)
        sch.compute_at(sch.get_sblock("value"), head, preserve_unit_loops=True)
        sch.parallel(sch.fuse(batch, head))
        sch.vectorize(lane)
        self._vectorize_offset(sch, workload)
        if not self.micro_kernel.unsigned:
            vectorize_value_sum(sch, workload)
        vectorize_softmax(sch, workload)
        tensorize_packing(sch, layout)
        for name, channels, inputs in (
            ("scores", workload.length, workload.head_dim),
            ("context_accumulator", workload.head_dim, workload.length),
        ):
            tensorize_product(sch, self.micro_kernel, name, queries, channels, inputs)
        return sch.mod["main"]

    def _vectorize_offset(self, sch: Schedule, workload: AttentionWorkload) -> None:
        name = "offset_query" if self.micro_kernel.unsigned else "offset_probabilities"
        extent = workload.head_dim if self.micro_kernel.unsigned else workload.length
        _, lane = sch.split(sch.get_loops(sch.get_sblock(name))[-1], [None, vector_width(extent, workload.lanes)])
        sch.vectorize(lane)


def tensorize_product(
    sch: Schedule, micro_kernel: MicroKernel, name: str, rows: int, channels: int, inputs: int
) -> None:
    """The reduction block ``name`` [rows, channels], over ``inputs``, in the micro-kernel's register tiles."""
    tile_rows, blocks = micro_kernel.register_tile(rows, channels)
    product = sch.get_sblock(name)
    row, column, reduction = sch.get_loops(product)[-3:]
    row_block, row = sch.split(row, [None, tile_rows])
    column_block, column = sch.split(column, [None, blocks * micro_kernel.layout.n_block])
    sch.reorder(row_block, column_block, row, column, reduction)
    tensorize_tile(sch, micro_kernel, product, tile_rows, blocks, inputs)
