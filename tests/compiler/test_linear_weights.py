"""Linears' weights as one matrix: split channels merged or duplicated, zero points folded, few bits amplified."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from intbert.compiler.linear_weights import LinearWeights, linear_weights
from intbert.compiler.model import Architecture, HeadKind, Quantization, QuantizedModel, WeightTensor
from intbert.compiler.operators.epilogues import Logits
from intbert.compiler.packing import Packing
from intbert.errors import BoundsError, QuantizedModelError

from ..models import tiny_model
from .packings import PACKINGS, draw_values, every_packing

ARCHITECTURE: Architecture = tiny_model("Bert", HeadKind.NONE).architecture
SOURCE = Quantization(0.5, 8)
N, K = 6, 16


def model_of(**parts: tuple[np.ndarray, Packing | None, list[int]]) -> QuantizedModel:
    """A model of linears only: weights, packings and split channels by name."""
    weights = {}
    for name, (values, packing, split) in parts.items():
        weights[f"{name}.weight"] = WeightTensor(values.astype(np.int8), np.linspace(0.01, 0.02, len(values)), packing)
        weights[f"{name}.bias"] = WeightTensor(np.arange(len(values), dtype=np.int32) * 50, np.asarray(1.0))
        if split:
            weights[f"{name}.split"] = WeightTensor(np.array(split, np.int32), np.asarray(1.0))
    return QuantizedModel(ARCHITECTURE, "test", weights, {})


def product(weights: LinearWeights, x: np.ndarray) -> np.ndarray:
    """What the operator accumulates for the activations ``x``, its duplicated channels added as the graph does."""
    return weights.operator(Logits()).oracle(np.concatenate([x, x[:, list(weights.duplicated)]], axis=1))


def activations(low: int = -128, limit: int = 127) -> np.ndarray:
    return np.random.default_rng(0).integers(low, limit + 1, (5, K))


@pytest.mark.parametrize("split", [[], [3], [0, 15, 3], [7, 7, 7, 2]], ids=["none", "one", "three", "one thrice"])
@pytest.mark.parametrize("packing", [None, *PACKINGS], ids=str)
def test_split_channels_are_duplicated_ones(packing: Packing | None, split: list[int]) -> None:
    random = np.random.default_rng(len(split))
    shape = N, K + len(split)
    values = random.integers(-127, 128, shape) if packing is None else draw_values(packing, shape, 3)
    weights = linear_weights(model_of(a=(values, packing, split)), "a", ["a"], SOURCE, amplified=True)
    x = activations()
    expected = np.concatenate([x, x[:, split]], axis=1) @ values.astype(np.int64).T + np.arange(N) * 50
    np.testing.assert_array_equal(product(weights, x), expected * weights.gain)
    np.testing.assert_allclose(weights.scale * weights.gain, np.linspace(0.01, 0.02, N) * 0.5)
    assert (weights.weight.shape[1] - K) % K == 0
    assert len(weights.duplicated) == weights.weight.shape[1] - K
    if weights.duplicated:
        times = 1 + max(map(split.count, split))
        assert packing is None or packing.limit * times > 127
    elif packing is not None and weights.packing is not None:
        added = 0 if weights.added is None else 8 * weights.added.values.size
        assert weights.packing.bits * N * K + added <= packing.bits * N * K + 8 * N * len(set(split))


@pytest.mark.parametrize(
    ("bits", "whole"), [(1, Packing(2)), (2, Packing(3)), (6, Packing(7))], ids=["binary", "two bits", "six bits"]
)
def test_a_weight_whose_every_channel_is_split_is_packed_whole(bits: int, whole: Packing) -> None:
    packing = Packing(bits, mid_rise=True)
    values = draw_values(packing, (N, 2 * K), 5)
    weights = linear_weights(model_of(a=(values, packing, list(range(K)))), "a", ["a"], SOURCE, amplified=True)
    assert (weights.packing, weights.unit, weights.added) == (whole, 2, None)
    x = activations()
    expected = np.concatenate([x, x], axis=1) @ values.astype(np.int64).T + np.arange(N) * 50
    np.testing.assert_array_equal(product(weights, x), expected * weights.gain)
    assert 64 <= np.abs(weights.weight).max() <= 127


def test_halves_that_cancel_are_packed_whole() -> None:
    values = np.concatenate([np.ones((N, K)), -np.ones((N, K))], axis=1)
    model = model_of(a=(values, Packing(1, mid_rise=True), list(range(K))))
    weights = linear_weights(model, "a", ["a"], SOURCE, amplified=True)
    assert not weights.weight.any()
    np.testing.assert_array_equal(product(weights, activations()), np.tile(np.arange(N) * 50 * weights.gain, (5, 1)))


@every_packing
def test_gain_fills_int8(packing: Packing) -> None:
    model = model_of(a=(draw_values(packing, (N, K), 0), packing, []))
    gain = linear_weights(model, "a", ["a"], SOURCE, amplified=True).gain
    assert packing.limit * gain <= 127 < packing.limit * gain * 2
    assert linear_weights(model, "a", ["a"], SOURCE, amplified=False).gain == 1


def test_large_bias_is_not_amplified_beyond_int32() -> None:
    model = model_of(a=(draw_values(Packing(2), (N, K), 0), Packing(2), []))
    bias = WeightTensor(np.full(N, 2**27, np.int32), np.asarray(1.0))
    weights = linear_weights(
        replace(model, weights={**model.weights, "a.bias": bias}), "a", ["a"], SOURCE, amplified=True
    )
    assert weights.gain == 2
    weights.operator(Logits()).bounds()


def test_parts_that_differ() -> None:
    """Each part's split channels; what one part adds, the others must not."""
    parts = {
        "query": (draw_values(Packing(1, True), (N, K + 2), 0), Packing(1, True), [1, 5]),
        "key": (draw_values(Packing(3), (N, K + 1), 1), Packing(3), [5]),
        "value": (draw_values(Packing(3), (N, K), 2), Packing(3), []),
    }
    weights = linear_weights(model_of(**parts), "qkv", list(parts), SOURCE, amplified=True)
    assert weights.packing == Packing(3)
    assert weights.added is not None
    assert weights.added.columns.tolist() == [1, 5]
    x = activations()
    expected = [
        np.concatenate([x, x[:, split]], axis=1) @ values.astype(np.int64).T + np.arange(N) * 50
        for values, _, split in parts.values()
    ]
    np.testing.assert_array_equal(product(weights, x), np.concatenate(expected, axis=1) * weights.gain)


