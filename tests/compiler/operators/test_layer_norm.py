"""LayerNorm: kernel against oracle, oracle against the real function, the square root, proofs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intbert.compiler.kernels import Shape, parameters
from intbert.compiler.operators import expressions as ex
from intbert.compiler.operators.fixed_point import NARROW_LIMIT, WIDE_LIMIT
from intbert.compiler.operators.layer_norm import (
    MAX_NORMALIZED,
    LayerNorm,
    layer_norm_kernel,
    variance_shift,
)
from intbert.compiler.operators.requantize import Narrow
from intbert.compiler.operators.value_range import Range
from intbert.errors import BoundsError

from .compiled import HOST, Processor, compiled, elementwise, every_processor, scheduled
from .draws import Int64Array, integers, ratios

SHAPES = [(1, 1), (7, 5), (6, 24), (3, 64), (6, 384)]
"""Rows, channels."""

PLAIN = Narrow.from_ratio("norm", 0.0078)


def flat_rows(n: int) -> Int64Array:
    """Rows whose every square, or all but a few of them, rounds away: they normalize to the largest |z|."""
    largest = math.isqrt((1 << variance_shift(n) >> 1) - 1)
    rows = np.full((3, n), largest)
    rows[:, : n // 2] = -largest
    rows[1, -1] += 1
    rows[2, -1] = math.isqrt(3 * (1 << variance_shift(n) >> 1) - 1)
    return rows


@st.composite
def layer_norms(draw: st.DrawFn, n: int) -> LayerNorm:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gamma = random.normal(1, 0.5, n) * draw(st.sampled_from([1.0, 0.0, 1e-3, 30.0]))
    beta = random.normal(0, 1, n) * draw(st.sampled_from([0.0, 0.1, 20.0, 1e4]))
    wide_scale = draw(ratios(1e-4, 1e-2))
    return LayerNorm.from_float("norm", gamma, beta, wide_scale, wide_scale / draw(ratios(1e-3, 0.9)))


def extreme(n: int) -> LayerNorm:
    """The largest gamma and beta that can be proven."""
    beta = 2**31 - 1 - MAX_NORMALIZED * (2**15 - 1)
    return LayerNorm("norm", np.full(n, 2**15 - 1, np.int32), np.full(n, beta, np.int32), 16, PLAIN)


@every_processor
@pytest.mark.parametrize(("rows", "n"), SHAPES)
def test_kernel(processor: Processor, rows: int, n: int) -> None:
    zero_point = processor.zero_point
    shape = Shape(1, rows, rows, n, 0, zero_point, processor.target().features)

    @settings(max_examples=30)
    @given(layer_norms(n), integers((rows, n), WIDE_LIMIT))
    def check(norm: LayerNorm, x: Int64Array) -> None:
        kernel = scheduled(processor, norm, shape, outputs=2)
        wide, narrow = norm.oracle(x)
        got_wide, got_narrow = kernel(x, *parameters(norm, shape))
        np.testing.assert_array_equal(got_wide, wide)
        np.testing.assert_array_equal(got_narrow.astype(int) - zero_point, narrow)

    check()


@every_processor
@pytest.mark.parametrize(
    "output", [Range(-8, 7), Range(-128, 127, 100), Range(-7, 7, -7)], ids=["4 bits", "zero at 100", "zero at the end"]
)
def test_kernel_of_other_narrow_ranges(processor: Processor, output: Range) -> None:
    zero_point = processor.zero_point
    shape = Shape(1, 6, 6, 64, 0, zero_point, processor.target().features)
    random = np.random.default_rng(0)
    norm = LayerNorm.from_float("norm", random.normal(1, 0.3, 64), random.normal(0, 0.3, 64), 5e-4, 0.02, output)
    x = random.integers(-WIDE_LIMIT, WIDE_LIMIT + 1, (6, 64))
    wide, narrow = norm.oracle(x)
    got_wide, got_narrow = scheduled(processor, norm, shape, outputs=2)(x, *parameters(norm, shape))
    np.testing.assert_array_equal(got_wide, wide)
    np.testing.assert_array_equal(got_narrow.astype(int) - zero_point, narrow)
    real = wide * (5e-4 / 0.02) + output.zero_point
    assert np.abs(narrow - real.clip(output.low, output.limit)).max() <= 0.6
    assert norm.bounds()[1] == output.interval


@every_processor
@pytest.mark.parametrize("n", [5, 24, 384])
@pytest.mark.parametrize("sign", [1, -1])
def test_kernel_where_the_proof_is_tight(processor: Processor, n: int, sign: int) -> None:
    norm = extreme(n)
    norm = replace(norm, gamma=sign * norm.gamma, beta=sign * norm.beta)
    norm.bounds()
    x = sign * flat_rows(n)
    shape = Shape(1, 3, 3, n, 0, 0, processor.target().features)
    kernel = scheduled(processor, norm, shape, outputs=2)
    for got, expected in zip(kernel(x, *parameters(norm, shape)), norm.oracle(x), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("zero_point", [0, 128])
def test_unscheduled_kernel(zero_point: int) -> None:
    kernel = compiled(("layer norm", zero_point), HOST, lambda: layer_norm_kernel(6, 24, zero_point), 2)

    @given(layer_norms(24), integers((6, 24), WIDE_LIMIT))
    def check(norm: LayerNorm, x: Int64Array) -> None:
        wide, narrow = norm.oracle(x)
        got_wide, got_narrow = kernel(x, *norm.parameters())
        np.testing.assert_array_equal(got_wide, wide)
        np.testing.assert_array_equal(got_narrow.astype(int) - zero_point, narrow)

    check()


@every_processor
def test_square_root_is_exact(processor: Processor) -> None:
    """At every square of the range and one below it, where Newton's method errs first; and in between."""
    roots = np.arange(23171, 46341)
    random = np.random.default_rng(0)
    values = np.concatenate([roots**2, roots**2 - 1, [2**29, 2**31 - 1]])
    values = np.concatenate([values, random.integers(2**29, 2**31, (1 << 17) - len(values))])
    (result,) = elementwise(processor, ex.square_root, ["int32"], 0, len(values))(values)
    np.testing.assert_array_equal(result, [math.isqrt(int(value)) for value in values])


