"""Student: a float model whose parameters are trained, seen through a fake quantization."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...compiler.model import Architecture, HeadKind
from ...errors import TrainingError
from .. import structure
from ..float_model import FloatModel
from ..forward import Forward
from .fake_quantization import FakeQuantization

HIGHEST_SIMILARITY = 5.0
"""STS-B's label of two sentences that mean the same; it stands for the cosine 1."""


class Objective(Enum):
    """What a head is trained for."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    """One label: the score of a pair."""
    SIMILARITY = "similarity"
    """Mean pooling: the cosine of two sentences, each embedded alone."""

    @classmethod
    def of(cls, architecture: Architecture) -> Objective:
        """The objective of the architecture's head; TrainingError for one with outputs per token."""
        head = architecture.head
        if head.kind is HeadKind.MEAN_POOLING:
            return cls.SIMILARITY
        if head.kind is HeadKind.SEQUENCE_CLASSIFICATION:
            return cls.REGRESSION if len(head.labels) == 1 else cls.CLASSIFICATION
        raise TrainingError(
            f"a head of the kind {head.kind.value} has outputs per token and is not trained; "
            "take a model for sequence classification, or with mean pooling"
        )


@dataclass
class Capture:
    """Keeps activations of a forward, as it goes on with them, under their names (see :mod:`..forward`)."""

    names: Collection[str]
    values: dict[str, Tensor] = field(default_factory=dict)


class Student(nn.Module):
    """The parameters of a :class:`FloatModel`, and a forward through ``fake_quantization``."""

    def __init__(self, model: FloatModel, fake_quantization: FakeQuantization | None = None) -> None:
        """Copies the weights of ``model``."""
        super().__init__()
        self.architecture = model.architecture
        self.objective = Objective.of(model.architecture)
        self.model = model
        """The model as it was before training: its structure, its name, its tokenizer."""
        # A parameter's name has no dots.
        self._keys = {name: name.replace(".", "__") for name in model.weights}
        self.float_parameters = nn.ParameterDict(
            {key: nn.Parameter(torch.tensor(model.weights[name])) for name, key in self._keys.items()}
        )
        self._tables = {f"{name}.weight" for name in structure.embeddings(model.architecture)}
        self.fake_quantization = fake_quantization or FakeQuantization()

    def parameter(self, name: str) -> nn.Parameter:
        """The float parameter with the canonical name ``name``."""
        return self.float_parameters[self._keys[name]]  # type: ignore[return-value]

    def encode(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, capture: Capture | None = None
    ) -> Tensor:
        """The head's output, as :class:`Forward` computes it with the quantized weights and activations."""
        quantization = self.fake_quantization
        quantization.begin(self, input_ids, attention_mask, token_type_ids)

        def hook(name: str, values: Tensor, mask: Tensor | None) -> Tensor:
            values = quantization.activation(name, values, mask)
            if capture is not None and name in capture.names:
                capture.values[name] = values
            return values

        weights: dict[str, Any] = {
            name: _Table(quantization, name, self.parameter(name))
            if name in self._tables
            else quantization.weight(name, self.parameter(name))
            for name in self._keys
        }
        forward = Forward(self.architecture, weights, self.model.norm_epsilon, hook)
        return forward(input_ids, attention_mask, token_type_ids)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        labels: Tensor | None = None,
        capture: Capture | None = None,
    ) -> dict[str, Tensor]:
        """``logits``, and ``loss`` where there are ``labels``, for int64 ids, mask and types [B, T].

        Classification: logits [B, C], labels [B] int64, cross entropy. Regression: logits [B, 1], labels [B], mean
        squared error. Similarity: the batch's first half are the first sentences, its second half the second ones;
        logits [B / 2] are their cosines, labels [B / 2] from 0 to 5.
        """
        logits = self.logits(self.encode(input_ids, attention_mask, token_type_ids, capture))
        return {"logits": logits} if labels is None else {"loss": self.loss(logits, labels), "logits": logits}

    def logits(self, output: Tensor) -> Tensor:
        """What the objective's loss compares with labels, from the head's output of a batch."""
        return similarities(output) if self.objective is Objective.SIMILARITY else output

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The objective's loss, see :meth:`forward`."""
        if self.objective is Objective.CLASSIFICATION:
            return functional.cross_entropy(logits, labels.long())
        if self.objective is Objective.REGRESSION:
            return functional.mse_loss(logits[:, 0], labels.to(logits.dtype))
        return functional.mse_loss(logits, labels.to(logits.dtype) / HIGHEST_SIMILARITY)

    def to_float_model(self) -> FloatModel:
        """The float model with the parameters as they are now."""
        weights = {name: self.parameter(name).detach().cpu().numpy().copy() for name in self._keys}
        return replace(self.model, weights=weights)


@dataclass(frozen=True)
class _Table:
    """An embedding table of which only the rows that are read are quantized."""

    quantization: FakeQuantization
    name: str
    parameter: Tensor

    def __getitem__(self, ids: Tensor) -> Tensor:
        return self.quantization.rows(self.name, self.parameter, ids)


def similarities(embeddings: Tensor) -> Tensor:
    """The cosines [B / 2] of the first and the second half of ``embeddings`` [B, H]."""
    first, second = embeddings.chunk(2)
    return functional.cosine_similarity(first, second, dim=-1)
