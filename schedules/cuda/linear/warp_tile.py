"""The tile of outputs that a block of threads computes, and how its warps divide it.

A warp has ``16 row_steps x 8 column_steps`` outputs; of each 16 x 8, lane ``4 group + place`` has rows ``group`` and
``group + 8``, columns ``2 place`` and ``2 place + 1``, as ``mma.sync`` leaves them (PTX ISA, "Matrix Fragments for
mma.m16n8k32"). Warps may have the same outputs and divide the depth of every stage between them, see :mod:`.slices`.
"""

from __future__ import annotations

from dataclasses import dataclass

WARP_LANES = 32
SUM_BYTES = 4


@dataclass(frozen=True)
class WarpTile:
    """``warps``: (rows, columns) of the block; ``steps``: 16-row and 8-column steps of a warp; ``stages``: of the
    operands in shared memory, one more than are being copied; ``slices``: of the depth, with so many warps each."""

    warps: tuple[int, int]
    steps: tuple[int, int]
    stages: int
    slices: int = 1

    def __post_init__(self) -> None:
        assert self.steps[1] % 2 == 0, "weights are loaded for two column steps at once"
        assert self.steps[1] % self.slices == 0, "each slice finishes as many column steps"
        assert self.stages >= 2

    @property
    def rows(self) -> int:
        """Of the block."""
        return self.warps[0] * self.steps[0] * 16

    @property
    def columns(self) -> int:
        """Of the block."""
        return self.warps[1] * self.steps[1] * 8

    @property
    def threads(self) -> int:
        """Of the block."""
        return self.warps[0] * self.warps[1] * self.slices * WARP_LANES

    @property
    def registers(self) -> int:
        """A thread's sums."""
        return self.steps[0] * self.steps[1] * 4

    @property
    def finished_steps(self) -> int:
        """Column steps whose outputs a warp finishes."""
        return self.steps[1] // self.slices

    @property
    def finished(self) -> int:
        """Outputs that a thread finishes."""
        return self.registers // self.slices

    @property
    def exchanged_bytes(self) -> int:
        """What the slices pass to each other: a thread keeps what it finishes itself."""
        return self.threads * (self.registers - self.finished) * SUM_BYTES

    def __str__(self) -> str:
        slices = "" if self.slices == 1 else f"x{self.slices}"
        return f"{self.rows}x{self.columns}_{self.warps[0]}x{self.warps[1]}{slices}_{self.stages}"
