"""Float attention: kernel against oracle, oracle against the real function, masks, proofs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from intbert.compiler.model import Quantization
from intbert.compiler.operators.interval import Interval
from intbert.compiler.operators.real.attention import AttentionRoundings, RealAttention
from intbert.compiler.operators.real.quantize import Quantize
from intbert.compiler.operators.real.ranges import LARGEST, Range
from intbert.errors import BoundsError
from numpy.typing import NDArray

from ..compiled import Processor
from .floats import assert_same_bytes, cases, draws, run
from .operators import ONE_SIDED, SYMMETRIC, source, source_inputs

UNROUNDED = AttentionRoundings()
PROBABILITY = Quantize.of("p", Quantization(1 / 255, 8, -128, narrow_range=False))
SCORE = Quantize.of("s", Quantization(0.25, 8, 5, narrow_range=False))
ROUNDED = AttentionRoundings((SYMMETRIC,), (SYMMETRIC,), (SYMMETRIC,), (), (PROBABILITY,))
REPEATED = AttentionRoundings((SYMMETRIC, ONE_SIDED), (), (SYMMETRIC,), (SCORE, SYMMETRIC), (PROBABILITY, PROBABILITY))
FORMS = {"rounded": ROUNDED, "repeatedly rounded": REPEATED}


def masks(batch: int, length: int) -> NDArray[np.int64]:
    """The last sentence has no token at all, others have holes."""
    mask = np.random.default_rng(length).integers(0, 2, (batch, length))
    mask[0] = np.arange(length) < max(1, length - 2)
    mask[-1] = 0 if batch > 1 else mask[-1]
    return mask


def attention(
    kind: str,
    heads: int,
    head_dim: int,
    rounded: AttentionRoundings = UNROUNDED,
    quantize: Quantize | None = None,
) -> RealAttention:
    return RealAttention("attention", heads, head_dim, source(kind, 3 * heads * head_dim), rounded, quantize)


@cases((1, 1, 1, 1), (2, 5, 3, 8), (1, 17, 2, 5), (1, 16, 1, 64), everywhere=(1, 32, 2, 32))
@pytest.mark.parametrize("form", ["static", "dynamic", *FORMS])
def test_kernel(processor: Processor, shape: tuple[int, int, int, int], form: str) -> None:
    batch, length, heads, head_dim = shape
    kind = "dynamic" if form == "dynamic" else "accumulators"
    quantize = None if form == "dynamic" else SYMMETRIC
    operator = attention(kind, heads, head_dim, FORMS.get(form, UNROUNDED), quantize)
    inputs = source_inputs(kind, batch, batch * length, 3 * heads * head_dim, seed=length)
    inputs = [inputs[0] % 4001 - 2000, *inputs[1:], masks(batch, length)]
    (result,) = run(processor, operator, batch, length, inputs)
    assert_same_bytes(result, operator.oracle(*inputs))


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_oracle_is_attention(scale: float) -> None:
    batch, length, heads, size = 2, 9, 3, 8
    operator = attention("floats", heads, size)
    x = np.random.default_rng(0).normal(0, scale, (batch * length, 3 * heads * size)).astype(np.float32)
    mask = masks(batch, length)
    mask[-1, 2:4] = 1
    query, key, value = x.astype(np.float64).reshape(batch, length, 3, heads, size).transpose(2, 0, 3, 1, 4)
    scores = np.where(mask[:, None, None, :] != 0, query @ key.swapaxes(-1, -2) / math.sqrt(size), -np.inf)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    expected = (e / e.sum(axis=-1, keepdims=True) @ value).transpose(0, 2, 1, 3).reshape(batch * length, -1)
    # A score of magnitude 1000 has a rounding error of 6e-5.
    np.testing.assert_allclose(operator.oracle(x, mask), expected, atol=2e-6 * scale * max(1.0, scale * scale))


def test_masked_keys_do_not_matter() -> None:
    operator = attention("floats", 2, 4)
    x = draws(0, 6, 24)
    changed = x.copy()
    changed[4:] = 1e3
    mask = np.array([[1, 1, 1, 1, 0, 0]])
    np.testing.assert_array_equal(operator.oracle(x, mask)[:4], operator.oracle(changed, mask)[:4])


def test_without_any_key_the_context_is_zero() -> None:
    operator = attention("floats", 2, 4)
    assert not operator.oracle(draws(0, 3, 24), np.zeros((1, 3), int)).any()


def test_context_stays_in_the_proven_range() -> None:
    for rounded in (UNROUNDED, ROUNDED, REPEATED):
        operator = attention("floats", 2, 4, rounded)
        x = draws(2, 14, 24, 3.0)
        proven = operator.bounds(14, Range(float(x.min()), float(x.max())), Interval(0, 1))
        result = operator.oracle(x, np.ones((1, 14), int))
        assert proven.low <= result.min()
        assert result.max() <= proven.high


def test_infinite_scores_are_refused() -> None:
    with pytest.raises(BoundsError, match="attention: a score spans"):
        attention("floats", 1, 4).bounds(4, Range(0, LARGEST), Interval(0, 1))
