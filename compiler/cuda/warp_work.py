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
from .sass import MULTIPLIES, TENSOR_CORES, Instruction, Loop, innermost_loops

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
        """Of each of ``instructions`` once. Beside tensor cores, products of a lane only add up what a row has."""
        listed = list(instructions)
        macs = sum(map(_tensor_core_macs, listed)) or sum(map(_lane_macs, listed))
        return cls(macs, len(listed), sum(map(_shared_cycles, listed)))

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
    """``loops``: all loops that multiply, one trip of each, nothing where the compiler has unrolled them; ``once``: the
    rest; ``multiply_share``: of the instructions of the loop that multiplies most, or of all."""

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
        return max(0.0, macs - self.once.macs) / self.loops.macs if self.loops.macs else 0.0


def warp_work(instructions: tuple[Instruction, ...]) -> WarpWork | None:
    """Of a kernel; None where nothing in it is for multiplying only."""
    whole = Loop(instructions)
    multiplies = TENSOR_CORES if whole.count(TENSOR_CORES) else MULTIPLIES
    if not whole.count(multiplies):
        return None
    multiplying = [loop for loop in innermost_loops(instructions) if loop.count(multiplies)]
    loops = reduce(Work.__add__, (Work.of(loop.instructions) for loop in multiplying), Work(0, 0, 0))
    main = max(multiplying, key=lambda loop: loop.count(multiplies), default=whole)
    share = main.count(multiplies) / len(main.instructions)
    return WarpWork(loops, Work.of(instructions) - loops, share)


def _tensor_core_macs(instruction: Instruction) -> int:
    shape = _SHAPE.match(instruction.opcode)
    return 0 if shape is None else int(shape[1]) * 8 * int(shape[2])


def _lane_macs(instruction: Instruction) -> int:
    name = ".".join(instruction.opcode.split(".")[:2])
    return WARP * _LANE_MACS.get(name, 0)


def _shared_cycles(instruction: Instruction) -> int:
    if not _SHARED.match(instruction.opcode):
        return 0
    return _WIDTHS.get(instruction.opcode.rpartition(".")[2], 1)
