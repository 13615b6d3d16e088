"""How many times faster this project is than its peers, out of the rows of one run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .rows import Row

OURS = "intbert"

Selector = Callable[[Row], bool]

# A peer with two forms (ONNX Runtime's fused and unfused graph) counts with its faster one.
OPPONENTS: Mapping[str, Selector] = {
    "OpenVINO int8": lambda row: row.runtime == "openvino" and row.precision == "int8",
    "ONNX Runtime int8": lambda row: row.runtime.startswith("onnxruntime") and row.precision == "int8",
    "CTranslate2 int8": lambda row: row.runtime == "ctranslate2" and row.precision == "int8",
    "torch int8": lambda row: row.runtime == "torch" and row.precision == "int8",
    "best fp32": lambda row: row.runtime != OURS and row.precision == "fp32",
    "best bf16": lambda row: row.runtime != OURS and row.precision == "bf16",
}


@dataclass(frozen=True)
class Ratio:
    """Ours against one opponent: ``times_faster`` is the opponent's p50 divided by ours."""

    opponent: str
    runtime: str
    """The runtime that stands for the opponent: the fastest that qualifies."""
    times_faster: float


@dataclass(frozen=True)
class Job:
    """What every runtime of a group of rows did."""

    model: str
    length: int
    batch: int
    threads: int


def group_by_job(rows: Iterable[Row]) -> dict[Job, list[Row]]:
    """The rows of each job, in order of appearance."""
    groups: dict[Job, list[Row]] = {}
    for row in rows:
        groups.setdefault(Job(row.model, row.length, row.batch, row.threads), []).append(row)
    return groups


def ratios(rows: Sequence[Row]) -> list[Ratio]:
    """The ratios of one job's rows; empty when this project is not among them."""
    ours = [row for row in rows if row.runtime == OURS]
    if not ours:
        return []
    fastest = min(ours, key=lambda row: row.p50_ms)
    found = []
    for opponent, qualifies in OPPONENTS.items():
        candidates = [row for row in rows if qualifies(row)]
        if candidates:
            best = min(candidates, key=lambda row: row.p50_ms)
            found.append(Ratio(opponent, best.runtime, best.p50_ms / fastest.p50_ms))
    return found
