"""Assembly text, as LLVM writes it -> the basic blocks of a function."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ...errors import EstimationError

_LABEL = re.compile(r"([A-Za-z_.$][\w.$]*):")
_INSTRUCTION = re.compile(r"\t([a-z][\w.]*)(?:\t(.*))?")
_SEPARATOR = re.compile(r",\s*(?![^(\[{]*[)\]}])")


@dataclass(frozen=True)
class Instruction:
    """A line of assembly: ``text`` without its indentation, and its parts."""

    mnemonic: str
    operands: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Jump:
    """How a block ends: to ``target``, a label, under ``condition`` (None: always)."""

    instruction: Instruction
    target: str
    condition: str | None


@dataclass(frozen=True)
class Block:
    """Instructions that run one after the other. ``jump``: where to, None to go on with the next block or to return;
    ``returns``: whether it ends the function."""

    label: str
    instructions: tuple[Instruction, ...]
    jump: Jump | None
    returns: bool


JumpOf = Callable[[Instruction], Jump | None]
"""What an instruction set says of an instruction: None when it goes on with the next one."""


def function_blocks(text: str, name: str, jump_of: JumpOf, returns: frozenset[str]) -> tuple[Block, ...]:
    """The blocks of the function ``name``, in their order in the text; the first is its entry.

    ``returns``: the mnemonics that end a function. Raises EstimationError where there is no such function.
    """
    lines = list(_lines(text, name))
    targets = {jump.target for line in lines if isinstance(line, Instruction) and (jump := jump_of(line)) is not None}
    blocks: list[Block] = []
    label, collected = name, []
    for line in [*lines, ""]:
        jump = jump_of(line) if isinstance(line, Instruction) else None
        ends = isinstance(line, Instruction) and line.mnemonic in returns
        if isinstance(line, Instruction):
            collected.append(line)
        if jump is not None or ends or line == "" or line in targets:
            if collected:
                blocks.append(Block(label, tuple(collected), jump, ends))
            label, collected = (line if isinstance(line, str) else f"{label}+"), []
    return _in_one_piece(blocks, name)


def _in_one_piece(blocks: Sequence[Block], name: str) -> tuple[Block, ...]:
    if not blocks:
        raise EstimationError(f"the code has no function {name}; report it")
    known = {block.label for block in blocks}
    for block in blocks:
        if block.jump is not None and block.jump.target not in known:
            raise EstimationError(f"{name} jumps out of itself ({block.jump.instruction.text}); report it")
    return tuple(blocks)


def _lines(text: str, name: str) -> Iterator[str | Instruction]:
    """The labels and instructions of a function."""
    _, found, rest = text.partition(f"\n{name}:")
    body = rest.partition(f"\n\t.size\t{name},")[0] if found else ""
    for line in body.splitlines():
        if label := _LABEL.match(line):
            yield label[1]
        elif instruction := _INSTRUCTION.match(line):
            operands = (instruction[2] or "").strip()
            parts = tuple(_SEPARATOR.split(operands)) if operands else ()
            yield Instruction(instruction[1], parts, line.strip())
