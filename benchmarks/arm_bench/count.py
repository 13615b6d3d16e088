"""Counts one contender: runs it on the board, and reads what the counter wrote."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from peer_bench.contenders import Contender
from peer_bench.workers.serve import Spec, cosine

from .blocks import Block, parse_blocks, total
from .board import Board
from .cpus import Cpu
from .mappings import AddressSpace, parse_maps

COUNTED_RUNS = 2
ELSEWHERE = "(no file)"


@dataclass(frozen=True)
class Count:
    """What two inferences, the second and the third of a process, executed."""

    blocks: Sequence[Block]
    space: AddressSpace
    cosine: float
    versions: Mapping[str, str]

    @property
    def instructions(self) -> int:
        """Of one inference."""
        return round(total(self.blocks) / COUNTED_RUNS)

    def libraries(self) -> dict[str, int]:
        """Instructions of one inference by the file that holds them, the most first."""
        found: Counter[str] = Counter()
        for block in self.blocks:
            place = self.space.locate(block.address)
            found[Path(place[0]).name if place else ELSEWHERE] += block.total
        return {name: round(number / COUNTED_RUNS) for name, number in found.most_common()}


def count(board: Board, cpu: Cpu, contender: Contender, model: Path, inputs: Path, length: int, work: Path) -> Count:
    """Count the inferences of one process; its files lie in ``work``.

    Raises:
        BenchmarkError: the runtime failed on the board.
    """
    work.mkdir(parents=True, exist_ok=True)
    result, spec_file, blocks = work / "result", work / "spec.json", work / "blocks.txt"
    spec = Spec(
        model=str(model), inputs=str(inputs), precision=contender.precision, threads=1, cpus=[], lengths=[length]
    )
    spec_file.write_text(json.dumps(asdict(spec)))
    arguments = [contender.module, str(spec_file), str(COUNTED_RUNS), str(result)]
    board.run_python(cpu, ["-m", "arm_bench.on_board.count", *arguments], blocks, work / "log.txt")
    with np.load(inputs) as arrays:
        agreement = cosine(np.load(f"{result}.npy"), arrays[f"reference_{length}"])
    return Count(
        parse_blocks(blocks.read_text()),
        parse_maps(Path(f"{result}.maps").read_text()),
        agreement,
        json.loads(Path(f"{result}.json").read_text()),
    )


def spread(counts: Sequence[Count]) -> float | None:
    """How much the repeats differ: the largest divided by the smallest, less 1; None for a single one."""
    if len(counts) < 2:
        return None
    numbers = [count.instructions for count in counts]
    return round(max(numbers) / min(numbers) - 1, 5)
