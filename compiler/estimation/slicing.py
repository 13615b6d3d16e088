"""Of a function's instructions, those that decide where it goes: a backward slice from its conditional jumps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...errors import EstimationError
from .assembly import Block, Instruction
from .effects import Effect
from .instruction_set import Condition, InstructionSet


@dataclass(frozen=True)
class Slice:
    """Of a block: for each instruction that matters, what it changes that matters; then when it jumps (None where it
    always does, or never)."""

    steps: tuple[tuple[Effect, ...], ...]
    condition: Condition | None


def deciding(blocks: Sequence[Block], instructions: InstructionSet) -> list[Slice]:
    """The slice of each block. Raises EstimationError when a jump depends on what an instruction computes that nothing
    here knows of, such as data."""
    effects = [
        [(each, instructions.effects_of(each)) for each in block.instructions if instructions.jump_of(each) is None]
        for block in blocks
    ]
    conditions = [_condition(block, instructions) for block in blocks]
    successors = _successors(blocks)
    needed: list[frozenset[str]] = [frozenset()] * len(blocks)
    changed = True
    while changed:
        changed = False
        for index in reversed(range(len(blocks))):
            before = _needed(index, effects, conditions, successors, needed)[0]
            changed |= before != needed[index]
            needed[index] = before
    return [
        Slice(_needed(index, effects, conditions, successors, needed)[1], conditions[index])
        for index in range(len(blocks))
    ]


def _condition(block: Block, instructions: InstructionSet) -> Condition | None:
    if block.jump is None or block.jump.condition is None:
        return None
    return instructions.condition_of(block.jump)


def _successors(blocks: Sequence[Block]) -> list[list[int]]:
    places: Mapping[str, int] = {block.label: index for index, block in enumerate(blocks)}
    found = []
    for index, block in enumerate(blocks):
        after = [] if block.returns or (block.jump is not None and block.jump.condition is None) else [index + 1]
        found.append([*after, *([places[block.jump.target]] if block.jump is not None else [])])
    return found


def _needed(
    index: int,
    effects: Sequence[Sequence[tuple[Instruction, Sequence[Effect]]]],
    conditions: Sequence[Condition | None],
    successors: Sequence[Sequence[int]],
    needed: Sequence[frozenset[str]],
) -> tuple[frozenset[str], tuple[tuple[Effect, ...], ...]]:
    """What must be known before a block, and the steps that know it after."""
    condition = conditions[index]
    live = frozenset().union(*(needed[after] for after in successors[index] if after < len(needed)))
    live |= frozenset() if condition is None else condition.reads
    steps: list[tuple[Effect, ...]] = []
    for instruction, changes in reversed(effects[index]):
        mine = tuple(each for each in changes if each.target in live)
        if mine:
            steps.append(_known(mine, instruction))
            live = (live - {each.target for each in mine}).union(*(each.reads for each in mine))
    return live, tuple(reversed(steps))


def _known(effects: tuple[Effect, ...], instruction: Instruction) -> tuple[Effect, ...]:
    """What nobody knows the result of raises an error, where the walk comes by it."""
    asked = f"unknown({instruction.text!r})"
    return tuple(Effect(each.target, asked) if each.expression is None else each for each in effects)


def unknown(text: str) -> int:
    """Stands for what an instruction computes that nothing here knows of."""
    raise EstimationError(f"where the code goes depends on `{text}`, which is not followed; no estimate for it")
