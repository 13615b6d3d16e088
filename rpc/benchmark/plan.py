"""What to measure, and when it is enough."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import InputError


@dataclass(frozen=True)
class Plan:
    """``length``: tokens, None for the longest bucket. ``threads``: None for the runtime's choice.

    Measuring goes on until the 95 % confidence interval of the median is within ``precision`` of it, but for at
    least ``least_runs`` and at most ``most_runs`` inferences and ``seconds``. ``cool_below``: degrees Celsius that the
    board has to have before, waited for at most ``cool_seconds``; None does not wait.
    """

    length: int | None = None
    batch: int = 1
    threads: int | None = None
    warmup: int = 10
    precision: float = 0.01
    least_runs: int = 30
    most_runs: int = 1000
    seconds: float = 60.0
    cool_below: float | None = None
    cool_seconds: float = 600.0

    def __post_init__(self) -> None:
        for name in ("length", "batch", "threads", "least_runs", "most_runs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1")
        if self.warmup < 0:
            raise InputError(f"warmup is {self.warmup}; it must not be negative")
        if self.least_runs > self.most_runs:
            raise InputError(f"least_runs is {self.least_runs}, more than most_runs {self.most_runs}; swap them")
        if not self.precision > 0 or not self.seconds > 0 or not self.cool_seconds >= 0:
            raise InputError("precision and seconds must be above 0, cool_seconds must not be negative")
