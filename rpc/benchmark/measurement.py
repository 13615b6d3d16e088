"""The outcome of a benchmark on a board: every sample with its conditions, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from .statistics import Summary, summarize


@dataclass(frozen=True)
class Sample:
    """One inference: milliseconds, and what computed it right after it. None: the board has no such sensor.

    ``throttled``: the reasons for which the clock was held back while the sample was taken.
    """

    ms: float
    clock_mhz: float | None = None
    temperature_c: float | None = None
    throttled: tuple[str, ...] | None = None
    power_w: float | None = None
    memory_clock_mhz: float | None = None

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Sample:
        """A sample as the board reports it."""
        reasons = document["throttled"]
        return cls(
            ms=document["ms"],
            clock_mhz=document["clock_mhz"],
            temperature_c=document["temperature_c"],
            throttled=None if reasons is None else tuple(reasons),
            power_w=document["power_w"],
            memory_clock_mhz=document["memory_clock_mhz"],
        )


@dataclass(frozen=True)
class Measurement:
    """``summary`` is of the samples that were not throttled, unless all were. ``stopped``: why measuring ended."""

    samples: tuple[Sample, ...]
    length: int
    batch: int
    threads: int
    load_ms: float
    peak_rss_mb: float
    stopped: str

    @property
    def throttled(self) -> tuple[Sample, ...]:
        """The samples that say how the board throttles, not how fast it is."""
        return tuple(sample for sample in self.samples if sample.throttled)

    @property
    def trusted(self) -> tuple[Sample, ...]:
        """The other samples; all of them when there are no others."""
        good = tuple(sample for sample in self.samples if not sample.throttled)
        return good or self.samples

    @property
    def summary(self) -> Summary:
        """Of :attr:`trusted`."""
        return summarize([sample.ms for sample in self.trusted])

    def to_json(self) -> dict[str, Any]:
        """All of it, as one JSON object."""
        reasons = sorted({reason for sample in self.throttled for reason in sample.throttled or ()})
        return {
            **asdict(self.summary),
            "precision": self.summary.precision,
            "runs": len(self.samples),
            "throttled_runs": len(self.throttled) if self._can_tell else None,
            "throttle_reasons": reasons if self._can_tell else None,
            "length": self.length,
            "batch": self.batch,
            "threads": self.threads,
            "load_ms": self.load_ms,
            "peak_rss_mb": self.peak_rss_mb,
            "clock_mhz": _spread([sample.clock_mhz for sample in self.samples]),
            "memory_clock_mhz": _spread([sample.memory_clock_mhz for sample in self.samples]),
            "temperature_c": _spread([sample.temperature_c for sample in self.samples]),
            "power_w": _mean([sample.power_w for sample in self.samples]),
            "stopped": self.stopped,
            "samples": [asdict(sample) for sample in self.samples],
        }

    @property
    def _can_tell(self) -> bool:
        return any(sample.throttled is not None for sample in self.samples)


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _spread(values: Sequence[float | None]) -> list[float] | None:
    """The least, the median and the greatest."""
    known = _known(values)
    return [min(known), median(known), max(known)] if known else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = _known(values)
    return sum(known) / len(known) if known else None
