"""The float forward of every supported family and head, with a hook at every activation that is quantized."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from ..compiler.model import Activation, Architecture, HeadKind

Hook = Callable[[str, Tensor, Tensor | None], Tensor]
"""Called with an activation's name (see QuantizedModel), its values [B, T, C] or [B, C], and the mask [B, T]
(None for [B, C]); the forward goes on with what it returns. An observer returns the values as they are.

Beside the activations of QuantizedModel there are, for each layer, ``scores`` and ``probabilities`` [B, heads, T, T]
(mask: None): before the mask and the softmax, and after them. ``head.pooled`` [B, H] is the mean before its length
is divided out, ``head.logits`` what a classifier yields."""

_ACTIVATIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    Activation.GELU: functional.gelu,
    Activation.RELU: functional.relu,
    Activation.TANH: torch.tanh,
}


def untouched(name: str, values: Tensor, mask: Tensor | None) -> Tensor:
    """The hook that does nothing."""
    return values


class Forward:
    """One pass through the encoder and its head. ``weights`` has the canonical names; each [N] or [N, K]."""

    def __init__(
        self,
        architecture: Architecture,
        weights: Mapping[str, Tensor],
        norm_epsilon: float,
        hook: Hook = untouched,
    ) -> None:
        self.architecture = architecture
        self.weights = weights
        self.norm_epsilon = norm_epsilon
        self.hook = hook

    def __call__(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """The head's output for int64 ids, mask (1 or 0) and types [B, T].

        Shapes: token states [B, T, H]; mean pooling [B, H]; sequence classification [B, labels]; token
        classification and question answering [B, T, labels]; masked LM [B, T, V].
        """
        hidden, stream = self.embeddings(input_ids, attention_mask, token_type_ids)
        for layer in range(self.architecture.layers):
            hidden, stream = self.layer(f"layers.{layer}", hidden, stream, attention_mask)
        return self._head(hidden, stream, attention_mask)

    def _linear(self, name: str, values: Tensor) -> Tensor:
        return functional.linear(values, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, name: str, values: Tensor) -> Tensor:
        gamma, beta = self.weights[f"{name}.gamma"], self.weights[f"{name}.beta"]
        return functional.layer_norm(values, gamma.shape, gamma, beta, self.norm_epsilon)

    def embeddings(self, ids: Tensor, mask: Tensor, types: Tensor) -> tuple[Tensor, Tensor]:
        """What the first layer reads, ``(hidden, stream)``, each [B, T, H]: as its linears, as its residual."""
        positions = torch.arange(ids.shape[1], device=ids.device) + self.architecture.position_offset
        total = self.weights["embeddings.word.weight"][ids] + self.weights["embeddings.position.weight"][positions]
        if self.architecture.token_types:
            total = total + self.weights["embeddings.token_type.weight"][types]
        normed = self._norm("embeddings.norm", self.hook("embeddings.sum", total, mask))
        return self.hook("embeddings.output", normed, mask), self.hook("embeddings.stream", normed, mask)

    def layer(self, prefix: str, hidden: Tensor, stream: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """What the layer ``prefix`` makes of ``(hidden, stream)``: those that the next layer or the head reads."""
        context = self.hook(f"{prefix}.context", self._attention(prefix, hidden, mask), mask)
        total = self._linear(f"{prefix}.attention_output", context) + stream
        normed = self._norm(f"{prefix}.attention_norm", self.hook(f"{prefix}.attention_sum", total, mask))
        stream = self.hook(f"{prefix}.attention_stream", normed, mask)
        hidden = self.hook(f"{prefix}.attention_hidden", normed, mask)

        inner = self.hook(f"{prefix}.activation_input", self._linear(f"{prefix}.intermediate", hidden), mask)
        inner = _ACTIVATIONS[self.architecture.activation](inner)
        inner = self.hook(f"{prefix}.activation_output", inner, mask)
        total = self._linear(f"{prefix}.output", inner) + stream
        normed = self._norm(f"{prefix}.output_norm", self.hook(f"{prefix}.output_sum", total, mask))
        return self.hook(f"{prefix}.output_hidden", normed, mask), self.hook(f"{prefix}.output_stream", normed, mask)

    def _attention(self, prefix: str, hidden: Tensor, mask: Tensor) -> Tensor:
        batch, length, _ = hidden.shape
        heads, size = self.architecture.heads, self.architecture.head_dim

        def project(name: str) -> Tensor:
            values = self.hook(f"{prefix}.{name}", self._linear(f"{prefix}.{name}", hidden), mask)
            return values.view(batch, length, heads, size).transpose(1, 2)

        query, key, value = project("query"), project("key"), project("value")
        scores = self.hook(f"{prefix}.scores", query @ key.transpose(2, 3) / size**0.5, None)
        scores = scores.masked_fill(mask[:, None, None, :] == 0, torch.finfo(scores.dtype).min)
        probabilities = self.hook(f"{prefix}.probabilities", torch.softmax(scores, dim=-1), None)
        return (probabilities @ value).transpose(1, 2).reshape(batch, length, heads * size)

    def _head(self, hidden: Tensor, stream: Tensor, mask: Tensor) -> Tensor:
        head = self.architecture.head
        if head.kind is HeadKind.NONE:
            return stream
        if head.kind is HeadKind.MEAN_POOLING:
            weight = mask[:, :, None].to(stream.dtype)
            mean = (stream * weight).sum(1) / weight.sum(1).clamp(min=1)
            mean = self.hook("head.pooled", mean, None)
            return functional.normalize(mean, dim=-1) if head.normalize else mean
        if head.kind is HeadKind.MASKED_LM:
            values = self.hook("head.transform_input", self._linear("head.transform", hidden), mask)
            values = self.hook("head.transform_sum", _ACTIVATIONS[self.architecture.activation](values), mask)
            values = self.hook("head.transform_hidden", self._norm("head.transform_norm", values), mask)
            return self._linear("head.decoder", values)
        if head.pooler_activation is not None:
            values = self.hook("head.pooler_input", self._linear("head.pooler", hidden[:, 0]), None)
            hidden = self.hook("head.pooler_output", _ACTIVATIONS[head.pooler_activation](values), None)
        logits = self._linear("head.classifier", hidden)
        return self.hook("head.logits", logits, mask if logits.ndim == 3 else None)
