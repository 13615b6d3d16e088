"""The machine code of kernels, read by NVIDIA's disassembler: their loops, and what is in them.

NVIDIA names the instructions of each generation ("CUDA Binary Utilities", "Instruction Set Reference") and leaves their
meaning open; what is taken from them here is which one it is, and where branches go.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ...errors import ToolchainError

INSTALL = "run `pip install nvidia-cuda-nvdisasm`, or install NVIDIA's CUDA toolkit"

TENSOR_CORES = frozenset({"IMMA", "BMMA"})
"""On integers, and on single bits."""
MULTIPLIES = TENSOR_CORES | {"IDP"}
"""The same, and four products of bytes on a lane."""
LOCAL_MEMORY = frozenset({"LDL", "STL"})
_ADDRESS = re.compile(r"0x[0-9a-f]+$")
# Their mnemonics begin with the format, 16, 32 or 64 bits, or are of conversions and approximations; a U before that is
# for the datapath that a warp's threads share. Not floating point: FLO (find leading one), FENCE, DEPBAR.
_FLOAT_OPERATION = re.compile(r"U?(?:F(?!LO\b|ENCE\b)|H|D(?!EPBAR\b)|MUFU|RRO|I2F)|(?:UTC)?[HQO]MMA")
_FLOAT_FORMAT = re.compile(r"\.(?:B?F|TF)(?:16|32|64)")
# 0 * 0 + c is how the assembler moves a constant to a register by a pipe that is idle; no number is computed.
_CONSTANT_MOVE = re.compile(r"HFMA2(?:\.MMA)?"), re.compile(r"R\d+,-?RZ,RZ,[^R]+")
_BRANCHES = frozenset({"BRA", "JMP", "CALL"})
_ENDS = frozenset({"EXIT", "RET", "KILL"})
# An instruction that says where threads meet again, by the one that goes there.
_MEETINGS: Mapping[str, str] = {"BSYNC": "BSSY", "SYNC": "SSY", "BRK": "PBK", "CONT": "PCNT"}


@dataclass(frozen=True)
class Instruction:
    """``predicate``: under which it has an effect, empty where it always has."""

    address: int
    opcode: str
    operands: str = ""
    predicate: str = ""

    @property
    def operation(self) -> str:
        """The opcode without what qualifies it: ``IMMA`` of ``IMMA.16832.S8.S8``."""
        return self.opcode.partition(".")[0]

    @property
    def target(self) -> int | None:
        """The address that it names, as its last operand."""
        found = _ADDRESS.search(self.operands)
        return None if found is None else int(found[0], 16)

    @property
    def computes_floats(self) -> bool:
        """Whether it computes with floating-point numbers, or converts from or to them.

        Known by its name: NVIDIA lists those of each generation as floating-point, tensor-core and conversion
        instructions. Where the format is a suffix, as of additions in memory, by that.
        """
        opcode, operands = _CONSTANT_MOVE
        if opcode.fullmatch(self.opcode) and operands.fullmatch(self.operands):
            return False
        return bool(_FLOAT_OPERATION.match(self.opcode) or _FLOAT_FORMAT.search(self.opcode))

    @property
    def conditional(self) -> bool:
        """Whether the next instruction may follow it; its condition may be an operand too."""
        return bool(self.predicate) or "," in self.operands or self.operation == "CALL"


@dataclass(frozen=True)
class Loop:
    """Instructions that repeat, in the order of their addresses: all paths, each once."""

    instructions: tuple[Instruction, ...]

    def count(self, operations: frozenset[str]) -> int:
        """How many instructions are of ``operations``."""
        return sum(instruction.operation in operations for instruction in self.instructions)

    @property
    def multiply_share(self) -> float:
        """The part of its instructions that multiplies."""
        return self.count(MULTIPLIES) / len(self.instructions)


def disassemble(cubin: bytes) -> Mapping[str, tuple[Instruction, ...]]:
    """The instructions of the functions in ``cubin``, by name.

    Raises ToolchainError where no disassembler is installed, and where none of them reads the file: those of CUDA 13
    do not know chips before sm_75.
    """
    tried: list[str] = []
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        for command in disassemblers():
            done = subprocess.run(
                [str(command), "--print-code", "--emit-json", file.name], capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                return dict(_functions(done.stdout))
            tried.append(f"{command}: {' '.join((done.stderr or done.stdout).split())}")
    if not tried:
        raise ToolchainError(f"no disassembler for GPUs: nvdisasm is not installed; {INSTALL}")
    raise ToolchainError(f"no installed disassembler reads the compiled kernels: {'; '.join(tried)}; {INSTALL}")


def disassemblers() -> Iterator[Path]:
    """Yield every nvdisasm that this machine has: on the ``PATH``, then of PyPI's package."""
    command = shutil.which("nvdisasm")
    if command is not None:
        yield Path(command)
    specification = importlib.util.find_spec("nvidia")
    if specification is not None:
        for folder in specification.submodule_search_locations or []:
            yield from sorted(Path(folder).glob("*/bin/nvdisasm"))


