"""Samples of an inference's time, each with the conditions that it was taken in. Runs on the board."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ...compiler.measure import peak_rss_mb, sample_ids
from ..telemetry import Conditions, Sensors, was_throttled

if TYPE_CHECKING:
    from ...compiler.runtime import Model


@dataclass(frozen=True)
class Request:
    """``count`` inferences of ``batch`` rows of ``length`` tokens (None: of the longest bucket); fewer, but at least
    one, when ``seconds`` are over before."""

    length: int | None
    batch: int
    count: int
    seconds: float


def measure(model: Model, sensors: Sensors, request: Request) -> dict[str, Any]:
    """The samples, as JSON. Nothing but the inference is inside the time; the sensors are read between two of them."""
    import numpy as np

    length = request.length or model.max_length
    ids = np.tile(sample_ids(model, length), (request.batch, 1))
    end = time.monotonic() + request.seconds
    samples: list[dict[str, Any]] = []
    before = sensors.read()
    while len(samples) < request.count and (not samples or time.monotonic() < end):
        start = time.perf_counter_ns()
        model.run(ids)
        elapsed = time.perf_counter_ns() - start
        after = sensors.read()
        samples.append(_sample(elapsed, before, after))
        before = after
    return {"samples": samples, "length": length, "threads": model.threads, "peak_rss_mb": peak_rss_mb()}


def _sample(elapsed: int, before: Conditions, after: Conditions) -> dict[str, Any]:
    reasons = was_throttled(before, after)
    return {"ms": elapsed / 1e6, **asdict(after), "throttled": None if reasons is None else list(reasons)}
