"""Mean pooling, first token and tanh: kernels against oracles, oracles against the real functions, proofs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intbert.compiler.kernels import Shape, parameters
from intbert.compiler.operators.fixed_point import NARROW_LIMIT, WIDE_LIMIT
from intbert.compiler.operators.interval import Interval
from intbert.compiler.operators.pooling import FirstToken, MeanPooling, first_token_kernel, mean_pooling_kernel
from intbert.compiler.operators.tanh import ENTRIES, Tanh, tanh_kernel
from intbert.compiler.operators.value_range import Range
from intbert.errors import BoundsError

from .compiled import HOST, Processor, compiled, every_processor, scheduled
from .draws import Int64Array, integers, masks, ratios

SHAPES = [(1, 1, 1), (2, 5, 24), (3, 16, 64)]
"""Batch, length, channels."""
every_shape = pytest.mark.parametrize(("batch", "length", "hidden"), SHAPES)


@every_processor
@every_shape
def test_mean_pooling_kernel(processor: Processor, batch: int, length: int, hidden: int) -> None:
    pooling = MeanPooling("pooling")
    shape = Shape(batch, length, batch * length, hidden, 0, 0, processor.target().features)
    kernels = [scheduled(processor, pooling, shape)]
    if processor is HOST:
        unscheduled = ("mean pooling", batch, length, hidden)
        kernels.append(compiled(unscheduled, HOST, lambda: mean_pooling_kernel(batch, length, hidden)))

    @given(integers((batch * length, hidden), WIDE_LIMIT), masks(batch, length))
    def check(states: Int64Array, mask: Int64Array) -> None:
        expected = pooling.oracle(states, mask)
        for kernel in kernels:
            (result,) = kernel(states, mask)
            np.testing.assert_array_equal(result, expected)
        proven = pooling.bounds(length)
        assert proven.low <= expected.min()
        assert expected.max() <= proven.high

    check()


@given(integers((3 * 7, 4), WIDE_LIMIT), masks(3, 7))
def test_mean_is_the_nearest_integer(states: Int64Array, mask: Int64Array) -> None:
    result = MeanPooling("pooling").oracle(states, mask)
    for row in range(3):
        chosen = states.reshape(3, 7, 4)[row][mask[row] == 1]
        real = chosen.mean(axis=0) if len(chosen) else np.zeros(4)
        assert np.abs(result[row] - real).max() <= 0.5 + 1e-9


def test_half_a_mean_is_rounded_up() -> None:
    states = np.array([[1, -1], [2, -2]])
    assert MeanPooling("pooling").oracle(states, np.array([[1, 1]])).tolist() == [[2, -1]]


def test_mean_pooling_bounds_at_the_edge() -> None:
    longest = (2**31 - 1) // (4 * (WIDE_LIMIT + 1) - 1)
    pooling = MeanPooling("head.mean_pooling")
    assert pooling.bounds(longest) == Interval.symmetric(WIDE_LIMIT)
    with pytest.raises(BoundsError, match=r"head\.mean_pooling: the doubled sum"):
        pooling.bounds(longest + 1)


@pytest.mark.parametrize("sign", [1, -1])
def test_mean_pooling_of_a_long_sequence_of_extremes(sign: int) -> None:
    length = (2**31 - 1) // (4 * (WIDE_LIMIT + 1) - 1)
    kernel = compiled(("long mean pooling",), HOST, lambda: mean_pooling_kernel(1, length, 1))
    states = np.full((length, 1), sign * WIDE_LIMIT)
    (result,) = kernel(states, np.ones((1, length)))
    assert result.tolist() == [[sign * WIDE_LIMIT]]


@every_processor
@every_shape
def test_first_token_kernel(processor: Processor, batch: int, length: int, hidden: int) -> None:
    first, zero_point = FirstToken("first"), processor.zero_point
    shape = Shape(batch, length, batch * length, hidden, zero_point, zero_point, processor.target().features)
    states = np.random.default_rng(0).integers(-NARROW_LIMIT, NARROW_LIMIT + 1, (batch * length, hidden))
    mask = np.ones((batch, length), int)
    (result,) = scheduled(processor, first, shape)(*inputs_of(first, shape, states + zero_point, mask))
    expected = first.oracle(states, mask)
    np.testing.assert_array_equal(result.astype(int) - zero_point, expected)
    np.testing.assert_array_equal(expected, states[::length])
    assert first.bounds().magnitude >= np.abs(expected).max()


def inputs_of(first: FirstToken, shape: Shape, states: Int64Array, mask: Int64Array) -> list[Int64Array]:
    """The kernel may or may not take the mask, which the first token does not need."""
    function = first_token_kernel(shape.batch, shape.length, shape.channels, shape.zero_point)
    return [states, mask][: len(function.params) - 1]


@every_processor
@pytest.mark.parametrize(("rows", "channels"), [(1, 1), (3, 24), (2, 64)])
def test_tanh_kernel(processor: Processor, rows: int, channels: int) -> None:
    zero_point = processor.zero_point
    shape = Shape(rows, 1, rows, channels, 0, zero_point, processor.target().features)

    @settings(max_examples=30)
    @given(ratios(1e-5, 1e-2), ratios(1e-3, 1e-2), integers((rows, channels), WIDE_LIMIT))
    def check(input_scale: float, output_scale: float, x: Int64Array) -> None:
        tanh = Tanh.from_scales("tanh", input_scale, output_scale)
        (result,) = scheduled(processor, tanh, shape)(x, *parameters(tanh, shape))
        np.testing.assert_array_equal(result.astype(int) - zero_point, tanh.oracle(x))

    check()


@pytest.mark.parametrize("zero_point", [0, 128])
def test_unscheduled_tanh_of_every_wide_value(zero_point: int) -> None:
    x = np.arange(-WIDE_LIMIT, WIDE_LIMIT + 1)[None, :]
    tanh = Tanh.from_scales("tanh", 3e-4, 1 / 127)
    kernel = compiled(("tanh", zero_point), HOST, lambda: tanh_kernel(1, x.shape[1], zero_point))
    (result,) = kernel(x, *tanh.parameters())
    np.testing.assert_array_equal(result.astype(int) - zero_point, tanh.oracle(x))


def test_tanh_of_another_range() -> None:
    output = Range(-8, 7, 2)
    tanh = Tanh.from_scales("tanh", 3e-4, 1 / 7, output)
    x = np.arange(-WIDE_LIMIT, WIDE_LIMIT + 1)
    real = (np.tanh(x * 3e-4) * 7 + 2).clip(-8, 7)
    assert np.abs(tanh.oracle(x) - real).max() <= 0.52
    assert tanh.bounds() == Interval(-5, 7)


@given(ratios(1e-5, 1e-2), st.sampled_from([1 / 127, 0.9 / 127, 1e-3]))
def test_oracle_is_tanh(input_scale: float, output_scale: float) -> None:
    """Eight inputs share an entry: half that width in x, and half a step of the output."""
    x = np.arange(-WIDE_LIMIT, WIDE_LIMIT + 1)
    tanh = Tanh.from_scales("tanh", input_scale, output_scale)
    result = tanh.oracle(x)
    limit = NARROW_LIMIT * output_scale
    real = np.tanh(x * input_scale).clip(-limit, limit)
    assert np.abs(result * output_scale - real).max() <= 4 * input_scale + 0.5 * output_scale + 1e-12
    assert (np.diff(result) >= 0).all()
    proven = tanh.bounds()
    assert (proven.low, proven.high) == (result.min(), result.max())
    assert tanh.table.shape == (ENTRIES,)
