"""binarybert: splitting changes nothing, the integers compute what training saw, and how small its models are."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from intbert.compiler.model import Activation, Architecture, Quantization, QuantizedModel
from intbert.compiler.packing import Packing
from intbert.errors import SchemeError
from intbert.quantization.export import export
from intbert.quantization.float_model import FloatModel
from intbert.quantization.integers import activation
from intbert.quantization.methods import get_method
from intbert.quantization.scheme import Granularity, Scheme
from intbert.quantization.size import bits_reduction
from intbert.quantization.structure import encoder_linears, tensor_shapes, wide_activations
from intbert.quantization.training.learned_activations import LearnedActivations, at_least, least_squares
from intbert.quantization.training.lsq import learned_clip, learned_step
from intbert.quantization.training.narrowing import centered, most_important, narrowed
from intbert.quantization.training.one_bit import BinaryQuantization, BinaryWeights, TernaryQuantization, split_model
from intbert.quantization.training.student import Student

from ..models import Size
from .test_size import BERT_BASE, MINILM
from .training.tiny_task import (
    assert_agreement,
    batch_of,
    customized,
    export_untrained,
    integer_logits,
    quantized,
    tensors,
    tiny_task,
)

METHOD = get_method("binarybert")


def _labelled(model: FloatModel) -> dict[str, torch.Tensor]:
    batch = tensors(batch_of(model))
    return {**batch, "labels": (torch.arange(len(batch["input_ids"])) % 2).float()}


def _scheme(activation_bits: int, granularity: Granularity = Granularity.TENSOR) -> Scheme:
    return METHOD.customized(activation_bits=activation_bits, granularity=granularity)


def _narrow(model: FloatModel, relu: bool = False) -> FloatModel:
    narrow = centered(narrowed(model, most_important(model, [_labelled(model)], 0.5)))
    if relu:
        return replace(narrow, architecture=replace(narrow.architecture, activation=Activation.RELU))
    return narrow


def _observed(model: FloatModel, scheme: Scheme) -> LearnedActivations:
    if scheme.activation_bits == 8:
        return LearnedActivations(model.architecture, scheme, learned_clip, at_least(2.5))
    return LearnedActivations(model.architecture, scheme, learned_step, least_squares)


def untrained_binary(
    model: FloatModel, bits: int, granularity: Granularity = Granularity.TENSOR
) -> tuple[Student, QuantizedModel]:
    """The binary student of half the width of ``model`` as the splitting leaves it, and its integers."""
    narrow = _narrow(model, relu=bits == 4)
    scheme = _scheme(bits, granularity)
    per_row = granularity is Granularity.ROW
    halves, seconds = split_model(narrow, per_row)
    quantization = BinaryQuantization(narrow.architecture, _observed(narrow, scheme), per_row, seconds)
    return export_untrained(halves, scheme, quantization)


@pytest.mark.parametrize("granularity", Granularity, ids=lambda granularity: granularity.value)
@pytest.mark.parametrize("bits", [8, 4])
def test_splitting_does_not_change_what_the_student_computes(
    tmp_path: Path, bits: int, granularity: Granularity
) -> None:
    model = _narrow(tiny_task(tmp_path)[0], relu=bits == 4)
    scheme = _scheme(bits, granularity)
    per_row = granularity is Granularity.ROW
    batch = tensors(batch_of(model))
    # The same activations for both; what a float32 rounding moves over a threshold would be a whole step.
    observed = _observed(model, scheme)
    ternary = Student(model, TernaryQuantization(model.architecture, observed, per_row))
    ternary.fake_quantization.prepare(ternary, batch)
    halves, seconds = split_model(model, per_row)
    binary = Student(halves, BinaryQuantization(model.architecture, observed, per_row, seconds))
    for linear in encoder_linears(model.architecture):
        name = f"{linear.name}.weight"
        before = ternary.fake_quantization.weight(name, ternary.parameter(name))
        after = binary.fake_quantization.weight(name, binary.parameter(name))
        assert (before - after).abs().max() <= 1e-6 * before.abs().max()
        assert len(after.unique()) <= 3 or per_row
    with torch.no_grad():
        before, after = (student(**batch)["logits"] for student in (ternary, binary))
    assert (before - after).abs().max() < (1e-4 if bits == 8 else 0.5)


@pytest.mark.parametrize("granularity", Granularity, ids=lambda granularity: granularity.value)
@pytest.mark.parametrize("bits", [8, 4])
def test_the_integers_compute_what_training_saw(tmp_path: Path, bits: int, granularity: Granularity) -> None:
    model = tiny_task(tmp_path)[0]
    student, integer = untrained_binary(model, bits, granularity)
    assert_agreement(student, integer, decibels=20 if bits == 8 else 12)
    for linear in encoder_linears(student.architecture):
        weight = integer.weight(f"{linear.name}.weight")
        assert weight.packing == Packing(1, mid_rise=True)
        assert weight.values.shape == (linear.outputs, 2 * linear.inputs)
        assert integer.weight(f"{linear.name}.split").values.tolist() == list(range(linear.inputs))
    words = integer.weight("embeddings.word.weight")
    assert (words.packing, words.scale.shape) == (Packing(1, mid_rise=True), (model.architecture.vocabulary,))


def test_gradients_reach_both_halves(tmp_path: Path) -> None:
    model = _narrow(tiny_task(tmp_path)[0])
    halves, seconds = split_model(model, per_row=False)
    quantization = BinaryQuantization(model.architecture, _observed(model, _scheme(8)), False, seconds)
    student = Student(halves, quantization)
    batch = _labelled(model)
    quantization.prepare(student, batch)
    student(**batch)["loss"].backward()
    first = student.parameter("layers.0.intermediate.weight").grad
    second = quantization.seconds["layers__0__intermediate__weight"].grad
    assert first is not None
    assert second is not None
    assert first.abs().sum() > 0
    assert torch.equal(first, second)
    own = {id(parameter) for parameter in quantization.quantizer_parameters()}
    assert id(quantization.seconds["layers__0__intermediate__weight"]) not in own


def test_the_most_important_heads_and_neurons_stay(tmp_path: Path) -> None:
    model, _ = tiny_task(tmp_path)
    weights = {name: values.copy() for name, values in model.weights.items()}
    # Heads 1 and 2 of layer 0, and the odd neurons of layer 1, reach nothing.
    weights["layers.0.attention_output.weight"][:, 6:18] = 0
    weights["layers.1.output.weight"][:, 1::2] = 0
    model = replace(model, weights=weights)
    kept = most_important(model, [_labelled(model)], 0.5)
    assert kept.heads[0] == (0, 3)
    assert kept.neurons[1] == tuple(range(0, 40, 2))
    narrow = narrowed(model, kept)
    assert (narrow.architecture.heads, narrow.architecture.head_dim, narrow.architecture.intermediate) == (2, 6, 20)
    assert narrow.weights["layers.0.query.weight"].shape == (12, 24)
    # What is left out of those two blocks did nothing; with the other heads and neurons it is the same function.
    everything = replace(kept, heads=(kept.heads[0],) * 2, neurons=(kept.neurons[1],) * 2)
    assert narrowed(model, everything).architecture == narrow.architecture


def test_leaving_out_what_reaches_nothing_changes_nothing(tmp_path: Path) -> None:
    model, _ = tiny_task(tmp_path)
    weights = {name: values.copy() for name, values in model.weights.items()}
    for layer in range(2):
        weights[f"layers.{layer}.attention_output.weight"][:, 6:18] = 0
        weights[f"layers.{layer}.output.weight"][:, 1::2] = 0
    model = replace(model, weights=weights)
    batch = batch_of(model)
    np.testing.assert_allclose(_narrow(model).forward(batch), model.forward(batch), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("bits", [8, 4])
def test_trains_from_the_registry(tmp_path: Path, bits: int) -> None:
    model, training = tiny_task(tmp_path, Size(hidden=16, layers=1, heads=2, intermediate=24))

    def run() -> QuantizedModel:
        chosen = {"activation_bits": bits}
        return quantized(model, training, "binarybert", chosen, limit=16, width_epochs=1, logit_epochs=1)

    integer = run()
    assert np.isfinite(integer_logits(integer, batch_of(integer))).all()
    assert integer.architecture.activation is (Activation.RELU if bits == 4 else Activation.GELU)
    stages = ["width", "ternary-1-hidden", "ternary-2-logits", "binary-1-hidden", "binary-2-logits"]
    assert list(integer.provenance["training"]) == stages
    assert sorted(path.name for path in training.work.iterdir()) == sorted(stages)
    # A run that was killed in its last stage, ends with the same integers.
    for folder in (training.work / stages[-1]).glob("checkpoint-*"):
        shutil.rmtree(folder)
    again = run()
    assert again.activations == integer.activations
    for name, weight in integer.weights.items():
        np.testing.assert_array_equal(again.weights[name].values, weight.values)


@pytest.mark.parametrize("sizes", [MINILM, BERT_BASE], ids=["minilm", "bert-base"])
def test_24_times_smaller(sizes: Architecture) -> None:
    half = replace(sizes, heads=6, attention_width=sizes.hidden // 2, intermediate=sizes.intermediate // 2)
    scheme = _scheme(8)
    ones = {name: np.broadcast_to(np.float32(1), shape) for name, shape in tensor_shapes(half).items()}
    activations: dict[str, Quantization] = {
        name: activation(1.0, scheme.bits_of_activation(half, name)) for name in wide_activations(half)
    }
    quantizer = BinaryWeights(
        {f"{linear.name}.weight": ones[f"{linear.name}.weight"] for linear in encoder_linears(half)}, per_row=False
    )
    model = export(FloatModel(half, ones, 1e-12, "sizes"), scheme, activations, quantizer, quantizer)
    assert bits_reduction(sizes, model) >= 24


def test_an_odd_number_of_heads_is_refused(tmp_path: Path) -> None:
    model, training = tiny_task(tmp_path, Size(hidden=24, heads=3))
    with pytest.raises(SchemeError, match=r"binarybert halves the attention heads; .* has 3, an odd number"):
        quantized(model, training, "binarybert")


@pytest.mark.parametrize(
    ("kind", "bits", "few"), [("weight", 2, "1"), ("activation", 5, "4 or 8"), ("embedding", 8, "1")]
)
def test_bits_that_are_not_supported(kind: str, bits: int, few: str) -> None:
    with pytest.raises(SchemeError, match=f"binarybert supports {few} {kind} bits, not {bits}"):
        customized(METHOD, **{f"{kind}_bits": bits})


@pytest.mark.parametrize(("option", "value"), [("width_epochs", 0), ("logit_epochs", 0), ("clip", 0.0)])
def test_options_that_are_refused(option: str, value: float) -> None:
    with pytest.raises(SchemeError, match=f"{option} is {value}; it must be"):
        METHOD.parse_options({option: value})
