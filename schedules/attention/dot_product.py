"""Attention with the linear layers' micro-kernels: keys and values packed once a head, a few queries at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import TypeAlias

from tvm.s_tir import Schedule

from ..choices import choose_tiles
from ..micro_kernels import DotProduct, MicroKernel, PackedRows
from ..strategy import Sketch, missing, not_a_multiple
from ..tiles import tensorize_row_packing, tensorize_tile
from ..vectors import vector_width, widest_divisor
from .stages import (
    lay_out_operands,
    lay_out_rows,
    place_mask,
    place_softmax,
    split_row_reductions,
    tensorize_packing,
    vectorize_softmax,
    vectorize_value_sum,
)
from .strategy import AttentionStrategy
from .workload import AttentionWorkload

MAX_QUERIES = 8
"""Queries at a time: their scores stay in the first-level cache, and their accumulators in registers."""
MOST_SKETCHES = 16

Tile: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """What makes a sketch: the register tiles (rows, n_blocks) of both products, and two orders."""

    scores: Tile
    context: Tile
    packed_rows: PackedRows | None = None
    """How the queries and the probabilities are packed, if they are."""
    columns_outside: bool = False
    """Whether a block of columns is computed for all rows before the next one, rather than a row for all columns."""
    rows_together: bool = False
    """See :func:`place_softmax`."""

    @property
    def queries(self) -> int:
        """The fewest at a time."""
        return math.lcm(self.scores[0], self.context[0])

    def name(self, n_block: int) -> str:
        """In words."""
        scores, context = (f"{rows} x {blocks * n_block}" for rows, blocks in (self.scores, self.context))
        outside = "columns" if self.columns_outside else "rows"
        notes = ", packed rows" * (self.packed_rows is not None) + ", rows together" * self.rows_together
        return f"scores {scores}, context {context}, {outside} outside{notes}"


@dataclass(frozen=True)
class DotProductAttention(AttentionStrategy):
    """Scores, softmax and values of a few queries of one head; both products in the micro-kernel's register plan."""

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

    @property
    def _probabilities(self) -> str:
        """The block that writes what the second product reads."""
        return "probabilities" if self.micro_kernel.unsigned else "offset_probabilities"

    def sketches(self, workload: AttentionWorkload) -> Sequence[Sketch]:
        n_block = self.micro_kernel.layout.n_block
        return [Sketch(plan.name(n_block), partial(self._apply, workload, plan)) for plan in self._plans(workload)]

    def _plans(self, workload: AttentionWorkload) -> Sequence[Plan]:
        queries = widest_divisor(workload.length, MAX_QUERIES)
        extents = workload.length, workload.head_dim
        first, last = (self.micro_kernel.register_tile(queries, channels) for channels in extents)
        scores, context = (self.micro_kernel.register_tiles(workload.length, channels) for channels in extents)
        # Both lists begin with the best.
        pairs = sorted(product(scores, context), key=lambda tiles: scores.index(tiles[0]) + context.index(tiles[1]))
        others = [
            Plan(tiles[0], tiles[1], columns_outside=columns_outside, rows_together=rows_together)
            for tiles in pairs
            for columns_outside in (False, True)
            for rows_together in (False, True)
        ]
        best = [self._with_packed_rows(workload, Plan(first, last, rows_together=each)) for each in (False, True)]
        return list(dict.fromkeys([*best, Plan(first, last), *others]))[:MOST_SKETCHES]

    def _with_packed_rows(self, workload: AttentionWorkload, plan: Plan) -> Plan:
        """``plan`` with queries and probabilities packed, where that pays, and the tiles that read them."""
        packed_rows = self.micro_kernel.packed_rows
        if packed_rows is None or not all(
            packed_rows.fits(workload.length, inputs) for inputs in (workload.head_dim, workload.length)
        ):
            return plan
        # The softmax writes vectors of probabilities: rows that lie in shorter pieces would be written byte by byte.
        if packed_rows.layout.k_block % workload.lanes:
            return plan
        tile, *_ = packed_rows.register_tiles(1)
        return replace(plan, scores=tile, context=tile, packed_rows=packed_rows)

    def _apply(self, workload: AttentionWorkload, plan: Plan, sch: Schedule) -> None:
        layout = self.micro_kernel.layout
        lay_out_operands(sch, layout)
        packed_rows = plan.packed_rows
        if packed_rows is None:
            sch.compute_inline(sch.get_sblock("query"))
        else:
            lay_out_rows(sch, packed_rows.layout)
        if not self.micro_kernel.unsigned:
            for name in ("value_rows", "probabilities"):
                sch.compute_inline(sch.get_sblock(name))
        split_row_reductions(sch, workload)
        row, channel = sch.get_loops(sch.get_sblock("context"))
        batch, tile, query = sch.split(row, [workload.batch, None, plan.queries])
        together = widest_divisor(workload.length // plan.queries, max(1, MAX_QUERIES // plan.queries))
        block, tile = choose_tiles(sch, tile, together)
        query = sch.fuse(tile, query)
        head, lane = sch.split(channel, [workload.heads, workload.head_dim])
        vectors, lane = sch.split(lane, [None, vector_width(workload.head_dim, workload.lanes)])
        sch.reorder(batch, head, block, query, vectors, lane)
        sch.compute_at(sch.get_sblock("context_accumulator"), block, preserve_unit_loops=True)
        place_softmax(sch, block, plan.rows_together, self._probabilities)
        sch.compute_at(sch.get_sblock("scores"), block, preserve_unit_loops=True)
        if packed_rows is not None:
            sch.compute_at(sch.get_sblock("query"), block, preserve_unit_loops=True)
        for name in ("key", "value") if self.micro_kernel.unsigned else ("value_sum", "key", "value"):
            sch.compute_at(sch.get_sblock(name), head, preserve_unit_loops=True)
        place_mask(sch, workload, head)
        sch.parallel(sch.fuse(batch, head))
        sch.vectorize(lane)
        if not self.micro_kernel.unsigned:
            vectorize_value_sum(sch, workload)
        vectorize_softmax(sch, workload, self._probabilities)
        tensorize_packing(sch, layout, self.micro_kernel.copies)
        if packed_rows is not None:
            tensorize_row_packing(sch, packed_rows, sch.get_sblock("query"))
        for name, inputs in (("scores", workload.head_dim), ("context_accumulator", workload.length)):
            self._tensorize_product(sch, name, plan, inputs)

    def _tensorize_product(self, sch: Schedule, name: str, plan: Plan, inputs: int) -> None:
        """The reduction block ``name`` [rows, channels], over ``inputs``, in the micro-kernel's register plan."""
        rows, blocks = plan.scores if name == "scores" else plan.context
        sums = sch.get_sblock(name)
        row, column, reduction = sch.get_loops(sums)[-3:]
        row_block, row = sch.split(row, [None, rows])
        column_block, column = sch.split(column, [None, blocks * self.micro_kernel.layout.n_block])
        outer = (column_block, row_block) if plan.columns_outside else (row_block, column_block)
        sch.reorder(*outer, row, column, reduction)
        micro_kernel = self.micro_kernel
        if (
            name == "scores"
            and isinstance(micro_kernel, DotProduct)
            and micro_kernel.register_unsigned_keys is not None
        ):
            micro_kernel = replace(micro_kernel, register=micro_kernel.register_unsigned_keys)
        tensorize_tile(sch, micro_kernel, sums, rows, blocks, inputs, packed=plan.packed_rows is not None)
