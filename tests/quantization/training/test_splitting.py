"""Ternary and binary weights, and the identities of ternary weight splitting in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from intbert.quantization.training.binarization import binarize, binary_scale, binary_signs
from intbert.quantization.training.splitting import split_ternary
from intbert.quantization.training.ternary import ternarize, ternary_scale, ternary_signs


def _assert_identities(weight: torch.Tensor, per_row: bool) -> None:
    first, second = split_ternary(weight, per_row)
    tolerance = 1e-15 * weight.abs().max().item() * max(weight.shape[1], 8)
    assert first.shape == second.shape == weight.shape
    assert (first + second - weight).abs().max() <= tolerance
    scale = ternary_scale(weight, per_row)
    for half in (first, second):
        assert (binary_scale(half, per_row) - scale / 2).abs().max() <= tolerance
    total = binarize(first, per_row) + binarize(second, per_row)
    assert (total - ternarize(weight, per_row)).abs().max() <= tolerance
    # One binary matrix of both, with one scale, is what is stored.
    both = torch.cat([first, second], dim=1)
    stored = binary_signs(both) * binary_scale(both, per_row)
    assert (stored[:, : weight.shape[1]] + stored[:, weight.shape[1] :] - total).abs().max() <= tolerance


EDGES = {
    "no zeros": [[1.0, -1.0, 1.1], [0.9, -1.2, 1.0]],
    "all zeros": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    "one element": [[0.3]],
    "one negative element": [[-0.3]],
    "one weight that is not zero": [[0.0, 0.0, 5.0, 0.0]],
    "a row of zeros": [[0.0, 0.0], [1.0, -2.0]],
    "one sign": [[1.0, *[0.5] * 9], [3.0, *[0.4] * 9]],
    "tiny": [[1e-200, -3e-200, 1e-201]],
}


@pytest.mark.parametrize("per_row", [False, True], ids=["matrix", "row"])
@pytest.mark.parametrize("rows", EDGES.values(), ids=EDGES.keys())
def test_identities_of_edge_cases(rows: list[list[float]], per_row: bool) -> None:
    _assert_identities(torch.tensor(rows, dtype=torch.float64), per_row)


@pytest.mark.parametrize("per_row", [False, True], ids=["matrix", "row"])
@pytest.mark.parametrize("mean", [0.0, 0.3, 1.0, -2.0])
def test_identities_of_normal_weights(mean: float, per_row: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    _assert_identities(torch.randn(37, 53, generator=generator, dtype=torch.float64) + mean, per_row)


@settings(max_examples=200, deadline=None)
@given(
    weights=numpy_strategies.arrays(
        np.float64,
        st.tuples(st.integers(1, 4), st.integers(1, 12)),
        elements=st.floats(-100, 100).filter(lambda x: x == 0 or abs(x) > 1e-6),
    ),
    per_row=st.booleans(),
)
def test_identities_of_any_weights(weights: np.ndarray, per_row: bool) -> None:
    _assert_identities(torch.from_numpy(weights), per_row)


def test_the_shift_and_the_factor_are_those_of_the_paper() -> None:
    weight = torch.tensor([[2.0, -1.5, 0.2, -0.3, 0.1, 1.0]], dtype=torch.float64)
    signs = ternary_signs(weight)
    assert signs.tolist() == [[1, -1, 0, 0, 0, 1]]
    scale = 4.5 / 3
    shift = (scale * 6 - 5.1) / (2 * 3)
    # |a11| = 4.5; first on the zeros: 0.2 + b, b, 0.1 + b; second: b, 0.3 + b, b.
    factor = (4.5 + (0.3 + 3 * shift) - (0.3 + 3 * shift)) / (2 * 4.5)
    first, second = split_ternary(weight)
    expected = [2.0 * factor, -1.5 * factor, 0.2 + shift, shift, 0.1 + shift, factor]
    assert first.tolist()[0] == pytest.approx(expected)
    assert second.tolist()[0] == pytest.approx([w - e for w, e in zip(weight.tolist()[0], expected, strict=True)])


@pytest.mark.parametrize("per_row", [False, True], ids=["matrix", "row"])
def test_the_binary_scale_has_the_least_error(per_row: bool) -> None:
    weight = torch.randn(5, 31, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    signs, scale = binary_signs(weight), binary_scale(weight, per_row)
    errors = [(signs * scale * change - weight).square().sum() for change in (0.99, 1.0, 1.01)]
    assert errors[1] < min(errors[0], errors[2])


def test_binary_weights_have_no_zero_and_gradients_pass() -> None:
    weight = torch.tensor([[0.0, -0.0, 2.0, -2.0]], requires_grad=True)
    assert binary_signs(weight.detach()).tolist() == [[1, 1, 1, -1]]
    for function in (binarize, ternarize):
        weight.grad = None
        function(weight).backward(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
        assert weight.grad is not None
        assert weight.grad.tolist() == [[1, 2, 3, 4]]


def test_ternary_weights_of_twn() -> None:
    weight = torch.tensor([[1.0, -0.2, 0.6, -2.0], [0.0, 0.0, 0.0, 0.0]])
    assert ternary_signs(weight, per_row=True).tolist() == [[1, 0, 0, -1], [0, 0, 0, 0]]
    assert ternary_scale(weight, per_row=True).tolist() == [[1.5], [0]]
    assert ternarize(weight).abs().unique().tolist() == pytest.approx([0, 1.2])
