"""The attention strategy that runs everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
from tvm.s_tir import Schedule

from ..vectors import vector_width
from .workload import AttentionWorkload

PRODUCERS = (
    "context_accumulator", "probabilities", "reciprocal", "bits", "total", "exponential", "largest", "scores"
)  # fmt: skip
"""The kernel's blocks from the last to the first."""


@dataclass(frozen=True)
class PlainAttention:
    """One query row of one head at a time; the softmax in lanes."""

    name: str = "plain"
    operand_signs: str = "mixed"

    def refuse(self, workload: AttentionWorkload, features: frozenset[str]) -> str | None:
        return None

    def schedule(self, kernel: Any, workload: AttentionWorkload) -> Any:
        sch = Schedule(tvm.IRModule({"main": kernel}))
        for name in ("query", "key", "value"):
            sch.compute_inline(sch.get_sblock(name))
        row, channel = sch.get_loops(sch.get_sblock("context"))
        batch, query = sch.split(row, [workload.batch, workload.length])
        head, _ = sch.split(channel, [workload.heads, workload.head_dim])
        for name in PRODUCERS:
            sch.compute_at(sch.get_sblock(name), head, preserve_unit_loops=True)
        for name in ("probabilities", "exponential"):
            key = sch.get_loops(sch.get_sblock(name))[-1]
            _, lane = sch.split(key, [None, vector_width(workload.length, workload.lanes)])
            sch.vectorize(lane)
        sch.parallel(sch.fuse(batch, query))
        return sch.mod["main"]
