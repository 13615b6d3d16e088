"""What the user decides about a tuning run."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import InputError


@dataclass(frozen=True)
class Settings:
    """``trials``: candidates to measure in all, those that the log has counted; ``threads``: of a kernel;
    ``round_size``: candidates drawn at a time; ``repeats`` samples of at least ``least_ms`` milliseconds each;
    ``patience``: rounds without a gain after which a task is left alone; ``seed``: of the search; ``warm_start``:
    whether schedules that were best for near shapes and processors are tried first."""

    trials: int
    threads: int
    round_size: int = 16
    repeats: int = 5
    least_ms: float = 5.0
    patience: int = 3
    seed: int = 1
    warm_start: bool = True

    def __post_init__(self) -> None:
        for name in ("trials", "threads", "round_size", "repeats", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.least_ms < 0:
            raise InputError(f"least_ms is {self.least_ms:g}; it cannot be negative")
