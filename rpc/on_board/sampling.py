"""Samples of an inference's time, each with the conditions that it was taken in. Runs on the board."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ...compiler.measure import peak_rss_mb, sample_ids
from ..telemetry import CPU, GPU, Conditions, Processor, Sensors, was_throttled

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


def processor_of(model: Model) -> Processor:
    """What runs the operators of ``model``: the sensors to read are those of it."""
    return CPU if model.manifest.cuda is None else GPU


def measure(model: Model, sensors: Sensors, request: Request) -> dict[str, Any]:
    """The samples, as JSON."""
    import numpy as np

    length = request.length or model.max_length
    ids = np.tile(sample_ids(model, length), (request.batch, 1))
    taken = samples(lambda: model.run(ids), sensors, request.count, request.seconds)
    return {"samples": taken, "length": length, "threads": model.threads, "peak_rss_mb": peak_rss_mb()}


def samples(infer: Callable[[], Any], sensors: Sensors, count: int, seconds: float) -> list[dict[str, Any]]:
    """As :class:`Request` says. Nothing but the inference is inside the time; the sensors are read between two."""
    end = time.monotonic() + seconds
    taken: list[dict[str, Any]] = []
    before = sensors.read()
    while len(taken) < count and (not taken or time.monotonic() < end):
        start = time.perf_counter_ns()
        infer()
        elapsed = time.perf_counter_ns() - start
        after = sensors.read()
        taken.append(_sample(elapsed, before, after))
        before = after
    return taken


def _sample(elapsed: int, before: Conditions, after: Conditions) -> dict[str, Any]:
    reasons = was_throttled(before, after)
    return {"ms": elapsed / 1e6, **asdict(after), "throttled": None if reasons is None else list(reasons)}