@pytest.mark.parametrize("source", [Quantization(0.5, 8, -128, False), Quantization(0.5, 4, 3), Quantization(0.5, 2)])
@pytest.mark.parametrize("split", [[], [3, 4]], ids=["whole", "split"])
def test_zero_point_is_folded(source: Quantization, split: list[int]) -> None:
    values = np.random.default_rng(1).integers(-127, 128, (N, K + len(split)))
    weights = linear_weights(model_of(a=(values, None, split)), "a", ["a"], source, amplified=True)
    x = activations(source.low, source.limit)
    centered = np.concatenate([x, x[:, split]], axis=1) - source.zero_point
    np.testing.assert_array_equal(product(weights, x), centered @ values.T + np.arange(N) * 50)
    proven = weights.operator(Logits()).bounds()
    everything = values[:, :K].copy()
    np.add.at(everything.T, split, values[:, K:].T)
    reach = np.maximum(everything * (source.low - source.zero_point), everything * (source.limit - source.zero_point))
    assert proven.high == (reach.sum(axis=1) + np.arange(N) * 50).max()


def test_split_channels_that_do_not_exist() -> None:
    for split in ([K], [-1]):
        model = model_of(a=(np.zeros((N, K + 1)), None, split))
        with pytest.raises(QuantizedModelError, match=r"a\.split names channels outside the 16 that a weight of shape"):
            linear_weights(model, "a", ["a"], SOURCE, amplified=True)


def test_bias_that_leaves_int32() -> None:
    model = model_of(a=(np.full((N, K), 127), None, []))
    bias = WeightTensor(np.full(N, 2**31 - 1, np.int32), np.asarray(1.0))
    model = replace(model, weights={**model.weights, "a.bias": bias})
    with pytest.raises(BoundsError, match="a: the bias and the input's zero point leave int32"):
        linear_weights(model, "a", ["a"], Quantization(0.5, 8, -3), amplified=True)
