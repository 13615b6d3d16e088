"""Cycles of an artifact's kernels, as llvm-mca estimates them: each hot block repeated, the caches warm."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from .blocks import Block
from .count import COUNTED_RUNS, Count
from .cpus import Cpu
from .llvm import LLVM
from .symbols import Kernels

ITERATIONS = 100
COVERED = 0.995
"""Of the instructions of each kernel; the rest is taken to be as fast."""

_LINE = re.compile(r"^\s*([0-9a-f]+):\s+(.*\S)\s*$", re.MULTILINE)
_TARGET = re.compile(r"^((?:b|bl|b\.\w+|cbn?z|tbn?z|adrp?)\s.*?)0x[0-9a-f]+(?: <[^>]*>)?$")


def disassemble(llvm: LLVM, library: Path, cpu: Cpu) -> Mapping[int, str]:
    """Address -> instruction."""
    arguments = ["-d", "--no-show-raw-insn", f"--mcpu={cpu.mca}", str(library)]
    return {int(found[1], 16): found[2] for found in _LINE.finditer(llvm.run("llvm-objdump", arguments))}


def assembly(instruction: str) -> str:
    """The instruction as an assembler takes it: addresses that it names lie nowhere in a block by itself."""
    return _TARGET.sub(r"\1.", instruction.split(" //")[0])


def hot_blocks(blocks: Sequence[Block]) -> list[Block]:
    """The blocks that execute nearly all instructions, the hottest first."""
    wanted, found = COVERED * sum(block.total for block in blocks), []
    for block in sorted(blocks, key=lambda block: -block.total):
        if wanted <= 0:
            break
        found.append(block)
        wanted -= block.total
    return found


def block_cycles(llvm: LLVM, cpu: Cpu, texts: Sequence[str]) -> list[float]:
    """Cycles of one execution of each text."""
    regions = [f"# LLVM-MCA-BEGIN {number}\n{text}\n# LLVM-MCA-END" for number, text in enumerate(texts)]
    arguments = ["-mtriple=aarch64", f"-mcpu={cpu.mca}", f"-iterations={ITERATIONS}", "-json", "-"]
    document = json.loads(llvm.run("llvm-mca", arguments, "\n".join([*regions, ""])))
    found = {int(each["Name"]): each["SummaryView"]["TotalCycles"] / ITERATIONS for each in document["CodeRegions"]}
    return [found[number] for number in range(len(texts))]


def cycles_by_kernel(llvm: LLVM, cpu: Cpu, count: Count, library: Path) -> dict[str, float]:
    """Estimated cycles of one inference in each kernel of the artifact's library."""
    kernels, instructions = Kernels(library), disassemble(llvm, library, cpu)
    by_kernel: dict[str, list[tuple[Block, int]]] = defaultdict(list)
    for block in count.blocks:
        place = count.space.locate(block.address)
        if place is not None and Path(place[0]) == library:
            address = kernels.address(place[1])
            by_kernel[kernels.name(address)].append((block, address))
    return {name: _kernel_cycles(llvm, cpu, blocks, instructions) for name, blocks in by_kernel.items()}


def _kernel_cycles(llvm: LLVM, cpu: Cpu, blocks: Sequence[tuple[Block, int]], instructions: Mapping[int, str]) -> float:
    addresses = dict(blocks)
    hot = hot_blocks([block for block, _ in blocks])
    texts = [
        "\n".join(assembly(instructions[addresses[block] + offset]) for offset in range(0, block.length, 4))
        for block in hot
    ]
    cycles = block_cycles(llvm, cpu, texts)
    estimated = sum(each * block.executions for each, block in zip(cycles, hot, strict=True))
    scale = sum(block.total for block, _ in blocks) / sum(block.total for block in hot)
    return estimated * scale / COUNTED_RUNS
