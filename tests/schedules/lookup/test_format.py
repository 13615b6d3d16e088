"""Weights as indices: what they name is the weight, and the tables' sums are the matrix product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from intbert.schedules.lookup.format import LookupFormat, WeightLevels, weights_of_an_index
from intbert.schedules.lookup.kernels import LOOKUP_KERNELS

BINARY, TERNARY, QUATERNARY = WeightLevels(2, 2, -1), WeightLevels(3, 1, -1), WeightLevels(4, 2, -3)
LEVELS = {"binary": BINARY, "ternary": TERNARY, "quaternary": QUATERNARY}


@pytest.mark.parametrize("kernel", LOOKUP_KERNELS, ids=lambda kernel: kernel.name)
@given(st.sampled_from(list(LEVELS)), st.integers(1, 3), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_sums_of_table_entries_are_the_product(kernel, levels: str, blocks: int, inputs: int, seed: int) -> None:
    if kernel.whole_vectors:
        inputs = inputs * 16
    layout = kernel.format(LEVELS[levels], blocks * kernel.n_block, inputs, 1)
    assume(layout is not None)
    assert layout is not None
    random = np.random.default_rng(seed)
    weight = random.choice(layout.levels.values(), (layout.channels, inputs))
    x = random.integers(-127, 128, inputs)
    packed = layout.pack(weight)
    assert packed.shape == layout.shape
    # Both parts of activations that are taken apart have the same tables.
    padded = np.zeros(layout.groups * layout.group, np.int64)
    padded[:inputs] = x
    tables = padded.reshape(layout.groups, layout.group) @ layout.table_weights().T
    sums = np.zeros(layout.channels, np.int64)
    for channel in range(layout.channels):
        for group in range(layout.groups):
            vector = group // layout.tables
            field = vector % layout.fields if layout.adjacent_fields else vector // layout.steps
            index = int(packed[layout.index(channel, group)]) >> field * layout.field_bits & layout.entries - 1
            sums[channel] += tables[group, index]
    np.testing.assert_array_equal(sums, weight @ x)


@pytest.mark.parametrize(
    ("levels", "entries", "weights"),
    [(2, 16, 4), (2, 32, 5), (3, 16, 2), (3, 32, 3), (4, 16, 2), (4, 32, 2), (7, 32, 1), (3, 27, 3), (3, 9, 2)],
)
def test_weights_of_an_index(levels: int, entries: int, weights: int) -> None:
    assert weights_of_an_index(levels, entries) == weights


def test_indices_take_one_bit_a_binary_weight() -> None:
    layout = LookupFormat(BINARY, 32, 384, 4, 16, 4, 16, 2, "uint8")
    assert layout.pack(np.ones((32, 384), np.int8)).nbytes == 32 * 384 // 8
