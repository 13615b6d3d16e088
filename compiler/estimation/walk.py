"""How often each block of a function runs, found by going through it.

Only what decides where the function goes is computed: counters and the addresses that loops end at. The shapes of a
kernel are fixed, and no branch of it depends on data, so nothing else is needed. Blocks become Python functions; one
that jumps to itself, the body of an innermost loop, becomes a loop.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import EstimationError
from .assembly import Block
from .effects import ELSEWHERE
from .instruction_set import InstructionSet
from .slicing import Slice, deciding, unknown

LONGEST = 30_000_000
"""Blocks that are gone through before a function is taken for endless."""
OVER = -1

Registers = dict[str, Any]


def block_counts(blocks: Sequence[Block], instructions: InstructionSet) -> list[int]:
    """How often each block runs in one call. Raises EstimationError when that cannot be known."""
    places = {block.label: index for index, block in enumerate(blocks)}
    steps = [
        _compiled(index, block, each, places)
        for index, (block, each) in enumerate(zip(blocks, deciding(blocks, instructions), strict=True))
    ]
    counts = [0] * len(blocks)
    registers: Registers = defaultdict(lambda: int(ELSEWHERE))
    place, total = 0, 0
    while place != OVER:
        runs, following = steps[place](registers)
        counts[place] += runs
        total += runs
        if total > LONGEST:
            raise EstimationError(f"the code does not end within {LONGEST:,} blocks; no estimate for it")
        place = following
        if place >= len(blocks):
            raise EstimationError("the code runs on behind its end; report it")
    return counts


def _compiled(index: int, block: Block, each: Slice, places: dict[str, int]) -> Callable[[Registers], tuple[int, int]]:
    """A function of the registers: how often the block ran, and which one follows."""
    names = {name for step in each.steps for effect in step for name in (effect.target, *effect.reads)}
    names |= frozenset() if each.condition is None else each.condition.reads
    lines = [
        "def step(registers):",
        *(f"    {name} = registers[{name!r}]" for name in sorted(names)),
        "    runs = 0",
        "    while True:",
        "        runs += 1",
        *(f"        {_assignment(step)}" for step in each.steps),
        *(f"        {line}" for line in _end(index, block, each, places)),
        *(f"    registers[{name!r}] = {name}" for name in sorted(names)),
        "    return runs, following",
    ]
    scope: dict[str, Any] = {"unknown": unknown}
    exec("\n".join(lines), scope)
    return scope["step"]


def _end(index: int, block: Block, each: Slice, places: dict[str, int]) -> list[str]:
    """Sets ``following``, and leaves the loop or goes on with it."""
    if block.returns:
        return [f"following = {OVER}", "break"]
    if block.jump is None:
        return [f"following = {index + 1}", "break"]
    target = places[block.jump.target]
    if each.condition is None:
        return [f"following = {target}", "break"]
    following = f"following = {target} if {each.condition.expression} else {index + 1}"
    return [following, f"if following != {index} or runs > {LONGEST}: break"]


def _assignment(step: Sequence[Any]) -> str:
    """All at once: every expression is of what was before."""
    return f"{', '.join(each.target for each in step)} = {', '.join(f'({each.expression})' for each in step)}"
