"""Requantize, Narrow and Rescale: kernels against oracles, oracles against real arithmetic, proofs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from intbert.compiler.operators import expressions as ex
from intbert.compiler.operators.fixed_point import NARROW_LIMIT, WIDE_LIMIT
from intbert.compiler.operators.interval import Interval
from intbert.compiler.operators.requantize import (
    Narrow,
    Requantize,
    Rescale,
    narrow_expression,
    requantize_expression,
    rescale_expression,
)
from intbert.errors import BoundsError

from .compiled import Processor, elementwise, every_processor
from .draws import ratios

WIDE = np.arange(-WIDE_LIMIT, WIDE_LIMIT + 1)
"""Every wide value."""
PADDED = np.append(WIDE, 0)
LARGEST = 2**31 - 1 - 2**29
"""An accumulator to which any rounding can be added."""


def to_narrow(q: ex.Expr, rounding: ex.Expr, shift: ex.Expr, multiplier: ex.Expr) -> ex.Expr:
    return requantize_expression(q + rounding, shift, multiplier, -NARROW_LIMIT, NARROW_LIMIT)


def to_relu(q: ex.Expr, rounding: ex.Expr, shift: ex.Expr, multiplier: ex.Expr) -> ex.Expr:
    return requantize_expression(q + rounding, shift, multiplier, 0, NARROW_LIMIT)


def to_wide(q: ex.Expr, rounding: ex.Expr, shift: ex.Expr, multiplier: ex.Expr) -> ex.Expr:
    return requantize_expression(q + rounding, shift, multiplier, -WIDE_LIMIT, WIDE_LIMIT)


KINDS = [
    pytest.param(to_narrow, NARROW_LIMIT, False, id="narrow"),
    pytest.param(to_relu, NARROW_LIMIT, True, id="relu"),
    pytest.param(to_wide, WIDE_LIMIT, False, id="wide"),
]


def accumulators(ratio: float, limit: int, seed: int) -> np.ndarray:
    """Sorted int32: around zero, around where the result saturates, at the ends of the type."""
    random = np.random.default_rng(seed)
    reach = int(min(LARGEST, 1.5 * limit / ratio + 2))
    parts = [
        np.arange(-1024, 1024),
        random.integers(-reach, reach + 1, 2048),
        random.integers(-LARGEST, LARGEST + 1, 4094),
        np.array([-LARGEST, LARGEST]),
    ]
    return np.sort(np.concatenate(parts))


@every_processor
@pytest.mark.parametrize(("expression", "limit", "relu"), KINDS)
def test_requantize_kernel(processor: Processor, expression, limit: int, relu: bool) -> None:
    kernel = elementwise(processor, expression, ["int32"], 3, 8192)

    @given(ratios(2.0**-40, 0.999), st.integers(0, 2**32 - 1))
    def check(ratio: float, seed: int) -> None:
        requantize = Requantize.from_ratio("layer", np.array([ratio]), limit, relu=relu)
        q = accumulators(ratio, limit, seed)
        scalars = [requantize.rounding_bias()[0], requantize.shift[0], requantize.multiplier[0]]
        (result,) = kernel(q, np.array(scalars))
        np.testing.assert_array_equal(result, requantize.oracle(q))

    check()


@pytest.mark.parametrize(("limit", "tolerance"), [(NARROW_LIMIT, 0.6), (WIDE_LIMIT, 1.5)], ids=["narrow", "wide"])
@given(ratio=ratios(2.0**-40, 0.999), seed=st.integers(0, 2**32 - 1))
def test_requantize_is_the_ratio(limit: int, tolerance: float, ratio: float, seed: int) -> None:
    requantize = Requantize.from_ratio("layer", np.array([ratio]), limit)
    q = accumulators(ratio, limit, seed)
    result = requantize.oracle(q)
    assert np.abs(result - np.clip(q * ratio, -limit, limit)).max() <= tolerance
    assert (np.diff(result) >= 0).all()
    proven = requantize.bounds(Interval.symmetric(LARGEST))
    assert proven.low <= result.min()
    assert result.max() <= proven.high
    relu = Requantize.from_ratio("layer", np.array([ratio]), limit, relu=True)
    np.testing.assert_array_equal(relu.oracle(q), np.maximum(result, 0))


@given(st.lists(ratios(2.0**-40, 0.999), min_size=1, max_size=9))
def test_channels_are_independent(drawn: list[float]) -> None:
    together = Requantize.from_ratio("layer", np.array(drawn), WIDE_LIMIT)
    q = np.random.default_rng(0).integers(-(2**24), 2**24, (50, len(drawn)))
    for channel, ratio in enumerate(drawn):
        alone = Requantize.from_ratio("layer", np.array([ratio]), WIDE_LIMIT)
        np.testing.assert_array_equal(together.oracle(q)[:, channel], alone.oracle(q[:, channel]))


def test_no_ratio_gives_nothing() -> None:
    requantize = Requantize.from_ratio("layer", np.array([0.0, 0.5]), NARROW_LIMIT)
    assert requantize.oracle(np.array([[LARGEST, 10]])).tolist() == [[0, 5]]


@pytest.mark.parametrize("ratio", [1.0, 1.5, 1e300, np.inf, np.nan])
@pytest.mark.parametrize("limit", [NARROW_LIMIT, WIDE_LIMIT], ids=["narrow", "wide"])
def test_ratio_of_one_or_more_is_refused(ratio: float, limit: int) -> None:
    with pytest.raises(BoundsError, match=r"layers\.3\.output: the input scale"):
        Requantize.from_ratio("layers.3.output", np.array([0.1, ratio]), limit)


@given(ratios(2.0**-40, 0.999), st.sampled_from([NARROW_LIMIT, WIDE_LIMIT]))
def test_requantize_bounds_at_the_edge(ratio: float, limit: int) -> None:
    requantize = Requantize.from_ratio("layer", np.array([ratio]), limit)
    room = 2**31 - 1 - int(requantize.rounding_bias()[0])
    assert requantize.bounds(Interval(-(2**31), room)) == Interval.symmetric(limit)
    with pytest.raises(BoundsError, match="layer: the accumulator"):
        requantize.bounds(Interval(0, room + 1))


def test_multiplier_must_be_int16() -> None:
    def bounds(multiplier: int) -> Interval:
        return Requantize("layer", np.array([multiplier]), np.array([1]), NARROW_LIMIT, 0).bounds(Interval(0, 1))

    assert bounds(2**15 - 1) == Interval(0, NARROW_LIMIT)
    with pytest.raises(BoundsError, match="layer: multiplier of requantization"):
        bounds(2**15)


@every_processor
def test_narrow_kernel(processor: Processor) -> None:
    kernel = elementwise(processor, narrow_expression, ["int16"], 2, len(PADDED))

    @given(ratios(2.0**-18, 0.999))
    def check(ratio: float) -> None:
        narrow = Narrow.from_ratio("layer", ratio)
        (result,) = kernel(PADDED, np.array(narrow.scalars()))
        np.testing.assert_array_equal(result, narrow.oracle(PADDED))

    check()


@given(ratios(2.0**-18, 0.999))
def test_narrow_is_the_ratio(ratio: float) -> None:
    narrow = Narrow.from_ratio("layer", ratio)
    result = narrow.oracle(WIDE)
    real = np.clip(WIDE * ratio, -NARROW_LIMIT, NARROW_LIMIT)
    # Two roundings: of the mantissa's product, worth up to ratio, then of the shift.
    assert np.abs(result - real).max() <= 0.51 + ratio
    assert (np.diff(result) >= 0).all()
    proven = narrow.bounds(Interval.symmetric(WIDE_LIMIT))
    assert proven.low <= result.min()
    assert result.max() <= proven.high


@pytest.mark.parametrize("ratio", [0.0, 1e-320, 2.0**-30])
def test_tiny_ratio_narrows_to_nothing(ratio: float) -> None:
    assert not Narrow.from_ratio("layer", ratio).oracle(WIDE).any()


@pytest.mark.parametrize("ratio", [1.0, 0.99999, 1e300, float("inf"), float("nan")])
def test_narrow_must_narrow(ratio: float) -> None:
    with pytest.raises(BoundsError, match="layer: the wide scale"):
        Narrow.from_ratio("layer", ratio)


@every_processor
def test_rescale_kernel(processor: Processor) -> None:
    kernel = elementwise(processor, rescale_expression, ["int16"], 1, len(PADDED))

    @given(ratios(2.0**-20, 1.9999))
    def check(ratio: float) -> None:
        rescale = Rescale.from_ratio("layer", ratio)
        (result,) = kernel(PADDED, np.array([rescale.multiplier]))
        np.testing.assert_array_equal(result, rescale.oracle(PADDED))

    check()


@given(ratios(2.0**-20, 1.9999))
def test_rescale_is_the_ratio(ratio: float) -> None:
    rescale = Rescale.from_ratio("layer", ratio)
    result = rescale.oracle(WIDE)
    assert np.abs(result - WIDE * ratio).max() <= 1
    assert (np.diff(result) >= 0).all()
    proven = rescale.bounds(Interval.symmetric(WIDE_LIMIT))
    assert (proven.low, proven.high) == (result.min(), result.max())


@pytest.mark.parametrize("ratio", [2.0, 1e300, float("inf"), float("nan")])
def test_rescale_at_most_doubles(ratio: float) -> None:
    with pytest.raises(BoundsError, match="layer: the input scale"):
        Rescale.from_ratio("layer", ratio)


@pytest.mark.parametrize(
    "operator", [Narrow.from_ratio("layer", 0.5), Rescale.from_ratio("layer", 0.5)], ids=["narrow", "rescale"]
)
def test_input_must_be_wide(operator: Narrow | Rescale) -> None:
    operator.bounds(Interval.symmetric(WIDE_LIMIT))
    with pytest.raises(BoundsError, match=r"layer: .*overflows int16"):
        operator.bounds(Interval.symmetric(WIDE_LIMIT + 1))
