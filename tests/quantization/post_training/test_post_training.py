"""The methods from end to end on a tiny random model, and what they are made of that needs a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from intbert.compiler.model import HeadKind, Quantization, QuantizedModel
from intbert.errors import CalibrationError
from intbert.quantization import calibration
from intbert.quantization.float_model import FloatModel
from intbert.quantization.methods import METHODS
from intbert.quantization.post_training import moments
from intbert.quantization.post_training.aciq import AnalyticWeights
from intbert.quantization.post_training.clipping import Distribution, Spread
from intbert.quantization.post_training.fisher import fisher_diagonals
from intbert.quantization.post_training.moments import observe_channels, observe_spreads
from intbert.quantization.post_training.rounding_error import measure_rounding
from intbert.quantization.post_training.simulation import RoundedActivations, dequantized, rounded
from intbert.quantization.request import Calibration, Request
from intbert.quantization.scheme import Granularity
from intbert.quantization.structure import encoder_linears
from intbert.quantization.tokenization import Batch

from ...models import tiny_float_model
from ..checkpoints import make_batch

NAMES = ("lq", "aciq", "ocs", "brecq")
QUICK: dict[str, dict[str, Any]] = {"brecq": {"iterations": 3}}


@pytest.fixture(scope="module")
def model() -> FloatModel:
    return tiny_float_model("Bert", HeadKind.MEAN_POOLING)


@pytest.fixture(scope="module")
def batches(model: FloatModel) -> list[Batch]:
    return [make_batch(0, (16, 9, 4, 1), seed=number) for number in range(3)]


def quantize(name: str, model: FloatModel, batches: list[Batch], given: dict[str, Any] | None = None, **bits: Any):
    method = METHODS[name]
    options = method.parse_options({**QUICK.get(name, {}), **(given or {})})
    request = Request(model, method.customized(**bits), options, Calibration(batches, "min-max"))
    return method.quantize(request)


def error(quantized: QuantizedModel, model: FloatModel, batches: list[Batch]) -> float:
    """The squared error of the simulated model's outputs."""
    simulated, hook = dequantized(model, quantized), RoundedActivations(quantized.activations)
    return float(sum(np.square(simulated.forward(b, hook) - model.forward(b)).sum() for b in batches))


@pytest.mark.parametrize("granularity", list(Granularity), ids=lambda value: value.value)
@pytest.mark.parametrize("bits", [2, 3, 4, 7, 8])
@pytest.mark.parametrize("name", NAMES)
def test_integers_have_the_bits(
    name: str, bits: int, granularity: Granularity, model: FloatModel, batches: list[Batch]
):
    quantized = quantize(
        name, model, batches, weight_bits=bits, embedding_bits=bits, activation_bits=bits, granularity=granularity
    )
    for linear in encoder_linears(model.architecture):
        weight = quantized.weight(f"{linear.name}.weight")
        assert len(np.unique(weight.values)) <= 2**bits
        assert (None if weight.packing is None else weight.packing.bits) == (None if bits == 8 else bits)
        assert weight.scale.shape == ((linear.outputs,) if granularity is Granularity.ROW else ())
        assert quantized.activation(linear.input).bits == bits
    assert len(np.unique(quantized.weight("embeddings.word.weight").values)) <= 2**bits
    assert quantized.provenance["weight_bits"] == bits


@pytest.mark.parametrize("name", NAMES)
def test_more_bits_are_nearer(name: str, model: FloatModel, batches: list[Batch]):
    errors = [error(quantize(name, model, batches, weight_bits=bits), model, batches) for bits in (2, 4, 8)]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_calibrate_on(name: str, model: FloatModel):
    with pytest.raises(CalibrationError, match="no sentences"):
        quantize(name, model, [])


@pytest.mark.parametrize("name", ["aciq", "ocs", "brecq"])
def test_activations_that_are_not_finite(name: str, model: FloatModel, batches: list[Batch]):
    weights = dict(model.weights)
    weights["layers.0.query.bias"] = np.full_like(weights["layers.0.query.bias"], np.nan)
    with pytest.raises(CalibrationError, match="NaN or infinite"):
        quantize(name, replace(model, weights=weights), batches)


