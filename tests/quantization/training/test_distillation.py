"""Distillation: nothing to learn from oneself, padding does not count, and each term is its formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from intbert.compiler.model import HeadKind
from intbert.quantization.float_model import FloatModel
from intbert.quantization.training.distillation import (
    AttentionScores,
    Distillation,
    HiddenStates,
    LastAttention,
    Logits,
    Term,
    ValueRelation,
    divergence,
)
from intbert.quantization.training.narrowing import Kept, narrowed
from intbert.quantization.training.student import Student
from intbert.quantization.training.teacher import Teacher

from ...models import Size, tiny_float_model
from .tiny_task import batch_of, tensors

TERMS = [HiddenStates(), AttentionScores(), LastAttention(), ValueRelation(), Logits()]
SIZE = Size(hidden=24, layers=2, heads=4, intermediate=40)


def _model(seed: int = 0, head: HeadKind = HeadKind.SEQUENCE_CLASSIFICATION) -> FloatModel:
    return tiny_float_model("Bert", head, SIZE, seed=seed)


def _batch(model: FloatModel) -> dict[str, torch.Tensor]:
    batch = tensors(batch_of(model))
    return {**batch, "labels": (torch.arange(len(batch["input_ids"])) % 2).float()}


def _loss(term: Term, student: FloatModel, teacher: FloatModel, batch: dict[str, torch.Tensor]) -> float:
    with torch.no_grad():
        return Distillation(Teacher(teacher), [term])(Student(student), batch)[0].item()


@pytest.mark.parametrize("term", TERMS[:-1], ids=lambda term: term.name)
def test_there_is_nothing_to_learn_from_oneself(term: Term) -> None:
    model = _model()
    assert _loss(term, model, model, _batch(model)) == pytest.approx(0, abs=1e-6)
    assert _loss(term, model, _model(1), _batch(model)) > 0.01


def test_the_logits_cross_entropy_is_least_at_the_teachers() -> None:
    model = _model()
    batch = _batch(model)
    probabilities = torch.softmax(torch.from_numpy(model.forward(batch_of(model))), dim=-1)
    entropy = -(probabilities * probabilities.log()).sum(-1).mean().item()
    assert _loss(Logits(), model, model, batch) == pytest.approx(entropy, rel=1e-5)
    assert _loss(Logits(), model, _model(1), batch) > entropy


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_padding_does_not_count(term: Term) -> None:
    student, teacher = _model(), _model(1)
    batch = _batch(student)
    other = {name: values.clone() for name, values in batch.items()}
    other["input_ids"][batch["attention_mask"] == 0] = 7
    wide = {
        name: values if values.ndim == 1 else torch.nn.functional.pad(values, (0, 3)) for name, values in batch.items()
    }
    expected = _loss(term, student, teacher, batch)
    assert _loss(term, student, teacher, other) == pytest.approx(expected, rel=1e-4)
    assert _loss(term, student, teacher, wide) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_weights_multiply_and_gradients_reach_the_student_only(term: Term) -> None:
    model = _model()
    student, teacher, batch = Student(model), Teacher(_model(1)), _batch(model)
    once = Distillation(teacher, [term])(student, batch)[0]
    twice = Distillation(teacher, [replace(term, weight=2.0)])(student, batch)[0]  # type: ignore[type-var]
    assert twice.item() == pytest.approx(2 * once.item(), rel=1e-5)
    once.backward()
    gradient = student.parameter("layers.1.value.weight" if term.name == "value relation" else "layers.0.query.weight")
    assert gradient.grad is not None
    assert gradient.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in teacher.student.parameters())


def test_terms_and_labels_add_up_and_are_recorded() -> None:
    model = _model()
    student, teacher, batch = Student(model), Teacher(_model(1)), _batch(model)
    total, parts = Distillation(teacher, TERMS, labels=0.5)(student, batch)
    assert list(parts) == [*(term.name for term in TERMS), "labels"]
    assert total.item() == pytest.approx(sum(parts.values()), rel=1e-5)
    assert parts["labels"] == pytest.approx(0.5 * student(**batch)["loss"].item(), rel=1e-5)


def test_a_narrow_student_learns_the_scores_of_the_heads_that_it_has() -> None:
    model = _model()
    kept = Kept(((1, 3), (0, 2)), (tuple(range(40)),) * 2)
    narrow = narrowed(model, kept)
    term = AttentionScores(kept=kept.heads)
    # The first layer's heads are the teacher's; what the second one reads differs.
    with torch.no_grad():
        distillation = Distillation(Teacher(model), [term])
        seen, taught = (distillation._see(Student(each), _batch(model)) for each in (narrow, model))
    first = seen.values["layers.0.scores"] - taught.values["layers.0.scores"][:, [1, 3]]
    assert first.abs().max() < 1e-5
    assert _loss(term, narrow, model, _batch(model)) > 0


def test_the_divergence_is_that_of_the_distributions() -> None:
    random = np.random.default_rng(0)
    student, teacher = (random.normal(size=(2, 3, 4, 4)) for _ in range(2))
    mask = np.array([[1, 1, 1, 0], [1, 1, 0, 0]])
    rows = []
    for batch in range(2):
        length = mask[batch].sum()
        for head in range(3):
            for query in range(length):
                p, q = (np.exp(scores[batch, head, query, :length]) for scores in (teacher, student))
                p, q = p / p.sum(), q / q.sum()
                rows.append((p * np.log(p / q)).sum())
    found = divergence(torch.from_numpy(student), torch.from_numpy(teacher), torch.from_numpy(mask))
    assert found.item() == pytest.approx(np.mean(rows))


def test_scores_of_pairs_are_learned_by_their_squared_error() -> None:
    student, teacher = (_model(seed, HeadKind.MEAN_POOLING) for seed in (0, 1))
    batch = tensors(batch_of(student))
    with torch.no_grad():
        expected = (Student(student)(**batch)["logits"] - Student(teacher)(**batch)["logits"]).square().mean()
    assert _loss(Logits(), student, teacher, {**batch, "labels": torch.zeros(6)}) == pytest.approx(expected.item())
