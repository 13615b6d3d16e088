"""Observers against NumPy, and that padding does not count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from intbert.errors import CalibrationError
from intbert.quantization import FloatModel, load_float_model
from intbert.quantization.calibration import (
    OBSERVERS,
    ExponentialMovingAverage,
    MinMax,
    Percentile,
    calibrate,
    get_observer,
)
from intbert.quantization.structure import wide_activations
from intbert.quantization.tokenization import Batch

from .checkpoints import make_batch, make_model


@pytest.fixture(scope="module")
def classifier() -> FloatModel:
    return load_float_model(make_model("Bert", "ForSequenceClassification"))


@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-6, 1.0, 1e6]), batches=st.integers(1, 5))
def test_percentile_is_within_a_bin_of_numpy(seed: int, scale: float, batches: int) -> None:
    random = np.random.default_rng(seed)
    # Later batches are wider, so the histogram must grow.
    values = [np.abs(random.normal(0, scale * 3**index, 3000)).astype(np.float32) for index in range(batches)]
    observer = Percentile(99.9, bins=4096)
    for value in values:
        observer.update(torch.from_numpy(value))
    everything = np.concatenate(values)
    lower = np.percentile(everything, 99.9, method="lower")
    higher = np.percentile(everything, 99.9, method="higher")
    bin_width = 2 * everything.max() / 4096
    assert lower - bin_width <= observer.range() <= higher + bin_width


def test_percentile_of_everything_is_the_maximum() -> None:
    observer = Percentile(100, bins=64)
    for largest in (0.0, 0.5, 3.0, 2.0):
        observer.update(torch.tensor([0.0, largest]))
    assert 3.0 <= observer.range() <= 3.0 * (1 + 2 / 64)


def test_percentile_counts_the_zeros_seen_before_anything_else() -> None:
    observer = Percentile(50, bins=64)
    observer.update(torch.zeros(98))
    observer.update(torch.tensor([1.0, 1.0]))
    assert observer.range() < 0.05


@pytest.mark.parametrize("name", sorted(OBSERVERS))
def test_zeros_have_no_range(name: str) -> None:
    observer = get_observer(name)()
    observer.update(torch.zeros(10))
    assert observer.range() == pytest.approx(0, abs=1e-3)
    observer.update(torch.zeros(10))
    assert observer.range() < 1.0


def test_percentile_grows_over_many_orders_of_magnitude() -> None:
    observer = Percentile(100, bins=64)
    observer.update(torch.tensor([1e-38]))
    observer.update(torch.tensor([1e38]))
    assert 1e38 <= observer.range() <= 1.1e38


def test_moving_average_has_momentum_0_95_and_starts_at_the_first_batch() -> None:
    observer = ExponentialMovingAverage()
    for largest in (2.0, 4.0, 1.0):
        observer.update(torch.tensor([0.5, largest]))
    assert observer.range() == pytest.approx(0.95 * (0.95 * 2 + 0.05 * 4) + 0.05 * 1)


def test_min_max_is_the_largest_magnitude() -> None:
    observer = MinMax()
    for largest in (2.0, 4.0, 1.0):
        observer.update(torch.tensor([0.5, largest]))
    assert observer.range() == 4.0


def test_unknown_calibration_names_the_near_one() -> None:
    with pytest.raises(CalibrationError, match="did you mean percentile"):
        get_observer("percentil")
    with pytest.raises(CalibrationError, match="ema or min-max or percentile"):
        get_observer("zzz")


@pytest.mark.parametrize("calibration", sorted(OBSERVERS))
def test_padding_does_not_count(calibration: str, classifier: FloatModel) -> None:
    batch = make_batch(pad=0, lengths=(5, 5))
    extra = [(0, 0), (0, 9)]
    padded = Batch(
        batch.rows,
        # A padding id with embeddings of its own, so that its activations would show.
        np.pad(batch.input_ids, extra, constant_values=7),
        np.pad(batch.attention_mask, extra),
        np.pad(batch.token_type_ids, extra, constant_values=1),
    )
    plain, with_padding = (calibrate(classifier, [each], calibration) for each in (batch, padded))
    assert plain.keys() == wide_activations(classifier.architecture).keys()
    assert with_padding == pytest.approx(plain, rel=1e-3)


def test_wide_activations_are_min_max(classifier: FloatModel) -> None:
    batches = [make_batch(pad=0, seed=seed) for seed in range(3)]
    largest, percentile = (calibrate(classifier, batches, name) for name in ("min-max", "percentile"))
    wide = wide_activations(classifier.architecture)
    assert all(percentile[name] == largest[name] for name, is_wide in wide.items() if is_wide)
    assert any(percentile[name] != largest[name] for name, is_wide in wide.items() if not is_wide)


def test_activation_that_is_not_finite_is_named(classifier: FloatModel) -> None:
    name = "layers.1.intermediate.weight"
    broken = replace(classifier, weights={**classifier.weights, name: np.full((28, 16), 3e38, np.float32)})
    with pytest.raises(CalibrationError, match=r"'layers\.1\.activation_input' is NaN or infinite"):
        calibrate(broken, [make_batch(pad=0)])


def test_nothing_to_calibrate_on(classifier: FloatModel) -> None:
    empty = make_batch(pad=0)
    empty = replace(empty, attention_mask=np.zeros_like(empty.attention_mask))
    for batches in ([], [empty]):
        with pytest.raises(CalibrationError, match="no sentences"):
            calibrate(classifier, batches)