@settings(max_examples=50)
@given(st.sampled_from([24, 64, 384, 768]), st.integers(0, 2**32 - 1), ratios(1000, 5000))
def test_oracle_is_layer_normalization(n: int, seed: int, spread: float) -> None:
    random = np.random.default_rng(seed)
    x = np.rint(random.normal(random.normal(0, 500), spread, (4, n))).clip(-WIDE_LIMIT, WIDE_LIMIT).astype(int)
    gamma, beta = random.normal(1, 0.3, n), random.normal(0, 0.3, n)
    wide_scale, narrow_scale = 8 / WIDE_LIMIT, 6 / NARROW_LIMIT
    norm = LayerNorm.from_float("norm", gamma, beta, wide_scale, narrow_scale)
    wide, narrow = norm.oracle(x)
    y = x - x.mean(axis=1, keepdims=True)
    real = y / np.sqrt((y**2).mean(axis=1, keepdims=True)) * gamma + beta
    real = real.clip(-WIDE_LIMIT * wide_scale, WIDE_LIMIT * wide_scale)
    assert np.abs(wide * wide_scale - real).max() <= 1e-3 * np.abs(gamma).max() + wide_scale
    saturated = real.clip(-NARROW_LIMIT * narrow_scale, NARROW_LIMIT * narrow_scale)
    assert np.abs(narrow * narrow_scale - saturated).max() <= 2e-3 + 0.52 * narrow_scale


