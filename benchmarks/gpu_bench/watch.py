"""What the card's sensors say while it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from intbert.rpc.telemetry import Conditions, Sensors, was_throttled
from peer_bench.measure import Progress


class Watch:
    """Passes progress on to ``progress``, and reads ``sensors`` after each turn."""

    def __init__(self, progress: Progress, sensors: Sensors) -> None:
        self._progress = progress
        self._sensors = sensors
        self._last = sensors.read()
        self._turns: list[tuple[Conditions, tuple[str, ...] | None]] = []

    def __call__(self, what: str, runs: int) -> None:
        now = self._sensors.read()
        if runs:
            self._turns.append((now, was_throttled(self._last, now)))
        self._last = now
        self._progress(what, runs)

    def summary(self) -> str:
        """Clock and temperature right after the turns, and in how many the clock was held back."""
        told = [reasons for _, reasons in self._turns if reasons is not None]
        held = [reasons for reasons in told if reasons]
        why = ", ".join(dict.fromkeys(reason for reasons in held for reason in reasons))
        throttled = f"{len(held)} of {len(told)} turns{f' ({why})' if why else ''}" if told else "the card cannot tell"
        clock = _spread([reading.clock_mhz for reading, _ in self._turns], "MHz")
        temperature = _spread([reading.temperature_c for reading, _ in self._turns], "degrees C")
        return f"clock: {clock}; temperature: {temperature}; held back: {throttled}"


def _spread(values: Sequence[float | None], unit: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "unknown"
    return f"{min(known):.0f} to {max(known):.0f} {unit}, median {median(known):.0f}"
