"""The rows of ``peers.json``: one for every (model, runtime, precision, length, threads)."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class Row:
    """What one runtime took for one job. Times are milliseconds."""

    model: str
    runtime: str
    precision: str
    length: int
    batch: int
    threads: int
    p50_ms: float
    p90_ms: float
    min_ms: float
    runs: int
    cpu_share: float
    """CPU time taken of the time its cores offered. Well below 1 at one thread: others used the core too."""
    cosine: float
    """Agreement of its output with PyTorch's float32 output, over all elements: the proof of the same job."""
    cpu: str = ""
    features: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    to_ours: float | None = None
    """How many times this project's time it took: the median, over the rounds of turns, of the ratio of medians."""

    def __post_init__(self) -> None:
        for name in ("length", "batch", "threads", "runs"):
            if getattr(self, name) < 1:
                raise ValueError(f"row {self.model}/{self.runtime}: {name} is {getattr(self, name)}, not positive")
        if not (math.isfinite(self.p90_ms) and 0 < self.min_ms <= self.p50_ms <= self.p90_ms):
            raise ValueError(
                f"row {self.model}/{self.runtime}: 0 < min <= p50 <= p90 does not hold "
                f"({self.min_ms}, {self.p50_ms}, {self.p90_ms})"
            )


@dataclass(frozen=True)
class Samples:
    """Seconds of each run, and the CPU seconds of all threads over all of them."""

    seconds: Sequence[float]
    cpu_seconds: float


class Latencies(TypedDict):
    """The fields of a row that come out of its samples."""

    p50_ms: float
    p90_ms: float
    min_ms: float
    runs: int
    cpu_share: float


def latencies(turns: Sequence[Samples], threads: int) -> Latencies:
    """Median, 90th percentile and minimum of all samples of a row, pooled over its turns."""
    milliseconds = np.array([second for turn in turns for second in turn.seconds]) * 1e3
    offered = milliseconds.sum() / 1e3 * threads
    p50, p90 = np.percentile(milliseconds, [50, 90])
    return Latencies(
        p50_ms=round(float(p50), 4),
        p90_ms=round(float(p90), 4),
        min_ms=round(float(milliseconds.min()), 4),
        runs=milliseconds.size,
        cpu_share=round(float(sum(turn.cpu_seconds for turn in turns) / offered), 3),
    )


def ratio_of_turns(theirs: Sequence[Samples], ours: Sequence[Samples]) -> float:
    """The median, over the rounds, of their median divided by ours: what slows a whole round cancels out."""
    pairs = zip(theirs, ours, strict=True)
    return round(float(np.median([np.median(their.seconds) / np.median(our.seconds) for their, our in pairs])), 4)


def write_rows(rows: Sequence["DataclassInstance"], path: Path) -> None:
    """Write the rows as a JSON list; the file appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".partial")
    aside.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    aside.replace(path)
