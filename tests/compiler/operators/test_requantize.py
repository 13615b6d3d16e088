"""Requantize, Narrow and Rescale: kernels against oracles, oracles against real arithmetic, proofs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
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
from intbert.compiler.operators.value_range import NARROW, WIDE, Range
from intbert.errors import BoundsError

from .compiled import HOST, PROCESSORS, Processor, elementwise, every_processor
from .draws import ratios

WIDE_VALUES = np.arange(-WIDE_LIMIT, WIDE_LIMIT + 1)
PADDED = np.append(WIDE_VALUES, 0)
LARGEST = 2**31 - 1 - 2**29
"""An accumulator to which any rounding can be added."""


RANGES = {
    "narrow": NARROW,
    "relu": NARROW.from_zero(),
    "wide": WIDE,
    "2 bits": Range(-1, 1),
    "4 bits": Range(-8, 7),
    "4 bits, zero at -3": Range(-7, 7, -3),
    "zero at the end": Range(-128, 127, -128),
    "zero at 100": Range(-128, 127, 100),
    "relu, zero at -100": Range(-128, 127, -100).from_zero(),
}
NARROW_RANGES = {name: output for name, output in RANGES.items() if output.is_narrow}
ON_LESSER = ("narrow", "relu", "wide", "4 bits, zero at -3")


def on_processors(ranges: dict[str, Range]) -> pytest.MarkDecorator:
    """Every range on this machine, one of each kind on lesser ones."""
    return pytest.mark.parametrize(
        ("processor", "output"),
        [
            pytest.param(*parameter.values, output, marks=parameter.marks, id=f"{parameter.id}-{name}")
            for parameter in PROCESSORS
            for name, output in ranges.items()
            if parameter.values[0] == HOST or name in ON_LESSER
        ],
    )


every_range = pytest.mark.parametrize("output", RANGES.values(), ids=list(RANGES))


@cache
def requantize_to(output: Range) -> Callable[..., ex.Expr]:
    def expression(q: ex.Expr, rounding: ex.Expr, shift: ex.Expr, multiplier: ex.Expr, *zero: ex.Expr) -> ex.Expr:
        return requantize_expression(q + rounding, shift, multiplier.astype("int16"), output, *zero)

    return expression


@cache
def narrow_to(output: Range) -> Callable[..., ex.Expr]:
    def expression(q: ex.Expr, mantissa: ex.Expr, power: ex.Expr, *zero: ex.Expr) -> ex.Expr:
        return narrow_expression(q, mantissa, power, output, *zero)

    return expression


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


@on_processors(RANGES)
def test_requantize_kernel(processor: Processor, output: Range) -> None:
    kernel = elementwise(processor, requantize_to(output), ["int32"], 3 + len(output.scalars()), 8192)

    @settings(max_examples=50)
    @given(ratios(2.0**-40, 0.999), st.integers(0, 2**32 - 1))
    def check(ratio: float, seed: int) -> None:
        requantize = Requantize.from_ratio("layer", np.array([ratio]), output)
        q = accumulators(ratio, output.reach, seed)
        scalars = [requantize.rounding_bias()[0], requantize.shift[0], requantize.multiplier[0], *output.scalars()]
        (result,) = kernel(q, np.array(scalars))
        np.testing.assert_array_equal(result, requantize.oracle(q))

    check()


@every_range
@given(ratio=ratios(2.0**-40, 0.999), seed=st.integers(0, 2**32 - 1))
def test_requantize_is_the_ratio(output: Range, ratio: float, seed: int) -> None:
    requantize = Requantize.from_ratio("layer", np.array([ratio]), output)
    q = accumulators(ratio, output.reach, seed)
    result = requantize.oracle(q)
    real = np.clip(q * ratio + output.zero_point, output.low, output.limit)
    assert np.abs(result - real).max() <= (0.6 if output.is_narrow else 1.5)
    assert (np.diff(result) >= 0).all()
    assert requantize.bounds(Interval.symmetric(LARGEST)) == output.interval
    assert output.low <= result.min()
    assert result.max() <= output.limit
    relu = Requantize.from_ratio("layer", np.array([ratio]), output.from_zero())
    if output.reach == output.from_zero().reach:
        np.testing.assert_array_equal(relu.oracle(q), np.maximum(result, output.zero_point))


@given(st.lists(ratios(2.0**-40, 0.999), min_size=1, max_size=9))
def test_channels_are_independent(drawn: list[float]) -> None:
    together = Requantize.from_ratio("layer", np.array(drawn), WIDE)
    q = np.random.default_rng(0).integers(-(2**24), 2**24, (50, len(drawn)))
    for channel, ratio in enumerate(drawn):
        alone = Requantize.from_ratio("layer", np.array([ratio]), WIDE)
        np.testing.assert_array_equal(together.oracle(q)[:, channel], alone.oracle(q[:, channel]))


def test_no_ratio_gives_nothing() -> None:
    requantize = Requantize.from_ratio("layer", np.array([0.0, 0.5]), NARROW)
    assert requantize.oracle(np.array([[LARGEST, 10]])).tolist() == [[0, 5]]


@pytest.mark.parametrize("ratio", [1.0, 1.5, 1e300, np.inf, np.nan])
@pytest.mark.parametrize("output", [NARROW, WIDE], ids=["narrow", "wide"])
def test_ratio_of_one_or_more_is_refused(ratio: float, output: Range) -> None:
    with pytest.raises(BoundsError, match=r"layers\.3\.output: the input scale"):
        Requantize.from_ratio("layers.3.output", np.array([0.1, ratio]), output)


@given(ratios(2.0**-40, 0.999), st.sampled_from([NARROW, WIDE]))
def test_requantize_bounds_at_the_edge(ratio: float, output: Range) -> None:
    requantize = Requantize.from_ratio("layer", np.array([ratio]), output)
    room = 2**31 - 1 - int(requantize.rounding_bias()[0])
    assert requantize.bounds(Interval(-(2**31), room)) == output.interval
    with pytest.raises(BoundsError, match="layer: the accumulator"):
        requantize.bounds(Interval(0, room + 1))


def test_multiplier_must_be_int16() -> None:
    def bounds(multiplier: int) -> Interval:
        return Requantize("layer", np.array([multiplier]), np.array([1]), NARROW.from_zero()).bounds(Interval(0, 1))

    assert bounds(2**15 - 1) == Interval(0, NARROW_LIMIT)
    with pytest.raises(BoundsError, match="layer: multiplier of requantization"):
        bounds(2**15)


@on_processors(NARROW_RANGES)
def test_narrow_kernel(processor: Processor, output: Range) -> None:
    kernel = elementwise(processor, narrow_to(output), ["int16"], 2 + len(output.scalars()), len(PADDED))

    @settings(max_examples=50)
    @given(ratios(2.0**-18, 0.999))
    def check(ratio: float) -> None:
        narrow = Narrow.from_ratio("layer", ratio, output)
        (result,) = kernel(PADDED, np.array(narrow.scalars()))
        np.testing.assert_array_equal(result, narrow.oracle(PADDED))

    check()


@pytest.mark.parametrize("output", NARROW_RANGES.values(), ids=list(NARROW_RANGES))
@given(ratio=ratios(2.0**-18, 0.999))
def test_narrow_is_the_ratio(output: Range, ratio: float) -> None:
    narrow = Narrow.from_ratio("layer", ratio, output)
    result = narrow.oracle(WIDE_VALUES)
    real = np.clip(WIDE_VALUES * ratio + output.zero_point, output.low, output.limit)
    # Two roundings: of the mantissa's product, worth up to ratio, then of the shift.
    assert np.abs(result - real).max() <= 0.51 + ratio
    assert (np.diff(result) >= 0).all()
    proven = narrow.bounds(Interval.symmetric(WIDE_LIMIT))
    assert proven.low <= result.min()
    assert result.max() <= proven.high


@pytest.mark.parametrize("ratio", [0.0, 1e-320, 2.0**-30])
def test_tiny_ratio_narrows_to_nothing(ratio: float) -> None:
    assert not Narrow.from_ratio("layer", ratio).oracle(WIDE_VALUES).any()


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
    result = rescale.oracle(WIDE_VALUES)
    assert np.abs(result - WIDE_VALUES * ratio).max() <= 1
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
