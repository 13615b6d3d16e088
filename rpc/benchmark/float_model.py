"""The float32 model of an architecture in PyTorch: what an integer model of the same architecture is compared with.

Its weights are random, for the time does not depend on them, and an artifact does not have the trained ones. Its
steps have the names of the operators that do the same in an artifact, so that both can be compared one by one. It is
as fast as eager PyTorch is: queries, keys and values are one product, attention is one fused call, and there is no
mask, as transformers leaves out one that hides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from ...compiler.model import Activation, Architecture, HeadKind

if TYPE_CHECKING:
    from torch import Tensor

Function = Callable[["Tensor"], "Tensor"]

_ACTIVATIONS: dict[Activation, Function] = {
    Activation.GELU: F.gelu,
    Activation.RELU: F.relu,
    Activation.TANH: torch.tanh,
}
_LABELS = {HeadKind.QUESTION_ANSWERING: 2}
_EPSILON = 1e-12
_STANDARD_DEVIATION = 0.02
"""Of the weights, as BERT's are initialized: no value becomes so small that it slows a processor down."""


class FloatModel:
    """``steps``: what is computed one after the other, each from the last value; the first from ids [batch, length]."""

    def __init__(self, architecture: Architecture) -> None:
        self._random = torch.Generator().manual_seed(0)
        self._architecture = architecture
        self._word = self._weights(architecture.vocabulary, architecture.hidden)
        self.steps = [*self._embeddings(), *self._encoder(), *self._head()]

    def run(self, ids: Tensor) -> Tensor:
        """The output."""
        with torch.inference_mode():
            value = ids
            for _, step in self.steps:
                value = step(value)
            return value

    def times(self, ids: Tensor) -> dict[str, float]:
        """The milliseconds of each step of one inference."""
        found: dict[str, float] = {}
        with torch.inference_mode():
            value = ids
            for name, step in self.steps:
                start = time.perf_counter_ns()
                value = step(value)
                found[name] = (time.perf_counter_ns() - start) / 1e6
        return found

    def _embeddings(self) -> Iterator[tuple[str, Function]]:
        architecture, word = self._architecture, self._word
        position = self._weights(architecture.positions, architecture.hidden)
        types = self._weights(max(architecture.token_types, 1), architecture.hidden)

        def embed(ids: Tensor) -> Tensor:
            value = F.embedding(ids, word) + position[: ids.shape[1]]
            return value + types[0] if architecture.token_types else value

        yield "embeddings", embed
        yield "embeddings.norm", self._norm()

    def _encoder(self) -> Iterator[tuple[str, Function]]:
        for number in range(self._architecture.layers):
            yield from self._layer(f"layers.{number}")

    def _layer(self, name: str) -> Iterator[tuple[str, Function]]:
        architecture = self._architecture
        hidden, heads, head_dim = architecture.hidden, architecture.heads, architecture.head_dim
        activation = _ACTIVATIONS[architecture.activation]
        residual: list[Any] = [None]  # the value that the next product is added to

        def keep(function: Function) -> Function:
            def kept(value: Tensor) -> Tensor:
                residual[0] = value
                return function(value)

            return kept

        def added(function: Function) -> Function:
            return lambda value: function(value) + residual[0]

        def attend(value: Tensor) -> Tensor:
            batch, length, _ = value.shape
            query, key, context = value.view(batch, length, 3, heads, head_dim).permute(2, 0, 3, 1, 4)
            output = F.scaled_dot_product_attention(query, key, context)
            return output.transpose(1, 2).reshape(batch, length, heads * head_dim)

        inner = self._linear(architecture.intermediate, hidden)
        yield f"{name}.query_key_value", keep(self._linear(3 * heads * head_dim, hidden))
        yield f"{name}.attention", attend
        yield f"{name}.attention_output", added(self._linear(hidden, heads * head_dim))
        yield f"{name}.attention_norm", self._norm()
        yield f"{name}.intermediate", keep(lambda value: activation(inner(value)))
        yield f"{name}.output", added(self._linear(hidden, architecture.intermediate))
        yield f"{name}.output_norm", self._norm()

    def _head(self) -> Iterator[tuple[str, Function]]:
        architecture, head = self._architecture, self._architecture.head
        hidden = architecture.hidden
        if head.kind is HeadKind.NONE:
            return
        if head.kind is HeadKind.MEAN_POOLING:
            yield "head.mean_pooling", lambda value: value.mean(1)
            return
        if head.kind is HeadKind.MASKED_LM:
            transform, activation, word = (
                self._linear(hidden, hidden),
                _ACTIVATIONS[architecture.activation],
                self._word,
            )
            yield "head.transform", lambda value: activation(transform(value))
            yield "head.transform_norm", self._norm()
            yield "head.decoder", lambda value: F.linear(value, word)
            return
        if head.kind is HeadKind.SEQUENCE_CLASSIFICATION:
            yield "head.first_token", lambda value: value[:, 0]
        if head.pooler_activation is not None:
            yield "head.pooler", self._linear(hidden, hidden)
            yield f"head.{head.pooler_activation.value}", _ACTIVATIONS[head.pooler_activation]
        yield "head.classifier", self._linear(_LABELS.get(head.kind, max(len(head.labels), 1)), hidden)

    def _linear(self, channels: int, inputs: int) -> Function:
        weight, bias = self._weights(channels, inputs), self._weights(channels)
        return lambda value: F.linear(value, weight, bias)

    def _norm(self) -> Function:
        shape = (self._architecture.hidden,)
        gamma, beta = self._weights(*shape) + 1, self._weights(*shape)
        return lambda value: F.layer_norm(value, shape, gamma, beta, _EPSILON)

    def _weights(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._random) * _STANDARD_DEVIATION
