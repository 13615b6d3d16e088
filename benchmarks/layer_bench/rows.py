"""The rows of ``layers.json``: one for every (model, runtime, precision, length)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from intbert.targets import HOST
from peer_bench.errors import BenchmarkError
from peer_bench.rows import Samples

from .models import DEEP, SHALLOW


@dataclass(frozen=True)
class LayerRow:
    """What one layer takes, batch 1. Times are milliseconds."""

    model: str
    runtime: str
    precision: str
    length: int
    threads: int
    p50_ms: float
    """Half of the difference between the medians of three layers and of one."""
    min_ms: float
    """The same of the fastest runs."""
    shallow_p50_ms: float
    deep_p50_ms: float
    runs: int
    cosine: float
    """Agreement of three layers' output with PyTorch's float32 output, over all elements."""
    target: str = HOST
    """What this project's model was compiled for."""
    cpu: str = ""
    features: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def milliseconds(turns: Sequence[Samples]) -> np.ndarray:
    """All runs of all turns."""
    return np.array([second for turn in turns for second in turn.seconds]) * 1e3


def of_one_layer(shallow: float, deep: float) -> float:
    """The time of a layer, given those of the two models."""
    return round((deep - shallow) / (DEEP - SHALLOW), 5)


def layer_times(name: str, shallow: Sequence[Samples], deep: Sequence[Samples]) -> Mapping[str, float]:
    """The fields of a row that come out of its samples.

    Raises:
        BenchmarkError: more layers did not take longer.
    """
    less, more = milliseconds(shallow), milliseconds(deep)
    medians = float(np.median(less)), float(np.median(more))
    p50, fastest = of_one_layer(*medians), of_one_layer(float(less.min()), float(more.min()))
    if p50 <= 0 or fastest <= 0:
        raise BenchmarkError(f"{name}: three layers took no longer than one; the machine is busy, or --runs too small")
    return {
        "p50_ms": p50, "min_ms": fastest, "shallow_p50_ms": round(medians[0], 4), "deep_p50_ms": round(medians[1], 4),
    }  # fmt: skip
