"""What a walk over a program must know of an instruction set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .assembly import Instruction, Jump
from .effects import Effect


@dataclass(frozen=True)
class Condition:
    """When a jump is taken: a Python expression, and the registers that it reads."""

    expression: str
    reads: frozenset[str]


class InstructionSet(Protocol):
    """An architecture's instructions, as far as they decide where a program goes."""

    returns: frozenset[str]
    """The mnemonics that end a function."""

    def jump_of(self, instruction: Instruction) -> Jump | None:
        """Where the instruction goes; None: on."""
        ...

    def condition_of(self, jump: Jump) -> Condition:
        """When a conditional jump is taken. Raises EstimationError for one that is not known."""
        ...

    def effects_of(self, instruction: Instruction) -> Sequence[Effect]:
        """What the instruction changes; all expressions are of what was before it."""
        ...
