"""LayerNorm on NVIDIA GPUs: a row in the registers of a warp, its two sums by shuffles.

Every lane holds a part of the row's channels, adds them up, and the warp adds up its lanes: integers have the same sum
in any order. What a row has once, such as its mean, each lane computes for itself, so nothing passes shared memory
and no warp waits for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tvm.s_tir import Schedule

from ...targets.cuda import WARP
from ..rows import RowWorkload
from ..strategy import Sketch, Strategy
from .warps import VECTOR_BYTES, bind_rows_of_warps, split_vectors

MOST_CHANNELS_OF_A_LANE = 128
"""They fill 64 of its registers, two in each."""
WIDEST = VECTOR_BYTES // 2
"""int16 channels of a vector."""
STATISTICS = ("bits", "reciprocal", "half_exponent", "squares", "mean", "total")
"""The blocks of a row that its outputs read, from the last to the first."""
SUMS = ("total", "squares")


@dataclass(frozen=True)
class WarpLayerNorm(Strategy[RowWorkload]):
    """A row in the lanes of a warp, or in a half of them; the row's channels in vectors of up to 16 bytes."""

    @property
    def name(self) -> str:
        return "warp_shuffle"

    def refuse(self, workload: RowWorkload, features: frozenset[str]) -> str | None:
        most = MOST_CHANNELS_OF_A_LANE * WARP
        return None if workload.channels <= most else f"the registers of a warp hold {most} channels"

    def sketches(self, workload: RowWorkload) -> Sequence[Sketch]:
        return [
            Sketch(f"{lanes} lanes a row", partial(self._apply, workload.channels, lanes))
            for lanes in (WARP, WARP // 2)
            if workload.rows % (WARP // lanes) == 0 and workload.channels <= MOST_CHANNELS_OF_A_LANE * lanes
        ]

    def _apply(self, channels: int, lanes: int, sch: Schedule) -> None:
        vector = vector_of(channels, lanes)
        wide, narrow = sch.get_sblock("wide"), sch.get_sblock("narrow")
        x = sch.cache_read(wide, "x", "local")
        stored = sch.cache_write(wide, 0, "local", [narrow]), sch.cache_write(narrow, 0, "local")

        row, channel = sch.get_loops(wide)
        row = bind_rows_of_warps(sch, row, lanes)
        step, lane, _ = split_vectors(sch, channel, lanes, vector)
        sch.unroll(step)
        for block in (stored[0], narrow, stored[1]):
            sch.reverse_compute_at(block, lane, preserve_unit_loops=True)
        for block in (wide, narrow):
            sch.unroll(sch.get_loops(block)[-1])
        for block in stored:
            sch.vectorize(sch.get_loops(block)[-1])
        for name in ("gamma", "beta"):
            constants = sch.cache_read(wide, name, "local")
            sch.compute_at(constants, lane, preserve_unit_loops=True)
            vectors, element = sch.split(sch.get_loops(constants)[-1], [None, min(vector, VECTOR_BYTES // 4)])
            sch.unroll(vectors)
            sch.vectorize(element)
        self._statistics(sch, row, lanes, vector, x)

    def _statistics(self, sch: Schedule, row: Any, lanes: int, vector: int, x: Any) -> None:
        for name in STATISTICS:
            block = sch.get_sblock(name)
            sch.compute_at(block, row, preserve_unit_loops=True)
            sch.set_scope(block, 0, "local")
        sch.compute_at(x, row, preserve_unit_loops=True)
        for block in (x, *(sch.get_sblock(name) for name in SUMS)):
            step, _, element = split_vectors(sch, sch.get_loops(block)[-1], lanes, vector)
            sch.unroll(step)
            if block is x:
                sch.vectorize(element)
            else:
                sch.unroll(element)


def vector_of(channels: int, lanes: int) -> int:
    """How many channels a lane loads at once: the most that leave no lane idle, else the most that divide a row."""
    widths = [width for width in (WIDEST, WIDEST // 2, WIDEST // 4, 1) if channels % width == 0]
    return next((width for width in widths if channels % (width * lanes) == 0), widths[0])
