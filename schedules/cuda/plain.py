"""The strategies that run on every NVIDIA GPU: rows to blocks, channels to threads, whatever passes between them in
shared memory. They refuse nothing; what the chip's tensor cores could do better is for others to say.

Every loop is bound, so the host computes nothing, and each thread adds up in the order of the oracle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tvm.s_tir import Schedule

from ..attention.strategy import AttentionStrategy
from ..attention.workload import AttentionWorkload
from ..linear.workload import LinearWorkload
from ..real import RealWorkload
from ..strategy import Sketch, Strategy
from .threads import THREADS, bind_elements, bind_rows

NAME = "plain"
ATTENTION_BLOCKS = (
    "context_accumulator", "probabilities", "reciprocal", "bits", "total", "exponential", "largest", "scores"
)  # fmt: skip
"""The blocks of attention before its output, from the last to the first."""
NORM_BLOCKS: tuple[str, ...] = ("bits", "reciprocal", "half_exponent", "squares", "mean", "total")
REAL_NORM_BLOCKS: tuple[str, ...] = (
    "reciprocal",
    "squares",
    "squares_lanes",
    "centered",
    "mean",
    "total",
    "total_lanes",
    "sum",
)
"""The same of both layer norms."""
POOLING_BLOCKS = ("count", "total")


class RunsOnEveryGpu:
    """What the strategies of this module have in common."""

    @property
    def name(self) -> str:
        """Of all of them: an operator has one."""
        return NAME

    def refuse(self, workload: Any, features: frozenset[str]) -> str | None:
        """Nothing."""
        return None


@dataclass(frozen=True)
class PlainRows(RunsOnEveryGpu, Strategy[Any]):
    """A block of threads for each row of ``output``; its ``producers``, from the last to the first, in the same block.

    ``follower``: a second output that is computed from the first, if the kernel has one.
    """

    output: str
    producers: tuple[str, ...] = ()
    follower: str | None = None

    def sketches(self, workload: Any) -> Sequence[Sketch]:
        return [Sketch("a block a row", self._apply)]

    def _apply(self, sch: Schedule) -> None:
        output = sch.get_sblock(self.output)
        row, channel = sch.get_loops(output)
        if self.follower in _names(sch):
            sch.reverse_compute_at(sch.get_sblock(self.follower), channel, preserve_unit_loops=True)
        bind_rows(sch, output, [row], [sch.get_sblock(name) for name in self.producers])


@dataclass(frozen=True)
class PlainBlocks(RunsOnEveryGpu, Strategy[RealWorkload]):
    """A kernel for each block, a thread for each of its elements: for what is of sentences, not rows."""

    def sketches(self, workload: RealWorkload) -> Sequence[Sketch]:
        return [Sketch("a kernel a block", self._apply)]

    def _apply(self, sch: Schedule) -> None:
        for block in sch.get_child_blocks(sch.get_sblock("root")):
            bind_elements(sch, block)


@dataclass(frozen=True)
class PlainAttention(RunsOnEveryGpu, AttentionStrategy):
    """A block of threads for each query of each head: scores, softmax and context without leaving it."""

    @property
    def operand_signs(self) -> str:
        return "mixed"

    def sketches(self, workload: AttentionWorkload) -> Sequence[Sketch]:
        return [Sketch("a block a query", partial(self._apply, workload))]

    def _apply(self, workload: AttentionWorkload, sch: Schedule) -> None:
        for name in ("query", "key", "value", "limit", "keep"):
            sch.compute_inline(sch.get_sblock(name))
        _bind_queries(sch, "context", workload.batch, workload.length, workload.heads, ATTENTION_BLOCKS)


@dataclass(frozen=True)
class PlainRealAttention(RunsOnEveryGpu, Strategy[RealWorkload]):
    """The same for attention in floats."""

    def sketches(self, workload: RealWorkload) -> Sequence[Sketch]:
        return [Sketch("a block a query", partial(self._apply, workload))]

    def _apply(self, workload: RealWorkload, sch: Schedule) -> None:
        for name in ("query", "key", "value", "context"):
            sch.compute_inline(sch.get_sblock(name))
        producers = (
            "context_sum", "probabilities", "reciprocal", "total", "total_lanes", "exponential", "largest", "scores",
            "score_sum",
        )  # fmt: skip
        _bind_queries(sch, "output", workload.batch, workload.length, workload.heads, producers)


def _names(sch: Schedule) -> set[str]:
    """Of the kernel's blocks."""
    return {sch.get(block).name_hint for block in sch.get_child_blocks(sch.get_sblock("root"))}


def _bind_queries(sch: Schedule, output: str, batch: int, length: int, heads: int, producers: Sequence[str]) -> None:
    block = sch.get_sblock(output)
    row, channel = sch.get_loops(block)
    sentence, query = sch.split(row, [batch, length])
    head, _ = sch.split(channel, [heads, None])
    bind_rows(sch, block, [sentence, query, head], [sch.get_sblock(name) for name in producers])


@dataclass(frozen=True)
class PlainLinear(RunsOnEveryGpu, Strategy[LinearWorkload]):
    """A thread for each output, which adds up in a register; packed weights are unpacked as they are read."""

    def sketches(self, workload: LinearWorkload) -> Sequence[Sketch]:
        return [Sketch("a thread an output", self._apply)]

    def _apply(self, sch: Schedule) -> None:
        if "weight" in _names(sch):
            sch.compute_inline(sch.get_sblock("weight"))
        accumulator = sch.get_sblock("accumulator")
        row, channel = sch.get_loops(sch.get_sblock("output"))
        channels, thread = sch.split(channel, [None, THREADS])
        sch.compute_at(accumulator, thread, preserve_unit_loops=True)
        sch.set_scope(accumulator, 0, "local")
        sch.bind(row, "blockIdx.x")
        sch.bind(channels, "blockIdx.y")
        sch.bind(thread, "threadIdx.x")
