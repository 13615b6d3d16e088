"""What each kernel multiplies with, by its PTX: what a strategy was meant to do is not asked."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...targets.cuda_rates import Multiplier

_ENTRY = re.compile(r"^\s*(?:\.visible\s+|\.weak\s+)?\.entry\s+(\w+)", re.MULTILINE)
# PTX ISA, "Warp Level Matrix Instructions" (mma.sync, wmma.mma) and "Integer Arithmetic Instructions" (dp4a).
_INSTRUCTIONS: Mapping[Multiplier, re.Pattern[str]] = {
    Multiplier.BMMA: re.compile(r"(?:wmma\.|\s)mma\.\S*\.b1\b"),
    Multiplier.IMMA_S4: re.compile(r"(?:wmma\.|\s)mma\.\S*\.[su]4\b"),
    Multiplier.IMMA: re.compile(r"(?:wmma\.|\s)mma\.\S*\.[su]8\b"),
    Multiplier.DP4A: re.compile(r"\bdp4a\."),
    Multiplier.FLOAT32: re.compile(r"\b(?:mul|fma)\.(?:rn\.)?(?:ftz\.)?f32\b"),
}
"""The fastest first: what else is there prepares its operands or takes its sums."""


def multipliers(ptx: str) -> dict[str, Multiplier]:
    """By the kernel's name: the fastest multiply instruction that it has, else :attr:`Multiplier.INT32`."""
    starts = list(_ENTRY.finditer(ptx))
    ends = [*(start.start() for start in starts[1:]), len(ptx)]
    return {start[1]: _multiplier(ptx[start.end() : end]) for start, end in zip(starts, ends, strict=False)}


def _multiplier(body: str) -> Multiplier:
    found = (multiplier for multiplier, instruction in _INSTRUCTIONS.items() if instruction.search(body))
    return next(found, Multiplier.INT32)
