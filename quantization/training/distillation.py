"""Distillation losses: what a student should compute as its float teacher does, and how the terms add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from ...compiler.model import Architecture
from .student import Capture, Objective, Student
from .teacher import Teacher


@dataclass(frozen=True)
class Seen:
    """One forward of one batch: captured activations (see :mod:`intbert.quantization.forward`), logits, mask."""

    student: Student
    values: Mapping[str, Tensor]
    logits: Tensor
    mask: Tensor

    @property
    def architecture(self) -> Architecture:
        """The architecture of who was seen."""
        return self.student.architecture


class Term(Protocol):
    """One summand of a distillation loss."""

    @property
    def name(self) -> str:
        """What it is recorded as."""
        ...

    def activations(self, architecture: Architecture) -> list[str]:
        """The names of the activations that it compares."""
        ...

    def __call__(self, student: Seen, teacher: Seen) -> Tensor:
        """The loss, a scalar."""
        ...


@dataclass(frozen=True)
class Distillation:
    """The sum of ``terms``, a :data:`intbert.quantization.training.trainer.Loss`; with the task's own loss times
    ``labels``."""

    teacher: Teacher
    terms: Sequence[Term]
    labels: float = 0.0

    def __call__(self, student: Student, batch: Mapping[str, Tensor]) -> tuple[Tensor, Mapping[str, float]]:
        """The loss of ``batch``, and its terms."""
        architecture = self.teacher.student.architecture
        lesson = self.teacher(activations(self.terms, architecture), batch)
        taught = Seen(self.teacher.student, lesson.values, lesson.logits, batch["attention_mask"])
        seen = self._see(student, batch)
        parts = {term.name: term(seen, taught) for term in self.terms}
        if self.labels:
            parts["labels"] = self.labels * student.loss(seen.logits, batch["labels"])
        total = torch.stack(list(parts.values())).sum()
        return total, {name: part.item() for name, part in parts.items()}

    def _see(self, student: Student, batch: Mapping[str, Tensor]) -> Seen:
        capture = Capture(activations(self.terms, student.architecture))
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
        logits = student(**inputs, capture=capture)["logits"]
        return Seen(student, capture.values, logits, batch["attention_mask"])


def activations(terms: Iterable[Term], architecture: Architecture) -> set[str]:
    """The names of the activations that the terms compare."""
    return {name for term in terms for name in term.activations(architecture)}


@dataclass(frozen=True)
class HiddenStates:
    """The mean squared error of the embeddings' and every layer's output, over the tokens that are no padding.

    Jiao et al., "TinyBERT", 2020, equation 8; so KDLSQ-BERT (Jin et al. 2021) and BinaryBERT (Bai et al. 2021).
    """

    weight: float = 1.0
    name: str = "hidden"

    def activations(self, architecture: Architecture) -> list[str]:
        return ["embeddings.stream", *(f"layers.{layer}.output_stream" for layer in range(architecture.layers))]

    def __call__(self, student: Seen, teacher: Seen) -> Tensor:
        tokens = student.mask != 0
        errors = [
            functional.mse_loss(student.values[name][tokens], teacher.values[name][tokens])
            for name in self.activations(student.architecture)
        ]
        return self.weight * torch.stack(errors).sum()


@dataclass(frozen=True)
class AttentionScores:
    """The mean squared error of every layer's attention scores, over pairs of tokens that are no padding.

    TinyBERT, equation 7; BinaryBERT sets the scores of padding (below -100, once masked) to 0 on both sides.
    ``kept``: by layer, the teacher's heads that the student has; None: all.
    """

    weight: float = 1.0
    kept: Sequence[Sequence[int]] | None = None
    name: str = "scores"

    def activations(self, architecture: Architecture) -> list[str]:
        return [f"layers.{layer}.scores" for layer in range(architecture.layers)]

    def __call__(self, student: Seen, teacher: Seen) -> Tensor:
        pairs = _pairs(student.mask)
        errors = []
        for layer, name in enumerate(self.activations(student.architecture)):
            wanted = teacher.values[name]
            if self.kept is not None:
                wanted = wanted[:, list(self.kept[layer])]
            difference = (student.values[name] - wanted) * pairs
            errors.append(difference.square().sum() / (pairs.sum() * wanted.shape[1]))
        return self.weight * torch.stack(errors).sum()


@dataclass(frozen=True)
class LastAttention:
    """The divergence of the last layer's attention distributions.

    Wang et al., "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression", 2020, section 3.1.
    """

    weight: float = 1.0
    name: str = "attention"

    def activations(self, architecture: Architecture) -> list[str]:
        return [f"layers.{architecture.layers - 1}.scores"]

    def __call__(self, student: Seen, teacher: Seen) -> Tensor:
        (name,) = self.activations(student.architecture)
        return self.weight * divergence(student.values[name], teacher.values[name], student.mask)


@dataclass(frozen=True)
class ValueRelation:
    """The divergence of the last layer's value relations, ``softmax(V V^T / sqrt(d))`` of every head (MiniLM, 3.2)."""

    weight: float = 1.0
    name: str = "value relation"

    def activations(self, architecture: Architecture) -> list[str]:
        return [f"layers.{architecture.layers - 1}.value"]

    def __call__(self, student: Seen, teacher: Seen) -> Tensor:
        return self.weight * divergence(self._relations(student), self._relations(teacher), student.mask)

    def _relations(self, seen: Seen) -> Tensor:
        (name,) = self.activations(seen.architecture)
        values = seen.values[name]
        heads = values.view(*values.shape[:2], seen.architecture.heads, -1).transpose(1, 2)
        return heads @ heads.transpose(2, 3) / heads.shape[-1] ** 0.5


@dataclass(frozen=True)
class Logits:
    """The soft cross entropy of the logits at the temperature 1; the squared error of a score or a cosine."""

    weight: float = 1.0
    name: str = "logits"

    def activations(self, architecture: Architecture) -> list[str]:
        return []

    def __call__(self, student: Seen, teacher: Seen) -> Tensor:
        if student.student.objective is not Objective.CLASSIFICATION:
            return self.weight * functional.mse_loss(student.logits, teacher.logits)
        return self.weight * functional.cross_entropy(student.logits, torch.softmax(teacher.logits, dim=-1))


def divergence(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """The mean Kullback-Leibler divergence of ``softmax(student)`` from ``softmax(teacher)``, scores [B, h, T, T].

    Over the keys that ``mask`` [B, T] keeps; the mean is that of the heads and of the queries that it keeps.
    """
    padding = mask[:, None, None, :] == 0
    lowest = torch.finfo(student.dtype).min
    found = torch.log_softmax(student.masked_fill(padding, lowest), dim=-1)
    wanted = torch.log_softmax(teacher.masked_fill(padding, lowest), dim=-1)
    terms = (wanted.exp() * (wanted - found)).masked_fill(padding, 0).sum(-1)
    queries = mask[:, None, :].to(terms.dtype)
    return (terms * queries).sum() / (queries.sum() * terms.shape[1])


def _pairs(mask: Tensor) -> Tensor:
    """[B, 1, T, T]: 1 where both tokens count."""
    kept = mask.float()
    return kept[:, None, :, None] * kept[:, None, None, :]
