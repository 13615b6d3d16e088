"""What each kernel of an artifact executes."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from .board import Board
from .count import COUNTED_RUNS, Count
from .cpus import Cpu
from .operators import operators_of
from .rows import KernelRow
from .symbols import Kernels

LIBRARY = "model.so"


def kernel_calls(board: Board, cpu: Cpu, artifact: Path, length: int, work: Path) -> list[str]:
    """The kernels that an inference calls, in their order.

    Raises:
        BenchmarkError: the artifact does not run on the board.
    """
    result = work / "calls.json"
    arguments = ["-m", "arm_bench.on_board.calls", str(artifact), str(length), str(result)]
    board.run_python(cpu, arguments, None, work / "calls.log")
    return json.loads(result.read_text())


def instructions_by_kernel(count: Count, artifact: Path) -> Mapping[str, int]:
    """Instructions of one inference inside the artifact's library, the most first."""
    kernels = Kernels(artifact / LIBRARY)
    found: Counter[str] = Counter()
    for block in count.blocks:
        place = count.space.locate(block.address)
        if place is not None and Path(place[0]) == artifact / LIBRARY:
            found[kernels.name(kernels.address(place[1]))] += block.total
    return {name: round(number / COUNTED_RUNS) for name, number in found.most_common()}


def kernel_rows(
    instructions: Mapping[str, int], cycles: Mapping[str, float], calls: list[str], artifact: Path, length: int
) -> list[KernelRow]:
    """A row for every kernel, the most instructions first."""
    operators = operators_of(calls, artifact / "manifest.json", length)
    numbers = Counter(calls)
    return [
        KernelRow(name, operators.get(name, ""), numbers[name], number, cycles.get(name))
        for name, number in instructions.items()
    ]
