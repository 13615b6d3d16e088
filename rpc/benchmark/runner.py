"""Measures a loaded model on a board until the median is known well enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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
    (measurement,) = run_in_turns([model], plan, tell)
    return measurement


def run_in_turns(models: Sequence[Measurable], plan: Plan, tell: Tell) -> list[Measurement]:
    """As :func:`run`, a block of each model after the other, so that a machine that slows down slows all.

    Measuring ends when it is enough for all of them; the one measured most often has at most ``plan.most_runs``.
    """
    if plan.cool_below is not None:
        wait_until_cool(models[0], plan.cool_below, plan.cool_seconds, tell)
    runs = [_Run(model, plan) for model in models]
    for each in runs:
        each.warm_up()
    deadline = time.monotonic() + plan.seconds
    while True:
        for each in runs:
            each.measure()
            tell(f"{len(each.samples)} inferences, p50 {each.p50_ms:.2f} ms")
        left = deadline - time.monotonic()
        reasons = [why_stop(each.samples, plan, left) for each in runs]
        if None not in reasons:
            return [each.measurement(reason or "") for each, reason in zip(runs, reasons, strict=True)]


class _Run:
    """The samples of one model so far."""

    def __init__(self, model: Measurable, plan: Plan) -> None:
        self.samples: list[Sample] = []
        self._model = model
        self._plan = plan
        self._last: dict[str, Any] = {}

    @property
    def p50_ms(self) -> float:
        return summarize([sample.ms for sample in self.samples]).p50_ms

    def warm_up(self) -> None:
        warm = 0
        while warm < self._plan.warmup:
            warm += len(self._block(self._plan.warmup - warm)["samples"])

    def measure(self) -> None:
        """One block, unless the limit on runs is reached."""
        count = min(self._plan.least_runs, self._plan.most_runs - len(self.samples))
        if count > 0:
            self._last = self._block(count)
            self.samples += [Sample.from_json(sample) for sample in self._last["samples"]]

    def measurement(self, stopped: str) -> Measurement:
        return Measurement(
            samples=tuple(self.samples),
            length=self._last["length"],
            batch=self._plan.batch,
            threads=self._last["threads"],
            load_ms=self._model.load_ms,
            peak_rss_mb=self._last["peak_rss_mb"],
            stopped=stopped,
        )

    def _block(self, count: int) -> dict[str, Any]:
        return self._model.measure(self._plan.length, self._plan.batch, count, BLOCK_SECONDS)


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
