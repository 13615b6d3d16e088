"""The teacher: what it remembers is what it computes, whatever the other texts of a batch are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from intbert.compiler.model import HeadKind
from intbert.errors import TrainingError
from intbert.quantization.methods import get_method
from intbert.quantization.request import Request
from intbert.quantization.training.distillation import HiddenStates
from intbert.quantization.training.finish import examples_of
from intbert.quantization.training.student import Student
from intbert.quantization.training.teacher import Teacher
from intbert.quantization.training.teaching import teacher_of
from torch import Tensor

from ...models import tiny_float_model
from .tiny_task import batch_of, tensors, tiny_task

NAMES = ["embeddings.stream", "layers.0.scores", "layers.0.value"]
HEADS = [HeadKind.SEQUENCE_CLASSIFICATION, HeadKind.MEAN_POOLING]


class Counted(Teacher):
    """Counts the batches that are computed."""

    computed = 0

    def _compute(self, names: Collection[str], batch: Mapping[str, Tensor]) -> Any:
        self.computed += 1
        return super()._compute(names, batch)


def counted(head: HeadKind = HeadKind.SEQUENCE_CLASSIFICATION, memory: int = 2**20) -> Counted:
    return Counted(tiny_float_model("Bert", head), memory)


def rows_of(batch: Mapping[str, Tensor], rows: list[int], width: int) -> dict[str, Tensor]:
    """Some of the rows, cut or padded to ``width`` tokens."""
    longest = batch["input_ids"].shape[1]
    return {name: torch.nn.functional.pad(values[rows], (0, width - longest)) for name, values in batch.items()}


def sizes(teacher: Teacher, batch: Mapping[str, Tensor]) -> int:
    found = teacher(NAMES, batch)
    return sum(values.nbytes for values in (*found.values.values(), found.logits))


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.value)
def test_a_batch_is_computed_as_the_float_model_does(head: HeadKind) -> None:
    teacher = counted(head)
    batch = tensors(batch_of(teacher.student.model))
    lesson = teacher(NAMES, batch)
    torch.testing.assert_close(lesson.logits, Student(teacher.student.model)(**batch)["logits"])
    assert set(lesson.values) == set(NAMES)
    assert not any(values.requires_grad for values in (*lesson.values.values(), lesson.logits))


@pytest.mark.parametrize("width", [12, 15], ids=["as-wide", "wider"])
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.value)
def test_what_is_remembered_is_what_is_computed(head: HeadKind, width: int) -> None:
    teacher, forgetful = counted(head), counted(head, memory=0)
    batch = tensors(batch_of(teacher.student.model))
    teacher.remember(NAMES, [batch])
    forgetful.remember(NAMES, [batch])
    other = rows_of(batch, [7, 2, 2, 0, 11, 5], width)
    computed = forgetful.computed
    found, expected = teacher(NAMES, other), forgetful(NAMES, other)
    assert (teacher.computed, forgetful.computed) == (1, computed + 1)
    torch.testing.assert_close(found.logits, expected.logits)
    for name in NAMES:
        mask = other["attention_mask"] != 0
        kept = (mask[:, None, :, None] & mask[:, None, None, :]) if name.endswith("scores") else mask[:, :, None]
        assert found.values[name].shape == expected.values[name].shape
        torch.testing.assert_close(found.values[name] * kept, expected.values[name] * kept)


def test_a_text_or_an_activation_that_is_not_remembered_is_computed() -> None:
    teacher = counted()
    batch = tensors(batch_of(teacher.student.model))
    teacher.remember(NAMES[:1], [rows_of(batch, [0, 1, 2], 12)])
    for names, rows in (([], [0, 2]), (NAMES[:1], [1]), (NAMES[1:], [0, 1]), ([], [2, 3])):
        before = teacher.computed
        expected = Student(teacher.student.model)(**rows_of(batch, rows, 12))["logits"]
        torch.testing.assert_close(teacher(names, rows_of(batch, rows, 12)).logits, expected)
        assert teacher.computed - before == (names == NAMES[1:] or 3 in rows)


def test_rows_that_are_not_remembered_are_computed_among_those_that_are() -> None:
    teacher, forgetful = counted(), counted(memory=0)
    batch = tensors(batch_of(teacher.student.model))
    teacher.remember(NAMES, [rows_of(batch, [4, 5, 6], 12)])
    mixed = rows_of(batch, [0, 5, 1, 4], 12)
    found, expected = teacher(NAMES, mixed), forgetful(NAMES, mixed)
    assert teacher.computed == 2
    torch.testing.assert_close(found.logits, expected.logits)
    tokens = mixed["attention_mask"] != 0
    for name in ("embeddings.stream", "layers.0.value"):
        torch.testing.assert_close(found.values[name][tokens], expected.values[name][tokens])


def test_token_types_tell_texts_apart() -> None:
    teacher = counted()
    batch = tensors(batch_of(teacher.student.model))
    teacher.remember([], [batch])
    other = {**batch, "token_type_ids": 1 - batch["token_type_ids"]}
    teacher([], other)
    assert teacher.computed == 2


def test_the_memory_of_the_options_is_the_teachers(tmp_path: Path) -> None:
    model, training = tiny_task(tmp_path)
    method = get_method("kdlsq")
    terms = (HiddenStates(),)

    def remembered(memory: int, epochs: int) -> int:
        options = method.parse_options({"teacher_memory": memory})
        request = Request(model, method.scheme, options, training=training)
        return len(teacher_of(request, options, examples_of(request, options), terms, epochs)._batches)

    assert (remembered(0, 2), remembered(1, 2), remembered(1, 1)) == (0, 2, 0)
    with pytest.raises(TrainingError, match="teacher_memory is -1"):
        method.parse_options({"teacher_memory": -1})


def test_memory_is_filled_in_the_order_of_the_batches() -> None:
    batch = tensors(batch_of(counted().student.model))
    first, second = rows_of(batch, [0, 1, 2], 12), rows_of(batch, [3, 4, 5], 12)
    teacher = counted(memory=sizes(counted(), first))
    teacher.remember(NAMES, [first, second])
    assert teacher.computed == 2
    teacher(NAMES, first)
    assert teacher.computed == 2
    teacher(NAMES, second)
    assert teacher.computed == 3
