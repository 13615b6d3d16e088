"""Measures a loaded model on a board until the median is known well enough."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from ...errors import RemoteError
from .measurement import Measurement, Sample
from .plan import Plan
from .statistics import summarize

BLOCK_SECONDS = 1.0
"""Samples are fetched from the board in blocks of about this length."""
COOL_POLL_SECONDS = 2.0

Tell = Callable[[str], None]


class Measurable(Protocol):
    """A loaded model, here or on a board. ``where``: the machine, in words; ``load_ms``: what loading it took."""

    @property
    def where(self) -> str: ...

    @property
    def load_ms(self) -> float: ...

    def measure(self, length: int | None, batch: int, count: int, seconds: float) -> dict[str, Any]:
        """What :func:`..on_board.sampling.measure` gives there."""
        ...

    def conditions(self) -> dict[str, Any]:
        """The machine's :class:`..telemetry.Conditions` now, as JSON."""
        ...


def run(model: Measurable, plan: Plan, tell: Tell) -> Measurement:
    """Warms up, waits for the board to be cool if asked, and measures.

    Raises RemoteError when the board is not cool in time, and what the session raises.
    """
    if plan.cool_below is not None:
        wait_until_cool(model, plan.cool_below, plan.cool_seconds, tell)
    warm = 0
    while warm < plan.warmup:
        warm += len(model.measure(plan.length, plan.batch, plan.warmup - warm, BLOCK_SECONDS)["samples"])
    samples: list[Sample] = []
    deadline = time.monotonic() + plan.seconds
    block = plan.least_runs
    while True:
        document = model.measure(plan.length, plan.batch, block, BLOCK_SECONDS)
        samples += [Sample.from_json(sample) for sample in document["samples"]]
        tell(f"{len(samples)} inferences, p50 {summarize([sample.ms for sample in samples]).p50_ms:.2f} ms")
        stopped = why_stop(samples, plan, deadline - time.monotonic())
        if stopped is not None:
            return Measurement(
                samples=tuple(samples),
                length=document["length"],
                batch=plan.batch,
                threads=document["threads"],
                load_ms=model.load_ms,
                peak_rss_mb=document["peak_rss_mb"],
                stopped=stopped,
            )
        block = min(plan.least_runs, plan.most_runs - len(samples))


def why_stop(samples: list[Sample], plan: Plan, seconds_left: float) -> str | None:
    """Why measuring is over, or None while it is not. Throttled samples make nobody surer."""
    good = [sample.ms for sample in samples if not sample.throttled]
    if len(good) >= plan.least_runs and summarize(good).precision <= plan.precision:
        return "the median is known to the wanted precision"
    if len(samples) >= plan.most_runs:
        return "the limit on runs was reached"
    if seconds_left <= 0:
        return "the limit on time was reached"
    return None


def wait_until_cool(model: Measurable, below: float, seconds: float, tell: Tell) -> None:
    """Waits until the board's temperature is below ``below`` degrees Celsius."""
    deadline = time.monotonic() + seconds
    while True:
        temperature, name = model.conditions()["temperature_c"], model.where
        if temperature is None:
            raise RemoteError(f"{name} has no temperature sensor to wait for; measure without --cool")
        if temperature < below:
            return
        if time.monotonic() >= deadline:
            raise RemoteError(
                f"{name} is at {temperature:.0f} degrees C after {seconds:.0f} s, not below {below:.0f}; "
                "give it a fan, or a higher --cool"
            )
        tell(f"waiting for {below:.0f} degrees C; it is at {temperature:.0f}")
        time.sleep(COOL_POLL_SECONDS)