@pytest.mark.parametrize("value", [-WIDE_LIMIT, -1, 0, 1, WIDE_LIMIT])
@pytest.mark.parametrize("n", [1, 5, 384])
def test_constant_row_gives_beta(value: int, n: int) -> None:
    beta = np.linspace(-1, 1, n)
    norm = LayerNorm.from_float("norm", np.ones(n), beta, 1e-3, 0.01)
    wide, _ = norm.oracle(np.full((1, n), value))
    assert np.abs(wide * 1e-3 - beta).max() <= 0.51e-3


@pytest.mark.parametrize("n", [1, 5, 24, 384, 768, 4096])
def test_normalized_values_stay_within_the_proven_range(n: int) -> None:
    probe = LayerNorm("norm", np.ones(n, np.int32), np.zeros(n, np.int32), 2, PLAIN)
    random = np.random.default_rng(0)
    spreads = [1, 3, 10, 30, 100, 10_000]
    rows = [np.rint(random.normal(0, spread, (50, n))).clip(-WIDE_LIMIT, WIDE_LIMIT) for spread in spreads]
    outlier = np.zeros((2, n))
    outlier[:, 0] = [WIDE_LIMIT, -WIDE_LIMIT]
    x = np.concatenate([flat_rows(n), -flat_rows(n), *rows, outlier]).astype(np.int64)
    quarters, _ = probe.oracle(x)  # z / 4, since a wide output cannot hold all of z
    assert np.abs(quarters).max() <= (MAX_NORMALIZED + 3) // 4
    if n == 384:
        assert quarters.max() * 4 > 2**15 + 8, "flat rows do exceed what exact squares would give"


def test_scaled_value_at_the_edge() -> None:
    norm = extreme(3)
    norm.bounds()
    with pytest.raises(BoundsError, match=r"norm: the scaled value .*int32"):
        replace(norm, beta=norm.beta + 1).bounds()
    with pytest.raises(BoundsError, match="norm: gamma"):
        replace(norm, gamma=norm.gamma + 1, beta=np.zeros(3, np.int32)).bounds()


def test_row_at_the_edge() -> None:
    longest = (2**31 - 1) // (2 * WIDE_LIMIT + 1)
    for n in (longest, longest + 1):
        norm = LayerNorm("norm", np.ones(n, np.int32), np.zeros(n, np.int32), 2, PLAIN)
        if n == longest:
            norm.bounds()
            continue
        with pytest.raises(BoundsError, match="norm: the doubled sum of a row"):
            norm.bounds()


@pytest.mark.parametrize("n", [1, 5, 31, 32, 384, 768, 4096])
def test_sum_of_squares_fits(n: int) -> None:
    shift = variance_shift(n)
    largest = (2 * WIDE_LIMIT) ** 2
    assert n * ((largest + (1 << shift >> 1)) >> shift) < 2**31
    assert shift == 4 or n * ((largest + (1 << shift - 2 >> 1)) >> shift - 2) >= 2**31


@given(layer_norms(24))
def test_whatever_from_float_gives_can_be_proven(norm: LayerNorm) -> None:
    wide, narrow = norm.bounds()
    x = np.concatenate([flat_rows(24), np.random.default_rng(0).integers(-WIDE_LIMIT, WIDE_LIMIT + 1, (9, 24))])
    for result, proven in zip(norm.oracle(x), (wide, narrow), strict=True):
        assert proven.low <= result.min()
        assert result.max() <= proven.high


@pytest.mark.parametrize(
    ("gamma", "beta", "scale"),
    [(1e9, 0.0, 1e-3), (1.0, 1e9, 1e-3), (1.0, 0.0, 1e-300), (math.inf, 0.0, 1e-3), (1.0, math.nan, 1e-3)],
    ids=["gamma", "beta", "scale", "infinite gamma", "NaN beta"],
)
def test_constants_that_do_not_fit(gamma: float, beta: float, scale: float) -> None:
    with pytest.raises(BoundsError, match=r"layers\.0\.output_norm: gamma or beta does not fit"):
        LayerNorm.from_float("layers.0.output_norm", np.full(8, gamma), np.full(8, beta), scale, scale * 100)
