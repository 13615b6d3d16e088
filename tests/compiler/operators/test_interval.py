"""Interval arithmetic holds every value, and refuses what does not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intbert.compiler.operators.interval import Interval, as_interval, multiply_high
from intbert.errors import BoundsError

Drawn = tuple[Interval, int]


@st.composite
def interval_and_member(draw: st.DrawFn, limit: int = 2**40) -> Drawn:
    low, value, high = sorted(draw(st.tuples(*[st.integers(-limit, limit)] * 3)))
    return Interval(low, high), value


def holds(interval: Interval, value: int) -> bool:
    return interval.low <= value <= interval.high


@given(interval_and_member(), interval_and_member(), st.integers(0, 20))
def test_results_lie_inside(first: Drawn, second: Drawn, bits: int) -> None:
    (a, x), (b, y) = first, second
    assert holds(a + b, x + y)
    assert holds(a - b, x - y)
    assert holds(a * b, x * y)
    assert holds(a >> bits, x >> bits)
    assert holds(a.union(b), x)
    assert holds(a.union(b), y)
    assert holds(a.clamp(b), min(max(x, b.low), b.high))
    assert abs(x) <= a.magnitude


@given(interval_and_member(2**15 - 1), interval_and_member(2**15 - 1))
def test_multiply_high_lies_inside(first: Drawn, second: Drawn) -> None:
    (a, x), (b, y) = first, second
    assert holds(multiply_high(a, b, "layer", "product"), (x * y + 2**14) >> 15)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("int8", -128, 127), ("int16", -(2**15), 2**15 - 1), ("int32", -(2**31), 2**31 - 1), ("uint8", 0, 255)],
)
def test_require(dtype: str, low: int, high: int) -> None:
    assert Interval(low, high).require(dtype, "layers.0", "the sum") == Interval(low, high)
    for outside in (Interval(low - 1, high), Interval(low, high + 1)):
        with pytest.raises(BoundsError, match=rf"layers\.0: the sum spans .*overflows {dtype}"):
            outside.require(dtype, "layers.0", "the sum")


def test_factors_must_be_int16_and_not_both_the_lowest() -> None:
    multiply_high(Interval(-(2**15), 2**15 - 1), 2**15 - 1, "layer", "product")
    for a, b in ((Interval(0, 2**15), 1), (Interval(0, 1), 2**15), (Interval(-(2**15), 0), -(2**15))):
        with pytest.raises(BoundsError, match="layer: "):
            multiply_high(a, b, "layer", "product")


def test_empty_interval_is_refused() -> None:
    with pytest.raises(BoundsError, match="empty"):
        Interval(1, 0)
    assert as_interval(3) == Interval(3, 3)
