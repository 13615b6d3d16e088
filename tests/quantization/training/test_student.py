"""The student: the float model's forward, its objectives, and what can be captured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from intbert.compiler.model import HeadKind
from intbert.errors import TrainingError
from intbert.quantization.training.development import predict
from intbert.quantization.training.fake_quantization import (
    FakeQuantization,
    MovingRanges,
    fake_quantize,
    magnitude,
    rounded,
    straight_through,
)
from intbert.quantization.training.student import Capture, Objective, Student
from scipy.special import log_softmax

from ...models import tiny_float_model
from ..checkpoints import FAMILIES
from .tiny_task import batch_of, tensors, tiny_task


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", [HeadKind.MEAN_POOLING, HeadKind.SEQUENCE_CLASSIFICATION], ids=lambda head: head.value)
def test_without_quantization_it_is_the_float_model(family: str, head: HeadKind) -> None:
    model = tiny_float_model(family, head)
    batch = batch_of(model)
    inputs = tensors(batch)
    output = Student(model).encode(inputs["input_ids"], inputs["attention_mask"], inputs["token_type_ids"])
    found = output.detach().numpy()
    np.testing.assert_allclose(found, model.forward(batch), rtol=1e-5, atol=1e-6)


def test_the_float_model_comes_back() -> None:
    model = tiny_float_model("Bert", HeadKind.SEQUENCE_CLASSIFICATION)
    student = Student(model)
    with torch.no_grad():
        student.parameter("head.classifier.bias").add_(1)
    found = student.to_float_model()
    assert found.architecture == model.architecture
    changed = [name for name, array in found.weights.items() if not np.array_equal(array, model.weights[name])]
    assert changed == ["head.classifier.bias"]


def test_classification_is_trained_by_cross_entropy() -> None:
    model = tiny_float_model("Bert", HeadKind.SEQUENCE_CLASSIFICATION)
    batch = batch_of(model)
    labels = torch.arange(12) % 2
    found = Student(model)(**tensors(batch), labels=labels.to(torch.float32))
    expected = -log_softmax(model.forward(batch), axis=1)[np.arange(12), labels.numpy()].mean()
    assert found["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_one_label_is_a_regression() -> None:
    model = tiny_float_model("Bert", HeadKind.SEQUENCE_CLASSIFICATION)
    head = replace(model.architecture.head, labels=("score",))
    weights = {
        **model.weights,
        **{f"head.classifier.{k}": model.weights[f"head.classifier.{k}"][:1] for k in ("weight", "bias")},
    }
    model = replace(model, architecture=replace(model.architecture, head=head), weights=weights)
    batch, labels = batch_of(model), torch.linspace(0, 5, 12)
    found = Student(model)(**tensors(batch), labels=labels)["loss"].item()
    assert found == pytest.approx(np.square(model.forward(batch)[:, 0] - labels.numpy()).mean(), rel=1e-5)


def test_mean_pooling_is_trained_by_the_cosine_of_the_batchs_halves() -> None:
    model = tiny_float_model("Bert", HeadKind.MEAN_POOLING)
    batch, labels = batch_of(model), torch.linspace(0, 5, 6)
    found = Student(model)(**tensors(batch), labels=labels)
    embeddings = model.forward(batch)  # of unit length
    cosines = (embeddings[:6] * embeddings[6:]).sum(1)
    np.testing.assert_allclose(found["logits"].detach().numpy(), cosines, rtol=1e-4, atol=1e-5)
    assert found["loss"].item() == pytest.approx(np.square(cosines - labels.numpy() / 5).mean(), rel=1e-4)


@pytest.mark.parametrize("head", [HeadKind.NONE, HeadKind.TOKEN_CLASSIFICATION, HeadKind.QUESTION_ANSWERING])
def test_heads_with_outputs_per_token_are_refused(head: HeadKind) -> None:
    with pytest.raises(TrainingError, match="outputs per token"):
        Student(tiny_float_model("Bert", head))
    assert Objective.of(tiny_float_model("Bert", HeadKind.MEAN_POOLING).architecture) is Objective.SIMILARITY


class Halved(FakeQuantization):
    """Halves one activation."""

    def activation(self, name: str, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return values / 2 if name == "layers.0.output_stream" else values


def test_activations_are_captured_as_the_forward_goes_on_with_them() -> None:
    model = tiny_float_model("Bert", HeadKind.SEQUENCE_CLASSIFICATION)
    names = [f"layers.0.{name}" for name in ("scores", "probabilities", "query", "key", "value", "output_stream")]
    batch = tensors(batch_of(model))
    plain, halved = Capture(names), Capture(names)
    Student(model).encode(**batch, capture=plain)
    Student(model, Halved()).encode(**batch, capture=halved)
    assert list(plain.values) == ["layers.0.query", "layers.0.key", "layers.0.value", *names[:2], names[-1]]
    assert plain.values["layers.0.scores"].shape == (12, 3, 12, 12)
    assert torch.equal(plain.values["layers.0.output_stream"], 2 * halved.values["layers.0.output_stream"])


def test_predictions_come_in_the_order_of_the_texts(tmp_path: Path) -> None:
    model, _ = tiny_task(tmp_path)
    texts = ["the man plays with a red ball", "dog", "a woman runs in the park with the dog"]
    np.testing.assert_allclose(predict(Student(model), texts), model.predict(texts), rtol=1e-5, atol=1e-6)


def test_rounding_passes_the_gradient_and_saturation_stops_it() -> None:
    values = torch.tensor([-9.0, -0.6, 0.5, 1.5, 9.0], requires_grad=True)
    found = fake_quantize(values, 1.0, 3)
    assert found.tolist() == [-3.0, -1.0, 0.0, 2.0, 3.0]
    found.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 1, 1, 1, 0]
    assert rounded(values).tolist() == [-9, -1, 0, 2, 9]


def test_straight_through_is_the_replacement_itself() -> None:
    values = torch.tensor([1e8, 1.0], requires_grad=True)
    found = straight_through(values, torch.tensor([0.1, 0.2]), torch.tensor([True, False]))
    assert found.tolist() == torch.tensor([0.1, 0.2]).tolist()
    found.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [1, 0]


def test_magnitudes_leave_padding_out() -> None:
    values = torch.tensor([[[1.0, -2.0], [50.0, -60.0]]])
    assert magnitude(values, torch.tensor([[1, 0]])).item() == 2
    assert magnitude(values, None).item() == 60


def test_moving_ranges_survive_a_checkpoint() -> None:
    ranges = MovingRanges(["a", "b"], 0.5)
    ranges.update("a", torch.full((1, 1, 2), 4.0), None)
    ranges.update("a", torch.full((1, 1, 2), -8.0), None)
    restored = MovingRanges(["a", "b"], 0.5)
    restored.load_state_dict(ranges.state_dict())
    assert restored.as_dict() == {"a": 6.0, "b": 0.0}
