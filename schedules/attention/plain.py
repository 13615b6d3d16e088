"""The attention strategy that runs everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tvm.s_tir import Schedule

from ..choices import choose_tiles, choose_vectors
from ..strategy import Sketch
from ..vectors import vector_width
from .strategy import AttentionStrategy
from .workload import AttentionWorkload

PRODUCERS = (
    "context_accumulator", "probabilities", "reciprocal", "bits", "total", "exponential", "largest", "scores"
)  # fmt: skip
"""The kernel's blocks from the last to the first."""


@dataclass(frozen=True)
class PlainAttention(AttentionStrategy):
    """One query row of one head at a time; the softmax in lanes."""

    @property
    def name(self) -> str:
        return "plain"

    @property
    def operand_signs(self) -> str:
        return "mixed"

    def refuse(self, workload: AttentionWorkload, features: frozenset[str]) -> str | None:
        return None

    def sketches(self, workload: AttentionWorkload) -> Sequence[Sketch]:
        return [Sketch("query by query", partial(self._apply, workload))]

    def _apply(self, workload: AttentionWorkload, sch: Schedule) -> None:
        for name in ("query", "key", "value", "limit", "keep"):
            sch.compute_inline(sch.get_sblock(name))
        row, channel = sch.get_loops(sch.get_sblock("context"))
        batch, query = sch.split(row, [workload.batch, workload.length])
        head, _ = sch.split(channel, [workload.heads, workload.head_dim])
        for name in PRODUCERS:
            sch.compute_at(sch.get_sblock(name), head, preserve_unit_loops=True)
        for name in ("probabilities", "exponential"):
            key = sch.get_loops(sch.get_sblock(name))[-1]
            _, lane = choose_vectors(sch, key, vector_width(workload.length, workload.lanes))
            sch.vectorize(lane)
        shares, _ = choose_tiles(sch, sch.fuse(batch, query), 1)
        sch.parallel(shares)
