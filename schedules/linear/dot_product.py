"""The linear strategy of dot-product instructions, one step of the reduction at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tvm.s_tir import Schedule

from ..micro_kernels import DotProduct
from ..strategy import PrimFunc, Sketch, Strategy, missing
from ..tiles import tensorize_tile
from .blocking import Outside, block_output, place_weight, tile_name
from .prefetch import mark_tile, with_prefetches
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
        layout, cost = self.dot_product.layout, self._unpacking_cost(workload)
        unpack = cost is not None
        extents = workload.rows, workload.channels
        tiles = (
            self.dot_product.register_tiles(*extents)
            if cost is None
            else self.dot_product.unpacking_tiles(*extents, cost)
        )
        return [
            Sketch(
                f"{tile_name(rows, blocks * layout.n_block, outside)}{', unpacked in registers' if unpack else ''}",
                partial(self._apply, workload, rows, blocks, outside, unpack),
            )
            for outside in Outside
            for rows, blocks in tiles
        ]

    def finish(self, function: PrimFunc, workload: LinearWorkload) -> PrimFunc:
        return with_prefetches(function)

    def _unpacking_cost(self, workload: LinearWorkload) -> float | None:
        """Instructions for a vector of weights that is unpacked in registers; None: the weight is not."""
        layout, packed = self.dot_product.layout, workload.packed
        fits = packed is not None and packed.fits_registers(layout.n_block * layout.k_block)
        return self.dot_product.unpacking_cost if fits else None

    def _apply(
        self, workload: LinearWorkload, rows: int, blocks: int, outside: Outside, unpack: bool, sch: Schedule
    ) -> None:
        accumulator = sch.get_sblock("accumulator")
        loops = block_output(sch, workload, outside, (rows, blocks * self.dot_product.layout.n_block))
        sch.compute_at(accumulator, loops.block, preserve_unit_loops=True)
        if not unpack:
            place_weight(sch, workload, loops)
        tensorize_tile(sch, self.dot_product, accumulator, rows, blocks, workload.inputs, unpack=unpack)
        mark_tile(sch, loops, blocks)
