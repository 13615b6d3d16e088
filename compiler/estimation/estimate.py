"""A scheduled kernel -> how long a call of it takes, as far as its code tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ...targets.features import AARCH64, X86_64
from ...targets.target import Target
from .aarch64 import AArch64
from .assembly import function_blocks
from .code import COMPUTES, kernel_assembly
from .instruction_set import InstructionSet
from .meters import Meter
from .walk import block_counts
from .x86_64 import X86

HERTZ = 1e9
"""The clock by which cycles are told as seconds. The same for every target: estimates are for comparing."""

INSTRUCTION_SETS: Mapping[str, InstructionSet] = MappingProxyType({X86_64: X86(), AARCH64: AArch64()})


@dataclass(frozen=True)
class Estimate:
    """Of one call: the instructions that the busiest thread runs, and the cycles that they take."""

    instructions: int
    cycles: float

    @property
    def seconds(self) -> float:
        """At a clock of :data:`HERTZ`."""
        return self.cycles / HERTZ


def estimate_kernel(function: Any, target: Target, threads: int, meter: Meter) -> Estimate:
    """The estimate for the scheduled PrimFunc ``function``, compiled for ``target``.

    Memory is taken for fast: caches and their misses are no part of it, nor is what a launch of threads costs.

    Raises EstimationError for code that is not understood, TVM's own errors for a schedule that does not lower.
    """
    instructions = INSTRUCTION_SETS[target.arch]
    text = kernel_assembly(function, target, threads)
    blocks = function_blocks(text, COMPUTES, instructions.jump_of, instructions.returns)
    run = [each for each in zip(blocks, block_counts(blocks, instructions), strict=True) if each[1]]
    return Estimate(sum(count * len(block.instructions) for block, count in run), meter.cycles(run))
