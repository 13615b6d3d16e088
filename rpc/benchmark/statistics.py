"""What samples of a latency say: percentiles, spread, and how sure the median is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

NORMAL_95 = 1.959964
"""The two-sided 95 % point of the normal distribution."""


@dataclass(frozen=True)
class Summary:
    """Milliseconds. ``spread``: (p90 - p10) / p50. ``p50_low``, ``p50_high``: a 95 % confidence interval of the median,
    which holds for every distribution (order statistics)."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    spread: float
    p50_low_ms: float
    p50_high_ms: float

    @property
    def precision(self) -> float:
        """Half the width of the confidence interval, relative to the median."""
        return (self.p50_high_ms - self.p50_low_ms) / (2 * self.p50_ms)


def summarize(samples: Sequence[float]) -> Summary:
    """The summary of at least one sample."""
    ordered = sorted(samples)
    low, high = median_interval(len(ordered))
    p50 = percentile(ordered, 0.5)
    return Summary(
        p50_ms=p50,
        p90_ms=percentile(ordered, 0.9),
        p99_ms=percentile(ordered, 0.99),
        mean_ms=math.fsum(ordered) / len(ordered),
        spread=(percentile(ordered, 0.9) - percentile(ordered, 0.1)) / p50,
        p50_low_ms=ordered[low],
        p50_high_ms=ordered[high],
    )


def percentile(ordered: Sequence[float], fraction: float) -> float:
    """Of sorted values, with linear interpolation (as NumPy's default)."""
    position = fraction * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def median_interval(count: int) -> tuple[int, int]:
    """Which of ``count`` sorted samples bound the median with 95 % confidence (normal approximation of the binomial).

    W. J. Conover, Practical Nonparametric Statistics, section 3.2.
    """
    half = NORMAL_95 * math.sqrt(count) / 2
    low = max(0, math.floor(count / 2 - half))
    high = min(count - 1, math.ceil(count / 2 + half))
    return low, high
