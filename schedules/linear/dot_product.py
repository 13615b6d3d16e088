"""The linear strategy of dot-product instructions, one step of the reduction at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tvm.s_tir import Schedule

from ..micro_kernels import DotProduct
from ..strategy import Sketch, Strategy, missing
from ..tiles import tensorize_tile
from .blocking import Outside, begin, block_output, tile_name
from .workload import LinearWorkload


@dataclass(frozen=True)
class DotProductLinear(Strategy[LinearWorkload]):
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

    def sketches(self, workload: LinearWorkload) -> Sequence[Sketch]:
        block = self.dot_product.layout.n_block
        return [
            Sketch(tile_name(rows, blocks * block, outside), partial(self._apply, workload, rows, blocks, outside))
            for outside in Outside
            for rows, blocks in self.dot_product.register_tiles(workload.rows, workload.channels)
        ]

    def _apply(self, workload: LinearWorkload, rows: int, blocks: int, outside: Outside, sch: Schedule) -> None:
        accumulator = begin(sch, workload)
        loops = block_output(sch, workload, outside, (rows, blocks * self.dot_product.layout.n_block))
        sch.compute_at(accumulator, loops.block, preserve_unit_loops=True)
        tensorize_tile(sch, self.dot_product, accumulator, rows, blocks, workload.inputs)
