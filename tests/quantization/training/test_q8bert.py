"""Q8BERT: what was trained is what is exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from intbert.compiler import oracle
from intbert.compiler.model import HeadKind
from intbert.errors import SchemeError, TrainingError
from intbert.quantization.methods import get_method
from intbert.quantization.mixed import linear_inputs
from intbert.quantization.q8bert import loss_of
from intbert.quantization.request import Request
from intbert.quantization.structure import embeddings, linears
from intbert.quantization.training.eight_bit import EightBit
from intbert.quantization.training.finish import examples_of
from intbert.quantization.training.student import Student
from safetensors.torch import load_file

from ...models import tiny_float_model
from .tiny_task import batch_of, quantized, signal_to_noise, tensors, tiny_task


def test_weights_and_tables_have_the_scale_of_their_largest_magnitude() -> None:
    model = tiny_float_model("Bert", HeadKind.SEQUENCE_CLASSIFICATION)
    quantization = EightBit(model.architecture)
    names = {
        f"{name}.weight" for name in (*embeddings(model.architecture), *(li.name for li in linears(model.architecture)))
    }
    for name, array in model.weights.items():
        found = quantization.weight(name, torch.from_numpy(array)).numpy()
        scale = np.abs(array).max() / 127
        expected = np.rint(array / scale) * scale if name in names else array
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_the_rows_that_are_read_are_those_of_the_whole_table() -> None:
    quantization = EightBit(tiny_float_model("Bert", HeadKind.SEQUENCE_CLASSIFICATION).architecture)
    table = torch.randn(40, 24, requires_grad=True)
    ids = torch.tensor([[3, 3], [7, 0]])
    whole, rows = (
        quantization.weight("embeddings.word.weight", table)[ids],
        quantization.rows("embeddings.word.weight", table, ids),
    )
    assert torch.equal(whole, rows)
    gradients = [torch.autograd.grad((values * values).sum(), table)[0] for values in (whole, rows)]
    torch.testing.assert_close(*gradients)


def test_thresholds_are_a_moving_average_that_begins_with_the_first_batch() -> None:
    quantization = EightBit(tiny_float_model("Bert", HeadKind.SEQUENCE_CLASSIFICATION).architecture, decay=0.75)
    mask = torch.tensor([[1, 0]])
    batches = [torch.tensor([[[1.0, -4.0], [99.0, 0.0]]]), torch.tensor([[[8.0, 0.0], [0.0, -99.0]]])]
    first = quantization.activation("embeddings.output", batches[0], mask)
    assert quantization.ranges.range("embeddings.output") == 4.0
    assert first[0, 0].tolist() == pytest.approx([np.rint(127 / 4) * 4 / 127, -4.0])
    assert first[0, 1].tolist() == pytest.approx([4.0, 0.0])
    quantization.activation("embeddings.output", batches[1], mask)
    assert quantization.ranges.range("embeddings.output") == 0.75 * 4 + 0.25 * 8
    quantization.eval()
    quantization.activation("embeddings.output", batches[0], mask)
    assert quantization.activations()["embeddings.output"].scale == 5 / 127


def test_float_activations_stay_as_they_are() -> None:
    quantization = EightBit(tiny_float_model("Bert", HeadKind.SEQUENCE_CLASSIFICATION).architecture)
    values = torch.randn(2, 3, 24)
    for name in ("embeddings.sum", "layers.0.query", "layers.0.attention_stream", "layers.0.probabilities"):
        assert quantization.activation(name, values, None) is values


@pytest.mark.parametrize("integer_only", [False, True], ids=["mixed", "integer-only"])
def test_the_integer_model_computes_what_was_trained(tmp_path: Path, integer_only: bool) -> None:
    model, training = tiny_task(tmp_path)
    taught = {"labels": 0.0, "logits": 0.5, "hidden": 0.1} if integer_only else {}
    options = {"epochs": 4, "learning_rate": 1e-3, **taught}
    found = quantized(model, training, "q8bert", integer_only=integer_only, **options)
    assert (found.float_operators is None) == integer_only
    assert found.scheme == "q8bert"
    assert found.provenance["training"]["steps"] == 12
    student = Student(model, EightBit(model.architecture))
    checkpoint = training.work / "training" / "checkpoint-12" / "model.safetensors"
    student.load_state_dict(load_file(checkpoint))
    student.eval()
    for name in linear_inputs(model):
        assert found.activation(name) == student.fake_quantization.activations()[name]
    for linear in linears(model.architecture):
        trained = student.fake_quantization.weight(f"{linear.name}.weight", student.parameter(f"{linear.name}.weight"))
        weight = found.weight(f"{linear.name}.weight")
        assert not weight.scale.shape or linear.name == "head.pooler"
        if not weight.scale.shape:
            np.testing.assert_allclose(weight.values * weight.scale, trained.detach().numpy(), rtol=1e-5, atol=1e-7)
    batch = batch_of(model)
    with torch.no_grad():
        expected = student(**tensors(batch))["logits"].numpy()
    output = oracle.run(found, batch.input_ids, batch.attention_mask, batch.token_type_ids)
    logits = output * oracle.output_scale(found) if integer_only else output
    assert signal_to_noise(expected, logits) > 20
    # Where float32's own rounding moves no value over the half of a step, float operators agree to its precision.
    exact = (np.abs(expected - logits) < 1e-4).all(axis=1)
    assert integer_only or exact.sum() >= 4


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({}, set()),
        ({"logits": 1.0}, {"logits", "labels"}),
        ({"labels": 0.0, "hidden": 1.0}, {"hidden"}),
        ({"labels": 0.5, "hidden": 1.0, "logits": 1.0}, {"hidden", "logits", "labels"}),
    ],
    ids=lambda value: "-".join(sorted(value)) or "none",
)
def test_the_loss_is_what_the_options_weigh(tmp_path: Path, options: dict[str, float], parts: set[str]) -> None:
    model, training = tiny_task(tmp_path)
    method = get_method("q8bert")
    request = Request(model, method.scheme, method.parse_options(options), training=training)
    batch = {**tensors(batch_of(model)), "labels": torch.zeros(12)}
    value, found = loss_of(request, examples_of(request, request.options))(Student(model), batch)
    assert set(found) == parts
    assert value.item() == pytest.approx(sum(found.values()) if parts else Student(model)(**batch)["loss"].item())


def test_it_does_not_work_without_a_task() -> None:
    model = tiny_float_model("Bert", HeadKind.SEQUENCE_CLASSIFICATION)
    method = get_method("q8bert")
    with pytest.raises(TrainingError, match="the method q8bert trains; give a task and its data"):
        method.quantize(Request(model, method.scheme, method.parse_options({})))


def test_there_must_be_something_to_learn_from() -> None:
    with pytest.raises(SchemeError, match="nothing to learn from"):
        get_method("q8bert").parse_options({"labels": "0"})


def test_options_are_typed() -> None:
    method = get_method("q8bert")
    assert method.parse_options({"integer_only": "true", "epochs": "2"}).integer_only is True
    with pytest.raises(SchemeError, match="option integer_only of the method q8bert must be a bool"):
        method.parse_options({"integer_only": "maybe"})
