"""The rows of ``arm.json``: one for every (model, runtime, precision, CPU, length)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class KernelRow:
    """What one kernel of ours executes in an inference, all its calls together."""

    name: str
    operators: str
    calls: int
    instructions: int
    cycles: float | None = None
    """llvm-mca's estimate for its hot blocks; None where llvm-mca is not there."""


@dataclass(frozen=True)
class Row:
    """Instructions of one inference, batch 1, one thread."""

    model: str
    runtime: str
    precision: str
    cpu: str
    length: int
    instructions: int
    spread: float | None
    """Largest count of the repeats divided by the smallest, less 1; None for a single one."""
    cosine: float
    """Agreement of the output with PyTorch's float32 output: the proof of the same job."""
    libraries: Mapping[str, int] = field(default_factory=dict)
    """Instructions of each file that was executed, the largest first."""
    kernels: Sequence[KernelRow] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.instructions < 1 or self.length < 1 or (self.spread or 0) < 0:
            raise ValueError(f"row {self.model}/{self.runtime} on {self.cpu}: impossible figures: {self}")

    @property
    def identity(self) -> tuple[object, ...]:
        """What was counted: rows of one identity replace each other."""
        return (self.model, self.runtime, self.precision, self.cpu, self.length)

    @property
    def millions(self) -> float:
        return self.instructions / 1e6


def read_rows(path: Path) -> list[Row]:
    """The rows of a file; none when it is not there."""
    if not path.is_file():
        return []
    documents = json.loads(path.read_text())
    return [Row(**{**each, "kernels": tuple(KernelRow(**kernel) for kernel in each["kernels"])}) for each in documents]


def merged(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """All rows, the new ones in the place of old ones. Counts, unlike times, may come from several runs."""
    return list({row.identity: row for row in (*old, *new)}.values())
