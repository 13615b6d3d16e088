"""What a warp of a kernel issues for its multiply-adds, by the kernel's machine code: for estimates.

Loops that multiply are taken to run as often as the multiply-adds need, all equally often, whatever is outside of them
once: what else repeats is not counted. An instruction takes one issue slot of its partition; shared memory serves 128
bytes a cycle to the whole multiprocessor (CUDA C++ Programming Guide, "Shared Memory": 32 banks of 4 bytes).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce

from ...targets.cuda import WARP
from .sass import MULTIPLIES, Instruction, innermost_loops, main_loop

_LANE_MACS: Mapping[str, int] = {"IDP.4A": 4, "IDP.2A": 2}
# IMMA.16832: rows, columns and depth of the product, without separators.
_SHAPE = re.compile(r"[IB]MMA\.(8|16)8(\d+)\b")
_SHARED = re.compile(r"(?:LDS|STS|LDSM|LDGSTS|ATOMS)\b")
_WIDTHS: Mapping[str, int] = {"128": 4, "64": 2, "4": 4, "2": 2}
"""Cycles of a warp by the last number of the opcode: bits of a lane, or matrices of 8 x 16 bytes."""


@dataclass(frozen=True)
class Work:
    """Of a warp: multiply-adds (those of BMMA of single bits), instructions, and cycles of shared memory."""

    macs: int
    instructions: int
    shared_cycles: int

    @classmethod
    def of(cls, instructions: Iterable[Instruction]) -> Work:
        """Of each of ``instructions`` once."""
        listed = list(instructions)
        return cls(sum(map(_macs, listed)), len(listed), sum(map(_shared_cycles, listed)))

    def __add__(self, other: Work) -> Work:
        return Work(
            self.macs + other.macs,
            self.instructions + other.instructions,
            self.shared_cycles + other.shared_cycles,
        )

    def __sub__(self, other: Work) -> Work:
        return Work(
            self.macs - other.macs,
            self.instructions - other.instructions,
            self.shared_cycles - other.shared_cycles,
        )


@dataclass(frozen=True)
class WarpWork:
    """``loops``: all loops that multiply, one trip of each; ``once``: the rest; ``multiply_share``: of the instructions
    of the loop that multiplies most."""

    loops: Work
    once: Work
    multiply_share: float

    def issue_cycles(self, macs: float) -> float:
        """Issue slots of a partition that a warp takes for ``macs`` multiply-adds."""
        return self.once.instructions + self._trips(macs) * self.loops.instructions

    def shared_cycles(self, macs: float) -> float:
        """Cycles in which it has the multiprocessor's shared memory."""
        return self.once.shared_cycles + self._trips(macs) * self.loops.shared_cycles

    def _trips(self, macs: float) -> float:
        return max(0.0, macs - self.once.macs) / self.loops.macs


def warp_work(instructions: tuple[Instruction, ...]) -> WarpWork | None:
    """Of a kernel; None where no loop multiplies by an instruction that is for that only."""
    main = main_loop(instructions)
    if main is None:
        return None
    multiplying = [loop.instructions for loop in innermost_loops(instructions) if loop.count(MULTIPLIES)]
    loops = reduce(Work.__add__, map(Work.of, multiplying))
    return WarpWork(loops, Work.of(instructions) - loops, main.multiply_share)


def _macs(instruction: Instruction) -> int:
    shape = _SHAPE.match(instruction.opcode)
    if shape is not None:
        return int(shape[1]) * 8 * int(shape[2])
    name = ".".join(instruction.opcode.split(".")[:2])
    return WARP * _LANE_MACS.get(name, 0)


def _shared_cycles(instruction: Instruction) -> int:
    if not _SHARED.match(instruction.opcode):
        return 0
    return _WIDTHS.get(instruction.opcode.rpartition(".")[2], 1)