def _functions(text: str) -> Iterator[tuple[str, tuple[Instruction, ...]]]:
    try:
        _, functions = json.loads(text)
        for function in functions:
            yield str(function["function-name"]), tuple(_instructions(function))
    except (ValueError, KeyError, TypeError) as error:
        raise ToolchainError(f"nvdisasm writes in a form that is not known here ({error!r}); {INSTALL}") from error


def _instructions(function: Mapping[str, Any]) -> Iterator[Instruction]:
    rows = function["sass-instructions"]
    # Before sm_70 they are half as long, and words between them, which have no name, steer the scheduler.
    size = 16 if all(row["opcode"] for row in rows) else 8
    for index, row in enumerate(rows):
        if row["opcode"]:
            address = function["start"] + index * size
            yield Instruction(address, row["opcode"], row.get("operands", ""), row.get("predicate", ""))


def main_loop(instructions: Sequence[Instruction]) -> Loop | None:
    """Of the loops without another one inside, the one with the most that multiplies; None where none has any."""
    found = max(innermost_loops(instructions), key=lambda loop: loop.count(MULTIPLIES), default=None)
    return found if found is not None and found.count(MULTIPLIES) else None


def innermost_loops(instructions: Sequence[Instruction]) -> tuple[Loop, ...]:
    """The natural loops of a function that have none inside.

    An edge of the control flow to a block that dominates its start closes a loop: all blocks from which that start is
    reached without passing the dominating one (Aho, Lam, Sethi, Ullman: Compilers, 9.6.6).
    """
    blocks = _blocks(instructions)
    bodies = _natural_loops(_successors(blocks))
    innermost = [body for body in bodies if not any(other < body for other in bodies)]
    return tuple(
        Loop(tuple(instruction for block in sorted(body) for instruction in blocks[block])) for body in innermost
    )


def _blocks(instructions: Sequence[Instruction]) -> list[Sequence[Instruction]]:
    """The basic blocks, in the order of their addresses."""
    targets = {instruction.target for instruction in instructions}
    jumps = _BRANCHES | _ENDS | _MEETINGS.keys()
    starts = [
        index
        for index, instruction in enumerate(instructions)
        if index == 0 or instruction.address in targets or instructions[index - 1].operation in jumps
    ]
    return [instructions[start:end] for start, end in zip(starts, [*starts[1:], len(instructions)], strict=True)]


_Meetings: TypeAlias = Mapping[tuple[str, str], tuple[int, ...]]
"""The addresses where threads are still to meet, the next one last, by the instruction that says so and the barrier
that it names. Before sm_70 barriers have no names: they are a stack."""


