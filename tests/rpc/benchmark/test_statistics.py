"""Percentiles and the confidence interval of the median, against NumPy and against the binomial distribution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from intbert.rpc.benchmark.statistics import median_interval, percentile, summarize
from scipy.stats import binom


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=200), st.floats(0, 1))
def test_percentiles_are_those_of_numpy(values: list[float], fraction: float) -> None:
    assert percentile(sorted(values), fraction) == pytest.approx(float(np.quantile(values, fraction)), rel=1e-9)


@pytest.mark.parametrize("count", [*range(1, 60), 100, 1000])
def test_the_interval_holds_the_median_with_95_percent(count: int) -> None:
    low, high = median_interval(count)
    assert 0 <= low <= high < count
    # sample low is below the median when at least low + 1 samples are, sample high above it when at most high are
    covered = binom.cdf(high, count, 0.5) - binom.cdf(low, count, 0.5)
    whole = low == 0 and high == count - 1
    assert covered >= 0.945 or whole


def test_a_single_sample() -> None:
    summary = summarize([2.5])
    assert (summary.p50_ms, summary.p99_ms, summary.spread, summary.precision) == (2.5, 2.5, 0.0, 0.0)


def test_a_summary() -> None:
    summary = summarize([float(value) for value in range(101)][::-1])
    assert (summary.p50_ms, summary.p90_ms, summary.p99_ms, summary.mean_ms) == (50.0, 90.0, 99.0, 50.0)
    assert summary.spread == pytest.approx(80 / 50)
    assert summary.p50_low_ms < 50 < summary.p50_high_ms
    assert summary.precision == pytest.approx((summary.p50_high_ms - summary.p50_low_ms) / 100)


@given(st.lists(st.floats(0.5, 2.0), min_size=200, max_size=200))
def test_more_samples_never_widen_the_interval_of_equal_ones(values: list[float]) -> None:
    few, many = summarize(values), summarize(values * 16)
    assert many.precision <= few.precision
