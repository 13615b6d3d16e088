"""Attention whole and in parts: kernels against oracles, oracle against the real function, proofs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intbert.compiler.kernels import Shape, parameters, structure
from intbert.compiler.operators.attention import Attention, attention_kernel
from intbert.compiler.operators.attention_scores import (
    OFFSET,
    AttentionScores,
    OperandSigns,
    head_stage,
    key_stage,
    scores_stage,
)
from intbert.compiler.operators.attention_values import AttentionValues
from intbert.compiler.operators.fixed_point import NARROW_LIMIT
from intbert.compiler.operators.interval import Interval
from intbert.compiler.operators.masked_softmax import PROBABILITY_ONE, MaskedSoftmax
from intbert.compiler.operators.requantize import Requantize
from intbert.compiler.operators.value_range import NARROW, Range
from intbert.errors import BoundsError
from tvm import te

from .compiled import HOST, Processor, compiled, every_processor, scheduled
from .draws import Int64Array, integers, masks, ratios

SHAPES = {
    "one": (1, 1, 1, 4),
    "odd": (2, 5, 3, 8),
    "half tiles": (1, 16, 2, 32),
    "tiles": (2, 32, 2, 64),
    "longer than wide": (1, 48, 1, 16),
}
"""Batch, length, heads, channels of a head."""
every_shape = pytest.mark.parametrize("shape", [pytest.param(shape, id=name) for name, shape in SHAPES.items()])
every_sign = pytest.mark.parametrize("signs", [pytest.param(signs, id=signs.value) for signs in OperandSigns])


def attention(heads: int, head_dim: int, scale: float = 1e-3, ratio: float = 1 / 255) -> Attention:
    return Attention(
        "layer",
        heads,
        AttentionScores("layer.scores", head_dim),
        MaskedSoftmax.from_scale("layer.softmax", scale),
        AttentionValues("layer.values", Requantize.from_ratio("layer.values", np.array([ratio]), NARROW)),
    )


@st.composite
def cases(draw: st.DrawFn, shape: tuple[int, int, int, int]) -> tuple[Attention, Int64Array, Int64Array]:
    batch, length, heads, head_dim = shape
    operator = attention(heads, head_dim, draw(ratios(1e-6, 1)), draw(ratios(1e-4, 0.9)))
    qkv = draw(integers((batch * length, 3 * heads * head_dim), NARROW_LIMIT))
    return operator, qkv, draw(masks(batch, length))


@every_processor
@every_shape
def test_kernel(processor: Processor, shape: tuple[int, int, int, int]) -> None:
    batch, length, heads, head_dim = shape
    zero_point = processor.zero_point
    workload = Shape(batch, length, batch * length, 3 * heads * head_dim, 0, zero_point, processor.target().features)

    @settings(max_examples=25)
    @given(cases(shape))
    def check(case: tuple[Attention, Int64Array, Int64Array]) -> None:
        operator, qkv, mask = case
        (result,) = scheduled(processor, operator, workload)(qkv, mask, *parameters(operator, workload))
        np.testing.assert_array_equal(result.astype(int) - zero_point, operator.oracle(qkv, mask))

    check()


@every_processor
@pytest.mark.parametrize("output", [Range(-7, 7), Range(-128, 127, -31)], ids=["4 bits", "zero at -31"])
def test_kernel_of_other_context_ranges(processor: Processor, output: Range) -> None:
    shape = batch, length, heads, head_dim = SHAPES["odd"]
    zero_point = processor.zero_point
    workload = Shape(batch, length, batch * length, 3 * heads * head_dim, 0, zero_point, processor.target().features)
    plain = attention(heads, head_dim)
    requantize = Requantize.from_ratio("layer.values", np.array([output.reach / 127 / 255]), output)
    operator = replace(plain, values=AttentionValues("layer.values", requantize))
    random = np.random.default_rng(0)
    qkv = random.integers(-NARROW_LIMIT, NARROW_LIMIT + 1, (shape[0] * shape[1], 3 * heads * head_dim))
    mask = np.ones((batch, length), np.int64)
    (result,) = scheduled(processor, operator, workload)(qkv, mask, *parameters(operator, workload))
    expected = operator.oracle(qkv, mask)
    np.testing.assert_array_equal(result.astype(int) - zero_point, expected)
    assert structure(operator) != structure(plain)
    assert operator.bounds(length) == output.interval
    reference = plain.oracle(qkv, mask) * (output.reach / 127) + output.zero_point
    assert np.abs(expected - reference.clip(output.low, output.limit)).max() <= 1 + output.reach / 127


@every_sign
@pytest.mark.parametrize("zero_point", [0, 128])
@pytest.mark.parametrize("name", ["one", "odd"])
def test_unscheduled_kernel(name: str, zero_point: int, signs: OperandSigns) -> None:
    shape = SHAPES[name]

    @settings(max_examples=25)
    @given(cases(shape))
    def check(case: tuple[Attention, Int64Array, Int64Array]) -> None:
        operator, qkv, mask = case
        key = ("attention", shape, zero_point, signs)
        kernel = compiled(key, HOST, lambda: attention_kernel(*shape, zero_point, signs))
        (result,) = kernel(qkv, mask, *operator.parameters())
        np.testing.assert_array_equal(result.astype(int) - zero_point, operator.oracle(qkv, mask))

    check()


@every_sign
@pytest.mark.parametrize("name", ["one", "odd"])
def test_scores(name: str, signs: OperandSigns) -> None:
    batch, length, heads, head_dim = SHAPES[name]

    def function() -> Any:
        qkv = te.placeholder((batch * length, 3 * heads * head_dim), "int8", name="qkv")
        query = head_stage(qkv, 0, "query", batch, length, heads, head_dim)
        key = key_stage(qkv, batch, length, heads, head_dim, signs)
        return te.create_prim_func([qkv, scores_stage(query, key)])

    @given(integers((batch * length, 3 * heads * head_dim), NARROW_LIMIT))
    def check(qkv: Int64Array) -> None:
        parts = qkv.reshape(batch, length, 3, heads, head_dim).transpose(2, 0, 3, 1, 4)
        operator = AttentionScores("scores", head_dim)
        (result,) = compiled(("scores", name, signs), HOST, function)(qkv)
        expected = operator.oracle(parts[0], parts[1])
        # The softmax takes the differences of a query's scores only.
        added = OFFSET * parts[0].sum(axis=-1, keepdims=True) if signs is OperandSigns.UNSIGNED else 0
        np.testing.assert_array_equal(result, expected + added)
        np.testing.assert_array_equal(expected, np.einsum("bhid,bhjd->bhij", parts[0], parts[1]))
        proven = operator.bounds()
        assert proven.low <= expected.min()
        assert expected.max() <= proven.high

    check()


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 64]))
def test_oracle_is_attention(seed: int, length: int) -> None:
    """The probabilities' error (0.0125 at most, typically far less) times the values, and the context's rounding."""
    random = np.random.default_rng(seed)
    heads, head_dim = 2, 16
    qkv = np.rint(random.normal(0, 40, (length, 3 * heads * head_dim))).clip(-127, 127).astype(np.int64)
    mask = np.ones((1, length), np.int64)
    mask[:, 1 + length // 2 :] = 0
    scale = 0.05 * 0.05 / math.sqrt(head_dim)
    operator = attention(heads, head_dim, scale)
    query, key, value = qkv.reshape(length, 3, heads, head_dim).transpose(1, 2, 0, 3)
    scores = np.where(mask[0] == 1, np.einsum("hid,hjd->hij", query, key) * scale, -np.inf)
    exponential = np.exp(scores - scores.max(axis=2, keepdims=True))
    context = np.einsum("hij,hjd->ihd", exponential / exponential.sum(axis=2, keepdims=True), value)
    result = operator.oracle(qkv, mask)
    assert np.abs(result - context.reshape(length, -1)).max() <= 3


def test_sequence_without_keys_attends_to_nothing() -> None:
    qkv = np.random.default_rng(0).integers(-127, 128, (8, 3 * 16))
    result = attention(2, 8).oracle(qkv, np.array([[1, 0, 0, 1], [0, 0, 0, 0]]))
    assert result[:4].any()
    assert not result[4:].any()


@given(cases(SHAPES["odd"]))
def test_values_stay_in_the_proven_range(case: tuple[Attention, Int64Array, Int64Array]) -> None:
    operator, qkv, mask = case
    proven = operator.bounds(mask.shape[1])
    result = operator.oracle(qkv, mask)
    assert proven.low <= result.min()
    assert result.max() <= proven.high


def test_bounds_at_the_edge() -> None:
    widest = (2**31 - 1) // (2 * 255 * 127)
    assert AttentionScores("layer.scores", widest).bounds() == Interval.symmetric(127 * 127 * widest)
    with pytest.raises(BoundsError, match=r"layer\.scores: the accumulator"):
        AttentionScores("layer.scores", widest + 1).bounds()
    values = attention(1, 4).values
    longest = (2**31 - 1) // (2 * PROBABILITY_ONE * 127)
    values.bounds(longest)
    with pytest.raises(BoundsError, match=r"layer\.values: the accumulator"):
        values.bounds(longest + 1)
    attention(1, 4).bounds(512)
    with pytest.raises(BoundsError, match=r"layer\.softmax: 513 keys"):
        attention(1, 4).bounds(513)
    with pytest.raises(BoundsError, match=r"layer\.scores: the accumulator"):
        attention(1, widest + 1).bounds(1)
