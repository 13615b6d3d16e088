"""Training through the integer operators: its forward is the artifact's, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from intbert.compiler import oracle
from intbert.compiler.lowering import lower
from intbert.compiler.model import Activation, Head, HeadKind, QuantizedModel
from intbert.compiler.model_files import load, save
from intbert.quantization.export import export
from intbert.quantization.float_model import FloatModel
from intbert.quantization.methods import get_method
from intbert.quantization.training.student import Capture, Student
from intbert.quantization.training.through_integers import ThroughIntegers

from ...models import tiny_float_model
from .tiny_task import batch_of, integer_logits, quantized, tensors, tiny_task

SCHEME = get_method("ibert").scheme


def student_of(model: FloatModel) -> Student:
    student = Student(model, ThroughIntegers(model, SCHEME))
    student.fake_quantization.prepare(student, tensors(batch_of(model, seed=1)))
    return student


def exported(student: Student) -> QuantizedModel:
    return export(student.to_float_model(), SCHEME, student.fake_quantization.activations())


def classifier(family: str, relu: bool = False) -> FloatModel:
    return tiny_float_model(family, HeadKind.SEQUENCE_CLASSIFICATION, relu=relu)


MODELS = {
    "bert": lambda: classifier("Bert"),
    "bert-relu": lambda: classifier("Bert", relu=True),
    "roberta": lambda: classifier("Roberta"),
    "distilbert": lambda: classifier("DistilBert"),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_the_logits_are_those_of_the_integer_model(name: str, training: bool) -> None:
    model = MODELS[name]()
    student = student_of(model).train(training)
    integer = exported(student)  # before the forward: training moves the ranges on
    batch = batch_of(model)
    logits = student(**tensors(batch))["logits"].detach().numpy()
    assert np.array_equal(logits, integer_logits(integer, batch).astype(np.float32))


def test_they_still_are_after_steps_of_training() -> None:
    model = classifier("Bert")
    student = student_of(model).train()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.05)
    before = exported(student)
    for seed in range(3):
        batch = tensors(batch_of(model, seed))
        student(**batch, labels=torch.arange(len(batch["input_ids"])) % 2)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    batch = batch_of(model, seed=9)
    found = integer_logits(exported(student.eval()), batch).astype(np.float32)
    assert np.array_equal(student(**tensors(batch))["logits"].detach().numpy(), found)
    assert not np.array_equal(found, integer_logits(before, batch).astype(np.float32))


def test_embeddings_are_the_integer_models_before_their_length_is_divided_out() -> None:
    model = tiny_float_model("Bert", HeadKind.MEAN_POOLING)
    student = student_of(model).eval()
    batch, capture = batch_of(model), Capture(["head.pooled"])
    student(**tensors(batch), capture=capture)
    expected = integer_logits(exported(student), batch).astype(np.float32)
    assert np.array_equal(capture.values["head.pooled"].detach().numpy(), expected)


def test_every_activation_is_the_oracles() -> None:
    model = classifier("Bert")
    student = student_of(model).eval()
    batch = batch_of(model)
    integer = exported(student)
    graph = lower(integer)
    values = oracle.interpret(graph, batch.input_ids, batch.attention_mask, batch.token_type_ids)
    values |= {
        f"layers.0.{part}": columns
        for part, columns in zip(
            ("query", "key", "value"), np.split(values["layers.0.query_key_value"], 3, axis=1), strict=True
        )
    }
    names = [name for name in integer.activations if name in values]
    assert set(integer.activations) - set(names) == {"layers.0.activation_input"}  # inside the linear
    capture = Capture(names)
    student(**tensors(batch), capture=capture)
    for name in names:
        scale = graph.scales.get(name, integer.activation(name).scale)
        found = capture.values[name].detach().numpy().reshape(values[name].shape) / scale
        assert np.array_equal(np.rint(found), values[name]), name
        assert np.abs(found - values[name]).max() < 1e-2, name


def test_saturated_activations_pass_no_gradient() -> None:
    student = student_of(classifier("Bert")).eval()
    quantization = student.fake_quantization
    student(**tensors(batch_of(student.model)))
    quantization.begin(student, *tensors(batch_of(student.model)).values())
    scale = quantization.activations()["layers.0.context"].scale
    inside = torch.zeros((12, 12, 24))
    inside[..., ::2] = 127.4 * scale
    outside = inside.clone()
    outside[..., ::2] = -127.6 * scale
    for values, expected in ((inside, 1.0), (outside, 0.0)):
        values.requires_grad_(True)
        quantization.activation("layers.0.context", values, None).sum().backward()
        assert values.grad is not None
        assert (values.grad[..., ::2] == expected).all()
        assert (values.grad[..., 1::2] == 1).all()


def test_every_parameter_has_a_gradient() -> None:
    model = classifier("Bert")
    student = student_of(model).train()
    batch = tensors(batch_of(model))
    student(**batch, labels=torch.arange(12) % 2)["loss"].backward()
    silent = [name for name, p in student.float_parameters.items() if p.grad is None or not p.grad.abs().sum() > 0]
    assert [name for name in silent if not name.endswith("key__bias")] == []  # softmax ignores what keys share


def test_a_trained_model_is_what_its_provenance_says(tmp_path: Path) -> None:
    model, training = tiny_task(tmp_path)
    found = quantized(model, training, "ibert", epochs=6, learning_rate=3e-3)
    assert found.provenance["training"]["steps"] == 18
    score = found.provenance["development"]
    assert (score["metric"], score["n"]) == ("accuracy", 48)
    sentences = [line.split("\t") for line in (training.data / "SST-2" / "dev.tsv").read_text().splitlines()[1:]]
    batches = model.batches([text for text, _ in sentences])
    right = sum(
        int(row.argmax() == int(sentences[index][1]))
        for batch in batches
        for index, row in zip(batch.rows, integer_logits(found, batch), strict=True)
    )
    assert score["value"] == right / 48
    assert found.architecture == model.architecture
    (tmp_path / "saved").mkdir()
    save(found, tmp_path / "saved")
    assert load(tmp_path / "saved").provenance == found.provenance


def test_a_head_with_a_pooler_that_is_not_supported_never_trains(tmp_path: Path) -> None:
    model, training = tiny_task(tmp_path)
    head = Head(HeadKind.SEQUENCE_CLASSIFICATION, Activation.GELU, ("0", "1"))
    with pytest.raises(Exception, match="a pooler with gelu is not supported"):
        quantized(replace(model, architecture=replace(model.architecture, head=head)), training, "ibert")
    assert not list((training.work / "training").glob("checkpoint-*"))
