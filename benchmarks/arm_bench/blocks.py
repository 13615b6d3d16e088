"""What the counter wrote: how often each block of instructions was executed."""

from collections.abc import Iterable
from dataclasses import dataclass

from peer_bench.errors import BenchmarkError


@dataclass(frozen=True)
class Block:
    """Instructions that are executed one after the other, ``executions`` times."""

    address: int
    length: int
    instructions: int
    executions: int

    @property
    def total(self) -> int:
        return self.instructions * self.executions


def parse_blocks(text: str) -> list[Block]:
    """The blocks in the counter's file.

    Raises:
        BenchmarkError: a line is damaged, or nothing was counted.
    """
    blocks = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            address, length, instructions, executions = line.split()
            blocks.append(Block(int(address, 16), int(length, 16), int(instructions), int(executions)))
        except ValueError:
            raise BenchmarkError(f"the counter's line {number} is damaged: {line!r}; run again") from None
    if not blocks:
        raise BenchmarkError("the counter saw no instruction between the marks; remove build/arm and run again")
    return blocks


def total(blocks: Iterable[Block]) -> int:
    """All instructions that were executed."""
    return sum(block.total for block in blocks)
