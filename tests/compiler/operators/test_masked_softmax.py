"""Masked softmax: stages against oracle, oracle against the real function, masks, proofs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intbert.compiler.operators.interval import Interval
from intbert.compiler.operators.masked_softmax import (
    MAX_LENGTH,
    MIN_TOTAL,
    PROBABILITY_ONE,
    MaskedSoftmax,
    softmax_stages,
)
from intbert.errors import BoundsError
from tvm import te

from .compiled import Processor, compiled, every_processor
from .draws import Int64Array, integers, masks, ratios

BATCH, HEADS = 2, 2
LARGEST = 127 * 127 * 64
"""The largest score of heads with 64 channels."""
scales = ratios(1e-7, 10.0)


def kernel(length: int) -> Any:
    """The unscheduled stages alone: arguments scores, mask, scalars, probabilities."""
    scores = te.placeholder((BATCH, HEADS, length, length), "int32", name="scores_in")
    mask = te.placeholder((BATCH, length), "int32", name="mask")
    scalars = te.placeholder((4,), "int32", name="scalars")
    return te.create_prim_func([scores, mask, scalars, softmax_stages(scores, mask, scalars)])


@every_processor
@pytest.mark.parametrize("length", [1, 5, 16])
def test_stages(processor: Processor, length: int) -> None:
    run = compiled(("softmax", length), processor, lambda: kernel(length))

    @settings(max_examples=40)
    @given(
        scales,
        st.integers(0, 20).flatmap(lambda bits: integers((BATCH, HEADS, length, length), LARGEST >> bits)),
        masks(BATCH, length),
    )
    def check(scale: float, scores: Int64Array, mask: Int64Array) -> None:
        softmax = MaskedSoftmax.from_scale("softmax", scale)
        (result,) = run(scores, mask, np.array(softmax.scalars()))
        np.testing.assert_array_equal(result, softmax.oracle(scores, mask[:, None, None, :]))

    check()


@settings(max_examples=100)
@given(ratios(1e-7, 1e-1), st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 7, 64, 128, 512]), ratios(0.01, 30))
def test_oracle_is_softmax(scale: float, seed: int, length: int, spread: float) -> None:
    random = np.random.default_rng(seed)
    scores = np.rint(random.normal(0, spread / scale, (8, length))).clip(-LARGEST, LARGEST).astype(np.int64)
    mask = random.integers(0, 2, length)
    mask[0] = 1
    result = MaskedSoftmax.from_scale("softmax", scale).oracle(scores, mask)
    exponential = np.exp((scores - scores[:, mask == 1].max(axis=1, keepdims=True)) * scale) * mask
    real = exponential / exponential.sum(axis=1, keepdims=True)
    assert np.abs(result / PROBABILITY_ONE - real).max() <= 0.0125
    assert not result[:, mask == 0].any()


@settings(max_examples=100)
@given(scales, st.integers(0, 2**32 - 1), st.integers(1, 64))
def test_probabilities_add_up(scale: float, seed: int, length: int) -> None:
    """Each is rounded on its own, to half a step; the common factor is off by less than a step."""
    scores = np.random.default_rng(seed).integers(-LARGEST, LARGEST + 1, (4, length))
    result = MaskedSoftmax.from_scale("softmax", scale).oracle(scores, np.ones(length, np.int64))
    assert np.abs(result.sum(axis=1) - PROBABILITY_ONE).max() <= 1 + 0.5 * length
    assert result.min() >= 0
    assert result.max() <= PROBABILITY_ONE


@settings(max_examples=100)
@given(scales, integers((1, 33), LARGEST), st.integers(0, 2**32 - 1))
def test_larger_scores_never_get_less(scale: float, scores: Int64Array, seed: int) -> None:
    near = np.random.default_rng(seed).integers(0, 200, (1, 33))
    for row in (np.sort(scores), np.sort(scores[:, :1] + near)):
        result = MaskedSoftmax.from_scale("softmax", scale).oracle(row, np.ones(33, np.int64))
        assert (np.diff(result) >= 0).all()


@given(scales)
def test_single_key_gets_all(scale: float) -> None:
    softmax = MaskedSoftmax.from_scale("softmax", scale)
    mask = np.array([0, 1, 0])
    for score in (-LARGEST, 0, LARGEST):
        result = softmax.oracle(np.array([[LARGEST, score, 0]]), mask)
        assert result.tolist() == [[0, PROBABILITY_ONE, 0]]


@given(scales, integers((3, 5), LARGEST))
def test_row_without_keys_gives_zeros(scale: float, scores: Int64Array) -> None:
    assert not MaskedSoftmax.from_scale("softmax", scale).oracle(scores, np.zeros(5, np.int64)).any()


@given(scales)
def test_what_masked_keys_hold_does_not_matter(scale: float) -> None:
    random = np.random.default_rng(0)
    scores, other = random.integers(-LARGEST, LARGEST + 1, (2, 4, 9))
    mask = (np.arange(9) < 6).astype(np.int64)
    softmax = MaskedSoftmax.from_scale("softmax", scale)
    expected = softmax.oracle(scores[:, :6], np.ones(6, np.int64))
    np.testing.assert_array_equal(softmax.oracle(np.where(mask == 1, scores, other), mask)[:, :6], expected)


def test_sum_with_a_key_exceeds_the_one_that_stands_for_none() -> None:
    """The largest key's exponential does, so that the substitute never changes a row with keys."""
    softmax = MaskedSoftmax.from_scale("softmax", 1e-3)
    two = softmax.oracle(np.zeros((1, 2)).astype(np.int64), np.ones(2, np.int64))
    assert two.tolist() == [[128, 128]]
    assert MIN_TOTAL <= 2**15 - 2


def test_bounds_at_the_edge() -> None:
    softmax = MaskedSoftmax.from_scale("layers.0.attention.softmax", 1e-3)
    scores = Interval.symmetric(2**30 - 1)
    assert softmax.bounds(scores, MAX_LENGTH) == Interval(0, PROBABILITY_ONE)
    with pytest.raises(BoundsError, match=r"layers\.0\.attention\.softmax: 513 keys"):
        softmax.bounds(scores, MAX_LENGTH + 1)
    with pytest.raises(BoundsError, match=r"layers\.0\.attention\.softmax: the distance"):
        softmax.bounds(Interval.symmetric(2**30), MAX_LENGTH)
    with pytest.raises(BoundsError, match=r"layers\.0\.attention\.softmax: octaves"):
        replace(softmax, cap=2 ** (15 + softmax.right), left=0).bounds(scores, MAX_LENGTH)
    with pytest.raises(BoundsError, match=r"layers\.0\.attention\.softmax: multiplier of octaves"):
        replace(softmax, multiplier=2**15).bounds(scores, MAX_LENGTH)


@given(scales)
def test_whatever_from_scale_gives_can_be_proven(scale: float) -> None:
    MaskedSoftmax.from_scale("softmax", scale).bounds(Interval.symmetric(LARGEST), MAX_LENGTH)


@pytest.mark.parametrize("scale", [0.0, 1e-320, 1e-9, 20.0, 1e300, float("inf"), float("nan")])
def test_scale_that_cannot_be_represented(scale: float) -> None:
    with pytest.raises(BoundsError, match=r"layers\.2\.attention\.softmax: a score's step"):
        MaskedSoftmax.from_scale("layers.2.attention.softmax", scale)