@pytest.mark.parametrize("distribution", ["laplace", "gauss", "auto"])
def test_aciq_of_few_bits_clips_activations(distribution: str, model: FloatModel, batches: list[Batch]):
    given = {"distribution": distribution, "keep_outliers": False}
    analytic = quantize("aciq", model, batches, given, activation_bits=3)
    observed = quantize("lq", model, batches, activation_bits=3)
    assert analytic.activation("layers.0.context").scale < observed.activation("layers.0.context").scale
    for name in ("layers.0.attention_hidden", "layers.0.activation_output"):
        assert analytic.activation(name).scale <= observed.activation(name).scale
    assert analytic.activation("layers.0.activation_output").zero_point < 0


def test_aciq_keeps_a_range_where_clipping_errs_more(model: FloatModel, batches: list[Batch]):
    kept = quantize("aciq", model, batches, activation_bits=8).activations
    clipped = quantize("aciq", model, batches, {"keep_outliers": False}, activation_bits=8).activations
    observed = quantize("lq", model, batches, activation_bits=8).activations
    names = {linear.input for linear in encoder_linears(model.architecture)}
    errors = measure_rounding(model, batches, {name: (kept[name], clipped[name], observed[name]) for name in names})
    for measured in errors.values():
        assert measured[0] == measured.min()


@pytest.mark.parametrize("granularity", list(Granularity), ids=lambda value: value.value)
def test_aciq_keeps_rows_with_outliers_that_matter(granularity: Granularity):
    weight = np.random.default_rng(0).normal(0, 0.1, (3, 200)).astype(np.float32)
    weight[:, 0] = 2.0
    clipped = AnalyticWeights(Distribution.GAUSS).scale("x", weight, 4, granularity)
    ignored = AnalyticWeights(Distribution.GAUSS, {"x": np.r_[0.0, np.ones(199)]}).scale("x", weight, 4, granularity)
    kept = AnalyticWeights(Distribution.GAUSS, {"x": np.r_[1e4, np.ones(199)]}).scale("x", weight, 4, granularity)
    np.testing.assert_array_equal(ignored, clipped)
    np.testing.assert_allclose(kept, 2 / 7)
    assert (clipped < 1 / 7).all()


def test_ocs_without_splits(model: FloatModel, batches: list[Batch]):
    quantized = quantize("ocs", model, batches, {"ratio": 0})
    assert not [name for name in quantized.weights if name.endswith(".split")]


