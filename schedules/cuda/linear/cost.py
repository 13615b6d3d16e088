"""What a tile costs a GPU, in cycles of its clock: for the tile that is taken without tuning.

A multiprocessor gets whole blocks, and all wait for the one with the most of them: that is the wave quantization of
"NVIDIA Deep Learning Performance: Matrix Multiplication Background". A block multiplies, moves its operands through
shared memory, and gets them from the second-level cache, each at its rate. The three overlap, the less the nearer they
are to each other: they count as the root of the sum of their squares. Besides, a block's stages follow each other:
where a multiprocessor has no other blocks, it waits for their barriers and loads, or for memory, from which all stages
but one are on their way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ....targets.cuda import WARP, Cuda
from ....targets.cuda_rates import int8_multiplier, macs_per_cycle
from ...linear.workload import LinearWorkload
from ..threads import RESIDENT
from .multiplication import DEPTH_STEP
from .warp_tile import WarpTile

SHARED_BYTES = 128
"""A cycle, of a multiprocessor: 32 banks of 4 bytes (CUDA C++ Programming Guide, "Shared Memory")."""
CACHE_BYTES = 48
"""A cycle, to a multiprocessor: A100's second-level cache gives 5120 to 108 of them (NVIDIA A100 whitepaper)."""
STAGE_CYCLES = 100
"""Of a barrier, a load from shared memory and a product, one after the other."""
MEMORY_CYCLES = 600
"""Until a copy from memory is there: about, and without a queue."""
PARTITIONS = 4
"""Of a multiprocessor, with tensor cores each."""
TYPICAL = Cuda(sm=87, multiprocessors=16, clock_mhz=1300, bandwidth_gbs=204.8)
"""What is taken where the GPU is not known: the Jetson AGX Orin's."""


@dataclass(frozen=True)
class TileCost:
    """The cost of ``tile``, with stages of ``depth`` inputs, for ``workload``."""

    tile: WarpTile
    depth: int
    workload: LinearWorkload

    @property
    def gpu(self) -> Cuda:
        """That it is for."""
        return self.workload.gpu or TYPICAL

    @property
    def row_blocks(self) -> int:
        """Of the grid."""
        return -(-self.workload.rows // self.tile.rows)

    @property
    def column_blocks(self) -> int:
        """Of the grid."""
        return -(-self.workload.channels // self.tile.columns)

    @property
    def cycles(self) -> float:
        """Of the multiprocessor with the most blocks."""
        blocks = -(-self.row_blocks * self.column_blocks // self.gpu.multiprocessors)
        return blocks * self._block_cycles + self._waiting_cycles

    @property
    def rows_together(self) -> int:
        """How many blocks that follow each other have the same columns.

        Of those that run at once, so many rows of blocks and the columns that belong to them; it is what divides the
        rows of blocks and leaves the fewest operands to read from memory.
        """
        at_once = RESIDENT * self.gpu.multiprocessors

        def read_at_once(rows: int) -> int:
            columns = min(-(-at_once // rows), self.column_blocks)
            groups = -(-at_once // (rows * columns))
            return groups * rows * self.tile.rows + columns * self.tile.columns

        divisors = [rows for rows in range(1, self.row_blocks + 1) if self.row_blocks % rows == 0 and rows <= at_once]
        return min(divisors, key=read_at_once)

    @property
    def _macs_per_cycle(self) -> int:
        macs = macs_per_cycle(self.gpu, int8_multiplier(self.gpu))
        assert macs is not None, "every chip multiplies integers"
        return macs

    @property
    def _block_cycles(self) -> float:
        tile, inputs = self.tile, self.workload.inputs
        packed = self.workload.packed
        weight_bytes = 1.0 if packed is None else packed.bits / 8
        staged = tile.rows + tile.columns * weight_bytes
        # A warp loads the rows and the columns of its own outputs; what warps pass to each other is written and read.
        loaded = tile.rows * tile.warps[1] + tile.columns * weight_bytes * tile.warps[0]
        products = tile.rows * tile.columns * inputs / self._macs_per_cycle
        shared = ((staged + loaded) * inputs + 2 * tile.exchanged_bytes) / SHARED_BYTES
        return math.hypot(products, shared, staged * inputs / CACHE_BYTES)

    @property
    def _waiting_cycles(self) -> float:
        stages = -(-self.workload.inputs // self.depth)
        steps = self.depth / DEPTH_STEP / self.tile.slices
        of_a_step = self.tile.registers * WARP * DEPTH_STEP * PARTITIONS / self._macs_per_cycle
        return stages * max(STAGE_CYCLES + steps * of_a_step, MEMORY_CYCLES / (self.tile.stages - 1))
