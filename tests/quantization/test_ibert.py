"""What post-training I-BERT writes: names, dtypes, scales, and how near the integers are to the floats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from intbert.compiler.model import QuantizedModel, WeightTensor
from intbert.compiler.model_files import load, save
from intbert.errors import CalibrationError, CheckpointError, InputError, QuantizedModelError, SchemeError
from intbert.quantization import FloatModel, demo_model_folder, integers, load_float_model, quantize
from intbert.quantization.calibration import calibrate
from intbert.quantization.export import HEADROOM
from intbert.quantization.methods import METHODS
from intbert.quantization.request import Calibration, Request
from intbert.quantization.scheme import Granularity
from intbert.quantization.structure import linears, tensor_shapes, wide_activations
from intbert.quantization.weights import MinMaxWeights, quantize_linear
from numpy.typing import NDArray
from torch import Tensor

from .checkpoints import FAMILIES, HEADS, SENTENCES, make_batch, make_model, save_model

T = TypeVar("T")


@pytest.fixture(scope="module")
def classifier() -> FloatModel:
    return load_float_model(make_model("Bert", "ForSequenceClassification"))


def quantized(model: FloatModel) -> QuantizedModel:
    architecture = model.architecture
    batches = [
        make_batch(architecture.pad_token_id, token_types=architecture.token_types, seed=seed) for seed in range(4)
    ]
    return METHODS["ibert"].quantize(Request(model, METHODS["ibert"].scheme, calibration=Calibration(batches)))


def floats(weight: WeightTensor) -> NDArray[np.float64]:
    """The real values of an integer tensor."""
    scale = weight.scale if weight.scale.ndim == 0 else weight.scale.reshape(-1, *[1] * (weight.values.ndim - 1))
    return weight.values * scale


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", HEADS)
def test_every_tensor_and_activation_is_there(family: str, head: str) -> None:
    model = load_float_model(make_model(family, head))
    result = quantized(model)
    shapes = tensor_shapes(model.architecture)
    assert {name: weight.values.shape for name, weight in result.weights.items()} == shapes
    kinds = {"weight": np.int8, "gamma": np.int16, "beta": np.int16, "bias": np.int32}
    for name, weight in result.weights.items():
        assert weight.values.dtype == kinds[name.rpartition(".")[2]], name
        assert weight.scale.dtype == np.float64, name
    wide = wide_activations(model.architecture)
    assert {name: value.bits for name, value in result.activations.items()} == {
        name: 15 if is_wide else 8 for name, is_wide in wide.items()
    }


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", HEADS)
def test_integers_are_near_the_floats(family: str, head: str) -> None:
    model = load_float_model(make_model(family, head))
    result = quantized(model)
    for name, weight in result.weights.items():
        bound = weight.scale if weight.scale.ndim == 0 else weight.scale.reshape(-1, *[1] * (weight.values.ndim - 1))
        error = np.abs(floats(weight) - model.weights[name])
        assert (error <= bound * 0.5001).all(), name
        assert weight.values.min() >= -np.iinfo(weight.values.dtype).max, name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", HEADS)
def test_rounded_model_computes_nearly_the_same(family: str, head: str) -> None:
    model = load_float_model(make_model(family, head))
    result = quantized(model)
    weights = {name: floats(weight).astype(np.float32) for name, weight in result.weights.items()}

    def round_to_scale(name: str, values: Tensor, mask: Tensor | None) -> Tensor:
        if name not in result.activations:
            return values
        quantization = result.activations[name]
        limits = -quantization.limit, quantization.limit
        return torch.clamp(torch.round(values / quantization.scale), *limits) * quantization.scale

    batch = make_batch(model.architecture.pad_token_id, token_types=model.architecture.token_types, seed=9)
    expected = model.forward(batch)
    found = replace(model, weights=weights).forward(batch, round_to_scale)
    if found.ndim == 3:
        expected, found = expected[batch.attention_mask == 1], found[batch.attention_mask == 1]
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert error < 0.06


def test_scales_of_the_activations(classifier: FloatModel) -> None:
    batches = [make_batch(pad=0, seed=seed) for seed in range(3)]
    ranges = calibrate(classifier, batches, "min-max")
    activations = (
        METHODS["ibert"]
        .quantize(Request(classifier, METHODS["ibert"].scheme, calibration=Calibration(batches, "min-max")))
        .activations
    )
    name = "layers.0.attention_hidden"
    assert activations[name].scale == pytest.approx(ranges[name] / 127)
    name = "layers.0.attention_stream"
    assert activations[name].scale == pytest.approx(ranges[name] * HEADROOM / 16383)


def test_scales_of_the_linears(classifier: FloatModel) -> None:
    result = quantized(classifier)
    for linear in linears(classifier.architecture):
        weight, bias = result.weights[f"{linear.name}.weight"], result.weights[f"{linear.name}.bias"]
        # One scale for the logits, one per output channel elsewhere.
        assert weight.scale.shape == (() if linear.name == "head.classifier" else (linear.outputs,))
        np.testing.assert_allclose(bias.scale, result.activations[linear.input].scale * weight.scale, rtol=1e-12)


def test_linears_read_what_the_forward_gives_them(classifier: FloatModel) -> None:
    """Zeroing the activation that a linear is said to read leaves its bias as its output."""
    outputs = {
        "query": "query",
        "value": "value",
        "intermediate": "activation_input",
        "pooler": "pooler_input",
    }
    batch = make_batch(pad=0)
    for linear in linears(classifier.architecture):
        prefix, _, kind = linear.name.rpartition(".")
        if kind not in outputs:
            continue
        seen: dict[str, Tensor] = {}

        def blank(
            name: str,
            values: Tensor,
            mask: Tensor | None,
            read: str = linear.input,
            seen: dict[str, Tensor] = seen,
        ) -> Tensor:
            seen[name] = values
            return torch.zeros_like(values) if name == read else values

        classifier.forward(batch, blank)
        found = seen[f"{prefix}.{outputs[kind]}"].numpy()
        bias = classifier.weights[f"{linear.name}.bias"]
        np.testing.assert_array_equal(found, np.broadcast_to(bias, found.shape), err_msg=linear.name)


@given(
    values=arrays.arrays(np.float32, (5, 7), elements=st.floats(-4, 4, width=32)),
    bias=arrays.arrays(np.float32, 5, elements=st.floats(-100, 100, width=32)),
    shrink=arrays.arrays(np.float32, 5, elements=st.sampled_from([0.0, 1e-30, 1e-12, 1e-4, 1.0])),
    input_scale=st.sampled_from([1e-6, 1e-3, 0.1, 10.0]),
)
def test_rows_of_any_magnitude_have_a_bias_that_fits(
    values: NDArray[np.float32], bias: NDArray[np.float32], shrink: NDArray[np.float32], input_scale: float
) -> None:
    values = values * shrink[:, None]
    tensors = quantize_linear(MinMaxWeights(), "linear", values, bias, input_scale, 8, Granularity.ROW)
    weight, integer_bias = tensors["linear.weight"], tensors["linear.bias"]
    assert (np.abs(integer_bias.values.astype(np.int64)) <= integers.BIAS_LIMIT).all()
    assert (np.abs(floats(integer_bias) - bias) <= 0.5001 * integer_bias.scale).all()
    # Rounding a row costs no more than rounding the row with the largest scale does.
    assert (np.abs(floats(weight) - values) <= 0.5001 * weight.scale.max()).all()
    assert weight.scale.max() / weight.scale.min() <= 2**16 * (1 + 1e-9)


def test_dead_channels(classifier: FloatModel) -> None:
    name = "layers.0.query"
    weight = classifier.weights[f"{name}.weight"].copy()
    weight[3] = 0
    dead = replace(classifier, weights={**classifier.weights, f"{name}.weight": weight})
    result = quantized(dead)
    assert not result.weights[f"{name}.weight"].values[3].any()
    bias = classifier.weights[f"{name}.bias"][3]
    assert floats(result.weights[f"{name}.bias"])[3] == pytest.approx(bias, rel=1e-6)


def test_all_zero_tensors_and_activations(classifier: FloatModel) -> None:
    zeros = {name: np.zeros_like(array) for name, array in classifier.weights.items() if name.startswith("layers.0.")}
    result = quantized(replace(classifier, weights={**classifier.weights, **zeros}))
    for name in zeros:
        assert not result.weights[name].values.any()
    assert result.activations["layers.0.query"].scale == pytest.approx(1 / 127)


def test_bias_that_does_not_fit_is_named(classifier: FloatModel) -> None:
    name = "head.classifier"
    changed = {
        f"{name}.weight": classifier.weights[f"{name}.weight"] * np.float32(1e-6),
        f"{name}.bias": np.array([1e6, 0], np.float32),
    }
    with pytest.raises(QuantizedModelError, match=r"head\.classifier: the bias 1e\+06 does not fit"):
        quantized(replace(classifier, weights={**classifier.weights, **changed}))


def test_quantize_a_folder(tmp_path: Path) -> None:
    folder = save_model(make_model("Bert", "ForSequenceClassification"), tmp_path / "my-bert")
    shown: list[tuple[str, int]] = []

    def progress(iterable: Iterable[T], description: str, total: int) -> Iterable[T]:
        for item in iterable:
            shown.append((description, total))
            yield item

    result = quantize(folder, sentences=SENTENCES, calibration="ema", progress=progress)
    assert shown == [("calibrating", 1)]
    assert result.scheme == "ibert"
    assert result.tokenizer == folder
    assert result.provenance["source"] == "my-bert"
    assert result.provenance["calibration"] == "ema"
    assert result.provenance["calibration_sentences"] == len(SENTENCES)
    # No path of this machine travels with the model.
    assert str(tmp_path) not in str(result.provenance)


def test_round_trip_through_a_folder(tmp_path: Path) -> None:
    written = quantize(save_model(make_model("Roberta", "ForMaskedLM"), tmp_path), sentences=SENTENCES)
    (tmp_path / "quantized").mkdir()
    save(written, tmp_path / "quantized")
    read = load(tmp_path / "quantized")
    assert read.architecture == written.architecture
    assert read.activations == written.activations
    assert read.provenance == written.provenance
    assert read.weights.keys() == written.weights.keys()
    for name, weight in written.weights.items():
        np.testing.assert_array_equal(read.weights[name].values, weight.values, strict=True)
        np.testing.assert_array_equal(read.weights[name].scale, weight.scale, strict=True)


def test_quantize_is_deterministic(tmp_path: Path) -> None:
    folder = save_model(make_model("DistilBert", "ForMaskedLM"), tmp_path)
    first, second = (quantize(folder, sentences=SENTENCES) for _ in range(2))
    assert first.activations == second.activations
    for name, weight in first.weights.items():
        np.testing.assert_array_equal(weight.values, second.weights[name].values)


def test_quantize_a_model_in_memory(tmp_path: Path) -> None:
    model = make_model("Bert", "ForTokenClassification")
    folder = save_model(model, tmp_path)
    from_memory = quantize(model, sentences=SENTENCES, tokenizer=folder)
    assert from_memory.activations == quantize(folder, sentences=SENTENCES).activations
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        quantize(model, sentences=SENTENCES)


def test_pairs_calibrate_both_token_types(tmp_path: Path) -> None:
    folder = save_model(make_model("Bert", "ForSequenceClassification"), tmp_path)
    result = quantize(folder, sentences=[(SENTENCES[0], SENTENCES[1])], max_length=12)
    assert result.provenance["calibration_tokens"] == 12


def test_bad_arguments(tmp_path: Path) -> None:
    folder = save_model(make_model("Bert", "Model"), tmp_path)
    with pytest.raises(SchemeError, match="did you mean ibert"):
        quantize(folder, method="i-bert", sentences=SENTENCES)
    with pytest.raises(CalibrationError, match="no sentences"):
        quantize(folder, sentences=[])
    with pytest.raises(CalibrationError, match="did you mean min-max"):
        quantize(folder, sentences=SENTENCES, calibration="minmax")
    for length in (0, 3):
        with pytest.raises(InputError, match="max_length"):
            quantize(folder, sentences=SENTENCES, max_length=length)
    with pytest.raises(CheckpointError, match="no such folder"):
        quantize(tmp_path / "absent", sentences=SENTENCES)


def test_demonstration_model() -> None:
    result = quantize(demo_model_folder(), sentences=["A man is eating food.", "The stock market fell today."])
    assert sum(weight.values.nbytes for weight in result.weights.values()) < 24e6
    assert result.weights["layers.5.output.weight"].values.shape == (384, 1536)
