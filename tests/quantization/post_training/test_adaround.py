from __future__ import annotations

import numpy as np
import pytest
import torch
from intbert.compiler.packing import Packing
from intbert.quantization.post_training.adaround import AdaptiveRounding, annealed_beta, undecidedness
from intbert.quantization.weights import round_to_grid

GRIDS = [Packing(2), Packing(2, mid_rise=True), Packing(3), Packing(7), None]


@pytest.mark.parametrize("scale", [np.asarray(0.3), np.array([0.1, 0.3, 1.0])], ids=["tensor", "rows"])
@pytest.mark.parametrize("packing", GRIDS, ids=str)
def test_starts_at_the_nearest_integers_and_at_the_weight_itself(packing: Packing | None, scale: np.ndarray):
    weight = np.random.default_rng(0).normal(0, 1, (3, 50)).astype(np.float32)
    rounding = AdaptiveRounding(torch.from_numpy(weight), scale, packing)
    integers = rounding.integers()
    assert integers.dtype == np.int8
    np.testing.assert_array_equal(integers, round_to_grid(weight, scale.astype(np.float32), packing))
    column = scale.reshape(-1, 1)
    limit = 127 if packing is None else packing.limit
    inside = np.clip(weight, -limit * column, limit * column)
    np.testing.assert_allclose(rounding.soft(rounding.up()).detach().numpy(), inside, atol=2e-5)
    np.testing.assert_allclose(rounding.hard().detach().numpy(), integers * column, rtol=1e-6)
    if packing is not None:
        packing.check(integers)


@pytest.mark.parametrize("packing", GRIDS, ids=str)
def test_every_weight_stays_on_the_grid_however_far_it_is_driven(packing: Packing | None):
    weight = np.random.default_rng(1).normal(0, 3, (4, 40)).astype(np.float32)
    for drive in (-50.0, 50.0):
        rounding = AdaptiveRounding(torch.from_numpy(weight), np.full(4, 0.5), packing)
        with torch.no_grad():
            rounding.alpha += drive
        integers = rounding.integers().astype(int)
        limit, step = (127, 1) if packing is None else (packing.limit, packing.step)
        assert np.abs(integers).max() <= limit
        quotient = np.clip(weight / 0.5, -limit, limit)
        assert (np.sign(drive) * (integers - quotient) >= -1e-5).all()
        assert np.abs(integers - quotient).max() <= step + 1e-5


def test_gradient_reaches_what_is_undecided():
    weight = torch.tensor([[0.2, 0.7, 9.0]])
    rounding = AdaptiveRounding(weight, np.asarray(1.0), Packing(3))
    rounding.soft(rounding.up()).sum().backward()
    assert rounding.alpha.grad is not None
    assert (rounding.alpha.grad[0, :2] > 0).all()
    assert rounding.alpha.grad[0, 2] == 0  # beyond the last level


def test_undecidedness():
    assert undecidedness(torch.tensor([0.0, 1.0, 0.0]), 2.0) == 0
    assert undecidedness(torch.tensor([0.5, 0.5]), 20.0) == 2
    assert undecidedness(torch.tensor([0.75]), 2.0) == pytest.approx(0.75)


def test_schedule():
    assert annealed_beta(0.0) is None
    assert annealed_beta(0.199) is None
    assert annealed_beta(0.2) == 20
    assert annealed_beta(0.6) == pytest.approx(11)
    assert annealed_beta(1.0) == pytest.approx(2)