def _successors(blocks: Sequence[Sequence[Instruction]]) -> list[list[int]]:
    """The blocks that the control flow goes to from each one; none from those that it never reaches.

    A barrier serves one place to meet after another. All paths to a block have left the same ones to meet at, else
    threads would wait for each other for ever: so the first path that is found to a block is as good as any.
    """
    number = {block[0].address: index for index, block in enumerate(blocks)}
    successors: dict[int, list[int]] = {}
    waiting: list[tuple[int, _Meetings]] = [(0, {})]
    while waiting:
        index, meetings = waiting.pop()
        if index not in successors:
            meetings, last = _said(blocks[index], meetings), blocks[index][-1]
            jumps = [(number[address], left) for address, left in _jumps(last, meetings) if address in number]
            goes_on = _goes_on(last, bool(jumps)) and index + 1 < len(blocks)
            following = [*jumps, *([(index + 1, meetings)] if goes_on else [])]
            successors[index] = [block for block, _ in following]
            waiting += following
    return [successors.get(index, []) for index in range(len(blocks))]


def _said(block: Sequence[Instruction], meetings: _Meetings) -> _Meetings:
    """``meetings`` after ``block``, which may say where threads are to meet."""
    after = dict(meetings)
    for instruction in block:
        if instruction.operation in _MEETINGS.values() and instruction.target is not None:
            barrier = instruction.operands.rpartition(",")[0]
            key = instruction.operation, barrier
            outer = () if barrier else after.get(key, ())
            after[key] = (*outer, instruction.target)
    return after


def _jumps(last: Instruction, meetings: _Meetings) -> Iterator[tuple[int, _Meetings]]:
    """Where ``last``, the end of a block, jumps to if anywhere, and what is left of ``meetings`` there."""
    if last.operation in _BRANCHES:
        if last.target is not None:
            yield last.target, meetings
        return
    key = _MEETINGS.get(last.operation, ""), last.operands
    if key in meetings:
        *outer, target = meetings[key]
        others = {other: targets for other, targets in meetings.items() if other != key}
        yield target, {**others, key: tuple(outer)} if outer else others


def _goes_on(last: Instruction, jumps: bool) -> bool:
    """Whether the next instruction may follow ``last``; ``jumps``: whether it may go somewhere else."""
    if last.operation in _BRANCHES:
        return last.conditional
    if last.operation in _ENDS:
        return bool(last.predicate)
    return bool(last.predicate) or not jumps


def _natural_loops(successors: Sequence[Sequence[int]]) -> list[frozenset[int]]:
    """The blocks of every loop; those that begin with the same block are one."""
    predecessors: list[list[int]] = [[] for _ in successors]
    for block, following in enumerate(successors):
        for each in following:
            predecessors[each].append(block)
    dominators = _dominators(successors, predecessors)
    loops: dict[int, set[int]] = {}
    for block, following in enumerate(successors):
        for header in following:
            if header in dominators.get(block, ()):
                body = loops.setdefault(header, {header})
                waiting = [block]
                while waiting:
                    each = waiting.pop()
                    if each not in body:
                        body.add(each)
                        waiting += [before for before in predecessors[each] if before in dominators]
    return [frozenset(body) for body in loops.values()]


def _dominators(
    successors: Sequence[Sequence[int]], predecessors: Sequence[Sequence[int]]
) -> Mapping[int, frozenset[int]]:
    """Of every block that is reached from the first: what all paths to it pass."""
    reached: list[int] = []
    waiting = [0]
    while waiting:
        block = waiting.pop()
        if block not in reached:
            reached.append(block)
            waiting += successors[block]
    dominators = {block: frozenset(reached) for block in reached} | {0: frozenset({0})}
    changed = True
    while changed:
        changed = False
        for block in reached[1:]:
            before = [dominators[each] for each in predecessors[block] if each in dominators]
            now = frozenset.intersection(*before) | {block}
            changed |= now != dominators[block]
            dominators[block] = now
    return dominators