@pytest.mark.parametrize("aware", [True, False])
def test_ocs_splits_the_share_of_channels(aware: bool, model: FloatModel, batches: list[Batch]):
    quantized = quantize("ocs", model, batches, {"ratio": 0.1, "aware": aware, "clip": False}, weight_bits=5)
    whole = quantize("ocs", model, batches, {"ratio": 0, "clip": False}, weight_bits=5)
    for linear in encoder_linears(model.architecture):
        split = quantized.weight(f"{linear.name}.split").values
        weight = quantized.weight(f"{linear.name}.weight")
        added = -(-linear.inputs // 10)
        assert (split.dtype, split.shape) == (np.int32, (added,))
        assert weight.values.shape == (linear.outputs, linear.inputs + added)
        assert (weight.scale <= whole.weight(f"{linear.name}.weight").scale * (1 + 1e-9)).all()


def test_brecq_is_nearer_than_the_nearest_integers(model: FloatModel, batches: list[Batch]):
    learned = quantize("brecq", model, batches, {"iterations": 60}, weight_bits=3)
    nearest = quantize("ocs", model, batches, {"ratio": 0}, weight_bits=3)
    assert error(learned, model, batches) < 0.8 * error(nearest, model, batches)


@pytest.mark.parametrize("given", [{}, {"fisher": True}, {"mixing": 0.5}, {"batch": 2}], ids=str)
def test_brecq_is_the_same_every_time(given: dict[str, Any], model: FloatModel, batches: list[Batch]):
    first, second = (quantize("brecq", model, batches, given) for _ in range(2))
    for name, weight in first.weights.items():
        np.testing.assert_array_equal(weight.values, second.weights[name].values)


@pytest.mark.parametrize("name", NAMES)
def test_sentences_are_observed_once_for_many_models(
    name: str, model: FloatModel, batches: list[Batch], monkeypatch: pytest.MonkeyPatch
):
    calls = []
    for module, observe in ((calibration, "calibrate"), (moments, "observe_channels"), (moments, "observe_spreads")):
        original = getattr(module, observe)
        counted = lambda *given, original=original, observe=observe: calls.append(observe) or original(*given)  # noqa: E731
        monkeypatch.setattr(module, observe, counted)
    method, options = METHODS[name], METHODS[name].parse_options(QUICK.get(name, {}))
    shared, other = Calibration(batches, "min-max"), Calibration(batches, "min-max")

    def quantized(bits: int, seen: Calibration, of: FloatModel) -> QuantizedModel:
        return method.quantize(Request(of, method.customized(weight_bits=bits), options, seen))

    first = quantized(8, shared, model)
    once = len(calls)
    fewer = quantized(3, shared, model)
    assert len(calls) == once
    assert_equal(first, quantized(8, other, model))
    assert_equal(fewer, quantized(3, other, model))
    assert len(calls) == 2 * once
    quantized(8, shared, replace(model))
    assert len(calls) == 3 * once


def assert_equal(first: QuantizedModel, second: QuantizedModel) -> None:
    assert first.activations == second.activations
    for name, weight in first.weights.items():
        np.testing.assert_array_equal(weight.values, second.weights[name].values)
        np.testing.assert_array_equal(weight.scale, second.weights[name].scale)


def test_moments_without_padding(model: FloatModel, batches: list[Batch]):
    name, rows = "layers.0.attention_hidden", []

    def keep(activation: str, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if activation == name and mask is not None:
            rows.append(values[mask != 0].numpy().astype(np.float64))
        return values

    for batch in batches:
        model.forward(batch, keep)
    values = np.concatenate(rows)
    channels = observe_channels(model, batches, [name])[name]
    np.testing.assert_allclose(channels.mean, values.mean(0))
    np.testing.assert_allclose(channels.square, np.square(values).mean(0))
    spread, expected = observe_spreads(model, batches, [name])[name], Spread.of(values)
    for moment in ("mean", "deviation", "sigma"):
        np.testing.assert_allclose(getattr(spread, moment), getattr(expected, moment), atol=1e-12)


@pytest.mark.parametrize(
    "head",
    [HeadKind.NONE, HeadKind.MEAN_POOLING, HeadKind.SEQUENCE_CLASSIFICATION, HeadKind.TOKEN_CLASSIFICATION],
    ids=lambda head: head.value,
)
def test_fisher_weights_are_one_on_average(head: HeadKind, batches: list[Batch]):
    model = tiny_float_model("Bert", head)
    (layer,) = fisher_diagonals(model, batches)
    values = torch.cat(
        [w[torch.from_numpy(batch.attention_mask) != 0].flatten() for w, batch in zip(layer, batches, strict=True)]
    )
    assert values.mean() == pytest.approx(1, rel=1e-4)
    assert (values >= 0).all()
    if head is HeadKind.SEQUENCE_CLASSIFICATION:  # reads the first token alone
        assert all((w[:, 1:] == 0).all() for w in layer)
    else:
        assert values.std() > 0


def test_rounded_activations_pass_gradients_inside_the_range():
    values = torch.tensor([-9.0, -0.26, 0.24, 0.9, 9.0], requires_grad=True)
    result = rounded(values, Quantization(scale=0.5, bits=3, zero_point=-1))
    assert result.tolist() == [-1.0, -0.5, 0.0, 1.0, 2.0]
    result.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 1, 1, 1, 0]
