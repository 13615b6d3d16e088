"""docs/integer-operators.md, written out number by number in plain Python, gives what the oracles give."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from intbert.compiler.operators.embedding import Embedding
from intbert.compiler.operators.gelu import MIN_SCALE, Gelu
from intbert.compiler.operators.layer_norm import LayerNorm
from intbert.compiler.operators.masked_softmax import MaskedSoftmax
from intbert.compiler.operators.pooling import MeanPooling
from intbert.compiler.operators.requantize import Narrow, Requantize, Rescale
from intbert.compiler.operators.tanh import Tanh
from intbert.compiler.operators.value_range import Range

from .draws import Int64Array, integers, masks, ratios

NARROW, WIDE = 127, 16383
wide_values = st.integers(-WIDE, WIDE)


def round_half_up(x: float) -> int:
    return math.floor(x + 0.5)


def clamp(q: int, limit: int) -> int:
    return min(max(q, -limit), limit)


def rshift(q: int, n: int) -> int:
    return (q + ((1 << n) >> 1)) >> n


def rmh(a: int, b: int) -> int:
    assert min(a, b) >= -(2**15)
    assert max(a, b) < 2**15
    return (a * b + 2**14) >> 15


def requantize(q: int, ratio: float, limit: int) -> int:
    target = 2.0**14 if limit == WIDE else math.sqrt(127 * 2**15 / 2)
    shift = min(max(math.ceil(math.log2(target / (ratio * 2**15))), 0), 30)
    multiplier = round_half_up(ratio * 2.0 ** (15 + shift))
    if multiplier == 2**15 and shift > 0:
        shift -= 1
        multiplier = round_half_up(ratio * 2.0 ** (15 + shift))
    lanes = min(max(rshift(q, shift), -(2**15)), 2**15 - 1)
    return clamp(rmh(lanes, multiplier), limit)


@given(ratios(2.0**-30, 0.999), st.sampled_from([NARROW, WIDE]), st.integers(-(2**30), 2**30))
def test_requantize(ratio: float, limit: int, q: int) -> None:
    oracle = Requantize.from_ratio("layer", np.array([ratio]), Range(-limit, limit)).oracle(np.array([q]))
    assert oracle.tolist() == [requantize(q, ratio, limit)]


def narrow(q: int, ratio: float) -> int:
    if ratio < 2.0**-15:
        return 0
    s = -math.floor(math.log2(ratio))
    mantissa = round_half_up(ratio * 2.0 ** (14 + s))
    if mantissa == 2**15:
        s, mantissa = s - 1, 2**14
    return clamp(rmh(rmh(2 * q, mantissa), 2 ** (15 - s)), NARROW)


@given(ratios(2.0**-18, 0.999), wide_values)
def test_narrow(ratio: float, q: int) -> None:
    assert Narrow.from_ratio("layer", ratio).oracle(np.array([q])).tolist() == [narrow(q, ratio)]


@given(ratios(2.0**-18, 1.999), wide_values)
def test_rescale(ratio: float, q: int) -> None:
    expected = rmh(2 * q, round_half_up(ratio * 2**14))
    assert Rescale.from_ratio("layer", ratio).oracle(np.array([q])).tolist() == [expected]


@given(ratios(MIN_SCALE, 0.3), wide_values)
def test_gelu(scale: float, q: int) -> None:
    clip = min(WIDE, max(1, round_half_up(1.769 * math.sqrt(2) / scale)))
    normalization = 2 ** (15 - clip.bit_length())
    step = scale / normalization
    coefficient = round_half_up(0.1444 * step * step / 4 * 2.0**45)
    d = (clip - min(abs(q), clip)) * normalization
    e = rmh(rmh(d, d), coefficient)
    expected = rmh(2 * q, 2**14 - e if q >= 0 else e)
    assert Gelu.from_scale("layer", scale).oracle(np.array([q])).tolist() == [expected]


def softmax(scores: list[int], mask: list[int], scale: float) -> list[int]:
    u = scale / math.log(2) * 1024
    x = math.floor(math.log2(u)) + 1
    multiplier = round_half_up(u * 2.0 ** (15 - x))
    if multiplier == 2**15:
        multiplier, x = 2**14, x + 1
    left, right = max(x, 0), max(-x, 0)
    cap = (32767 << right) >> left
    masked = [score if counts else -(2**30) for score, counts in zip(scores, mask, strict=True)]
    exponentials = []
    for score, counts in zip(masked, mask, strict=True):
        t = (min(max(masked) - score, cap) << left) >> right
        w = rmh(t, multiplier)
        b = 26546 - rmh((w & 1023) << 5, 13593)
        p = min(rmh(b, b) + 11263, 32767) >> min(w >> 10, 15)
        exponentials.append(p if counts else 0)
    total = max(sum(exponentials), 2**14)
    n = total.bit_length()
    assert 15 <= n <= 24
    r = (255 << 22) // ((total << (31 - n)) >> 15)
    return [rshift(rmh(e, r), n - 9) for e in exponentials]


@settings(max_examples=200)
@given(ratios(1e-7, 10), integers((1, 9), 2**20), masks(1, 9))
def test_masked_softmax(scale: float, scores: Int64Array, mask: Int64Array) -> None:
    expected = softmax(scores[0].tolist(), mask[0].tolist(), scale)
    assert MaskedSoftmax.from_scale("layer", scale).oracle(scores, mask).tolist() == [expected]


def layer_norm(
    q: list[int], gamma: np.ndarray, beta: np.ndarray, wide_scale: float, narrow_scale: float
) -> tuple[list[int], list[int]]:
    n = len(q)
    slope, intercept = gamma * math.sqrt(n) / 2**15 / wide_scale, beta / wide_scale
    s = min(
        math.floor(math.log2(32767 / max(np.abs(slope).max(), 2.0**-30))),
        math.floor(math.log2((2**29 - 1) / (np.abs(intercept).max() + 1))),
        29,
    )
    r = next(r for r in range(4, 64, 2) if n * rshift(32766**2, r) < 2**31)
    mean = (2 * sum(q) + n) // (2 * n)
    y = [value - mean for value in q]
    v = sum(rshift(value * value, r) for value in y)
    h = (31 - max(v, 1).bit_length()) // 2
    root = max(1, math.isqrt(v << (2 * h)))
    f = min((2**29 + root // 2) // root, 32767)
    wide = []
    for value, g, b in zip(y, slope, intercept, strict=True):
        z = rshift(value * f, 14 + r // 2 - h)
        wide.append(clamp((z * round_half_up(g * 2.0**s) + round_half_up(b * 2.0**s) + ((1 << s) >> 1)) >> s, WIDE))
    return wide, [narrow(value, wide_scale / narrow_scale) for value in wide]


@settings(max_examples=200)
@given(st.sampled_from([1, 5, 24, 384]), st.integers(0, 2**32 - 1), ratios(1, 2e4), ratios(1e-4, 1e-2))
def test_layer_norm(n: int, seed: int, spread: float, scale: float) -> None:
    random = np.random.default_rng(seed)
    gamma, beta = random.normal(1, 0.5, n), random.normal(0, 2, n)
    q = np.rint(random.normal(0, spread, n)).clip(-WIDE, WIDE).astype(np.int64)
    results = LayerNorm.from_float("layer", gamma, beta, scale, scale * 130).oracle(q[None, :])
    for result, expected in zip(results, layer_norm(q.tolist(), gamma, beta, scale, scale * 130), strict=True):
        assert result.tolist() == [expected]


@given(st.integers(0, 2**32 - 1), ratios(1e-4, 1e-1), ratios(1e-4, 1e-1), ratios(1e-5, 1e-2))
def test_embedding(seed: int, word: float, position: float, output: float) -> None:
    tables = np.random.default_rng(seed).integers(-127, 128, (2, 3, 1)).astype(np.int8)
    embedding = Embedding.from_scales("layer", (tables[0], word), (tables[1], position), None, output)
    shift = math.floor(math.log2(2**16 / max(word / output, position / output)))
    m_w, m_p = (round_half_up(scale / output * 2.0**shift) for scale in (word, position))
    expected = [
        [clamp((int(tables[0, token, 0]) * m_w + int(tables[1, place, 0]) * m_p + 2 ** (shift - 1)) >> shift, WIDE)]
        for place, token in enumerate((2, 0, 1))
    ]
    assert embedding.oracle(np.array([[2, 0, 1]])).tolist() == expected


@given(integers((7, 1), WIDE), masks(1, 7))
def test_mean_pooling(states: Int64Array, mask: Int64Array) -> None:
    chosen = [value for (value,), counts in zip(states.tolist(), mask[0], strict=True) if counts]
    count = max(len(chosen), 1)
    assert MeanPooling("layer").oracle(states, mask).tolist() == [[(2 * sum(chosen) + count) // (2 * count)]]


@given(ratios(1e-5, 1e-2), st.sampled_from([1 / 127, 1e-3]), wide_values)
def test_tanh(input_scale: float, output_scale: float, q: int) -> None:
    entry = (q + 16384) >> 3
    real = float(np.tanh((8 * entry + 3.5 - 16384) * input_scale))
    expected = clamp(round_half_up(real / output_scale), NARROW)
    assert Tanh.from_scales("layer", input_scale, output_scale).oracle(np.array([q])).tolist() == [expected]
