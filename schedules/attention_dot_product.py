"""Attention with the linear layers' dot products: keys and values packed once a head, a few queries at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
from tvm.s_tir import Schedule

from .attention import AttentionWorkload
from .attention_stages import (
    SOFTMAX_BLOCKS,
    lay_out_operands,
    split_row_reductions,
    tensorize_packing,
    vectorize_softmax,
)
from .micro_kernels import DotProduct
from .strategy import missing, not_a_multiple
from .vectors import vector_width, widest_divisor

MAX_QUERIES = 8
"""Queries at a time: their scores stay in the first-level cache, and their accumulators in registers."""


@dataclass(frozen=True)
class UnsignedAttention:
    """For instructions that multiply unsigned by signed bytes (vpdpbusd)."""

    dot_product: DotProduct
    operand_signs: str = "unsigned"

    @property
    def name(self) -> str:
        return self.dot_product.name

    def refuse(self, workload: AttentionWorkload, features: frozenset[str]) -> str | None:
        n_block = self.dot_product.layout.n_block
        return (
            missing(self.dot_product.feature, features)
            or not_a_multiple("length", workload.length, n_block)
            or not_a_multiple("head dimension", workload.head_dim, n_block)
        )

    def schedule(self, kernel: Any, workload: AttentionWorkload) -> Any:
        n_block = self.dot_product.layout.n_block
        sch = Schedule(tvm.IRModule({"main": kernel}))
        lay_out_operands(sch, n_block)
        sch.compute_inline(sch.get_sblock("query"))
        sch.compute_inline(sch.get_sblock("corrected_scores"))
        split_row_reductions(sch, workload)
        row, channel = sch.get_loops(sch.get_sblock("context"))
        queries = widest_divisor(workload.length, MAX_QUERIES)
        batch, block, query = sch.split(row, [workload.batch, None, queries])
        head, lane = sch.split(channel, [workload.heads, workload.head_dim])
        vectors, lane = sch.split(lane, [None, vector_width(workload.head_dim, workload.lanes)])
        sch.reorder(batch, head, block, query, vectors, lane)
        sch.compute_at(sch.get_sblock("context_accumulator"), block, preserve_unit_loops=True)
        sch.compute_at(sch.get_sblock("value"), head, preserve_unit_loops=True)
        for name in (*SOFTMAX_BLOCKS, "scores", "offset_query"):
            sch.compute_at(sch.get_sblock(name), block, preserve_unit_loops=True)
        for name in ("key_sum", "key"):
            sch.compute_at(sch.get_sblock(name), head, preserve_unit_loops=True)
        sch.parallel(sch.fuse(batch, head))
        sch.vectorize(lane)
        offset_lane = sch.get_loops(sch.get_sblock("offset_query"))[-1]
        _, offset_lane = sch.split(offset_lane, [None, vector_width(workload.head_dim, workload.lanes)])
        sch.vectorize(offset_lane)
        vectorize_softmax(sch, workload)
        tensorize_packing(sch, n_block)
        self._tensorize_product(sch, "scores", queries, workload.length)
        self._tensorize_product(sch, "context_accumulator", queries, workload.head_dim)
        return sch.mod["main"]

    def _tensorize_product(self, sch: Schedule, name: str, rows: int, channels: int) -> None:
        layout = self.dot_product.layout
        _, blocks = self.dot_product.register_tile(rows, channels)
        blocks = min(blocks, max(1, self.dot_product.accumulators // rows))
        blocks = widest_divisor(channels // layout.n_block, blocks)
        product = sch.get_sblock(name)
        row, column, reduction = sch.get_loops(product)[-3:]
        column_block, block, channel = sch.split(column, [None, blocks, layout.n_block])
        step, inner = sch.split(reduction, [None, layout.k_block])
        sch.reorder(column_block, step, row, block, channel, inner)
        zero = sch.decompose_reduction(product, step)
        sch.tensorize(channel, self.dot_product.register())
        for loop in (row, block, *sch.get_loops(zero)[-3:-1]):
            sch.unroll(loop)
        sch.vectorize(sch.get_loops(zero)[-1])
