"""Outlier channel splitting is exact before rounding, and its aware halves round to what the whole rounds to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from intbert.compiler.packing import Packing
from intbert.quantization.post_training.splitting import choose_channels, split_columns
from intbert.quantization.weights import round_to_grid
from numpy.typing import NDArray


def whole(split: NDArray[np.floating], origin: NDArray[np.int32]) -> NDArray[np.floating]:
    """The split columns added to those that they came from."""
    columns = split.shape[1] - len(origin)
    total = split[:, :columns].copy()
    np.add.at(total.T, origin, split[:, columns:].T)
    return total


@given(seed=st.integers(0, 10**6), outputs=st.integers(1, 9), inputs=st.integers(1, 17), share=st.floats(0, 1.5))
def test_the_product_is_the_same_in_float64(seed: int, outputs: int, inputs: int, share: float):
    random = np.random.default_rng(seed)
    weight = random.standard_t(2, (outputs, inputs))
    chosen = choose_channels(weight, round(share * inputs))
    step = random.uniform(0.01, 1, outputs)
    x = random.normal(size=(7, inputs))
    for split, origin in (split_columns(weight, chosen), split_columns(weight, chosen, step)):
        np.testing.assert_allclose(
            np.concatenate([x, x[:, origin]], axis=1) @ split.T, x @ weight.T, rtol=1e-12, atol=1e-12
        )


def test_equal_halves_are_exact_to_the_bit():
    weight = np.random.default_rng(3).normal(size=(6, 11))
    split, origin = split_columns(weight, choose_channels(weight, 9))
    np.testing.assert_array_equal(whole(split, origin), weight)


@pytest.mark.parametrize("packing", [Packing(3), Packing(4), Packing(7), None], ids=str)
def test_aware_halves_round_to_the_rounding_of_the_whole(packing: Packing | None):
    random = np.random.default_rng(5)
    scale = random.uniform(0.1, 2, 40)
    limit = 127 if packing is None else packing.limit
    weight = scale[:, None] * random.uniform(-limit, limit, (40, 12))
    split, origin = split_columns(weight, [0, 3, 7], scale)
    integers = round_to_grid(split.astype(np.float64), scale, packing).astype(int)
    assert whole(integers, origin).tolist() == round_to_grid(weight, scale, packing).astype(int).tolist()


@pytest.mark.parametrize("bits", [2, 3])
def test_aware_halves_of_a_mid_rise_grid_add_up_to_the_nearest_even_integer(bits: int):
    packing = Packing(bits, mid_rise=True)
    quotient = np.random.default_rng(6).uniform(-packing.limit, packing.limit, (50, 4))
    split, origin = split_columns(quotient, [0, 1, 2, 3], 2.0)
    integers = round_to_grid(split, np.ones(50), packing).astype(int)
    np.testing.assert_array_equal(whole(integers, origin), 2 * np.rint(quotient / 2).astype(int))


def test_equal_halves_do_not():
    weight = np.array([[3.0]])
    split, origin = split_columns(weight, [0])
    assert whole(round_to_grid(split, np.ones(1), Packing(4)).astype(int), origin).item() == 4


def test_the_largest_is_chosen_again_until_others_are_larger():
    weight = np.array([[1.0, -8.0, 3.0], [0.5, 1.0, -2.0]])
    # -8 is halved to -4 and -4 (column 3), both of which are halved before 3 is.
    assert choose_channels(weight, 4) == [1, 1, 3, 2]
    split, origin = split_columns(weight, [1, 1, 3, 2])
    assert origin.tolist() == [1, 1, 1, 2]
    assert split[0].tolist() == [1.0, -2.0, 1.5, -2.0, -2.0, -2.0, 1.5]
