"""QuantizedModel -> IntegerGraph: scales become the integer constants of the operators."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import QuantizedModelError
from .graph import ATTENTION_MASK, INPUT_IDS, TOKEN_TYPE_IDS, IntegerGraph, Operator, Step
from .linear_weights import common_packing
from .mixed_lowering import lower_mixed
from .model import Activation, HeadKind, QuantizedModel
from .operators.attention import Attention
from .operators.attention_scores import AttentionScores
from .operators.attention_values import AttentionValues
from .operators.embedding import Embedding
from .operators.epilogues import Activated, Epilogue, Logits, Quantized, ResidualAdd
from .operators.fixed_point import NARROW_LIMIT, WIDE_LIMIT
from .operators.gelu import MIN_SCALE, Gelu
from .operators.layer_norm import LayerNorm
from .operators.linear import Linear
from .operators.masked_softmax import PROBABILITY_ONE, MaskedSoftmax
from .operators.pooling import FirstToken, MeanPooling
from .operators.requantize import Narrow, Requantize, Rescale
from .operators.tanh import Tanh

MAX_REQUANTIZE_RATIO = 1 + 2.0**-12
"""What a wide scale must exceed the accumulators' step by, so that Requantize can represent their ratio."""
MAX_RESIDUAL_RATIO = 1.999
"""How much coarser than the sum the residual stream may be (see Rescale); the sum's scale is raised to it."""


def lower(model: QuantizedModel) -> IntegerGraph:
    """The operators of ``model``; QuantizedModelError or BoundsError where it cannot be represented."""
    if model.float_operators is not None:
        return lower_mixed(model, model.float_operators)
    # Scales far out of range overflow here; what cannot represent their ratio refuses it by name.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        return _Lowering(model).graph()


@dataclass
class _Lowering:
    model: QuantizedModel
    steps: list[Step] = field(default_factory=list)
    scales: dict[str, float] = field(default_factory=dict)
    """Those that had to be raised, and those of values that are no activations of the model."""

    def graph(self) -> IntegerGraph:
        stream, hidden = self._embeddings()
        for layer in range(self.model.architecture.layers):
            stream, hidden = self._encoder_layer(f"layers.{layer}", stream, hidden)
        output, scale = self._head(stream, hidden)
        token_level = self.model.architecture.head.kind.per_token
        return IntegerGraph(tuple(self.steps), output, scale, token_level, {**self.scales, output: scale})

    def _emit(self, operator: Operator, inputs: tuple[str, ...], *outputs: str) -> None:
        self.steps.append(Step(operator, inputs, outputs))

    def _scale(self, activation: str) -> float:
        """The activation's scale; its integers must be the narrow or the wide ones that the operators compute."""
        quantization = self.model.activation(activation)
        if quantization.limit not in (NARROW_LIMIT, WIDE_LIMIT):
            raise QuantizedModelError(
                f"{activation} has {quantization.bits} bits; the integer operators take 8 or 15, quantize it again"
            )
        return quantization.scale

    def _table(self, name: str, first_row: int = 0) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
        tensor = self.model.weight(name)
        scale = tensor.scale[first_row:] if tensor.scale.ndim else tensor.scale
        return np.ascontiguousarray(tensor.values[first_row:]), scale

    def _embeddings(self) -> tuple[str, str]:
        architecture = self.model.architecture
        names = ["embeddings.word.weight", "embeddings.position.weight"]
        names += ["embeddings.token_type.weight"] if architecture.token_types else []
        embedding = Embedding.from_scales(
            "embeddings",
            self._table(names[0]),
            self._table(names[1], architecture.position_offset),
            self._table(names[2]) if architecture.token_types else None,
            self._scale("embeddings.sum"),
            tuple(self.model.weight(name).packing for name in names),
        )
        inputs = (INPUT_IDS, TOKEN_TYPE_IDS) if architecture.token_types else (INPUT_IDS,)
        self._emit(embedding, inputs, "embeddings.sum")
        self._layer_norm("embeddings.norm", "embeddings.sum", "embeddings.stream", "embeddings.output")
        return "embeddings.stream", "embeddings.output"

    def _layer_norm(self, norm: str, source: str, stream: str, hidden: str, stream_scale: float | None = None) -> None:
        gamma, beta = self.model.weight(f"{norm}.gamma"), self.model.weight(f"{norm}.beta")
        operator = LayerNorm.from_float(
            norm,
            gamma.values * gamma.scale,
            beta.values * beta.scale,
            self._scale(stream) if stream_scale is None else stream_scale,
            self._scale(hidden),
        )
        self._emit(operator, (source,), stream, hidden)

    def _weight_scale(self, name: str) -> NDArray[np.float64]:
        tensor = self.model.weight(f"{name}.weight")
        return np.broadcast_to(tensor.scale, (tensor.values.shape[0],))

    def _linear(self, name: str, source: str, output: str, epilogue: Epilogue, *residual: str) -> None:
        weight, bias = self.model.weight(f"{name}.weight"), self.model.weight(f"{name}.bias")
        operator = Linear(name, weight.values, bias.values, epilogue, weight.packing)
        self._emit(operator, (source, *residual), output)

    def _representable(self, name: str, source: str, scale: float) -> float:
        """A wide output's ``scale``, raised to the accumulators' own step where that is coarser."""
        step = float((self._weight_scale(name) * self._scale(source)).max())
        return max(scale, step * MAX_REQUANTIZE_RATIO)

    def _wide_requantize(self, name: str, source: str, scale: float) -> Requantize:
        return Requantize.from_ratio(name, self._weight_scale(name) * self._scale(source) / scale, WIDE_LIMIT)

    def _encoder_layer(self, layer: str, stream: str, hidden: str) -> tuple[str, str]:
        self._attention(layer, hidden)
        self._residual_linear(
            f"{layer}.attention_output", f"{layer}.context", stream, f"{layer}.attention_norm",
            (f"{layer}.attention_sum", f"{layer}.attention_stream", f"{layer}.attention_hidden"),
        )  # fmt: skip
        self._activation(f"{layer}.intermediate", f"{layer}.attention_hidden", layer)
        self._residual_linear(
            f"{layer}.output", f"{layer}.activation_output", f"{layer}.attention_stream", f"{layer}.output_norm",
            (f"{layer}.output_sum", f"{layer}.output_stream", f"{layer}.output_hidden"),
        )  # fmt: skip
        return f"{layer}.output_stream", f"{layer}.output_hidden"

    def _attention(self, layer: str, hidden: str) -> None:
        """Queries, keys and values as one linear, then the attention of all heads."""
        architecture = self.model.architecture
        parts = [f"{layer}.{part}" for part in ("query", "key", "value")]
        ratio = np.concatenate([self._weight_scale(p) * self._scale(hidden) / self._scale(p) for p in parts])
        name = f"{layer}.query_key_value"
        qkv = Linear(
            name,
            np.concatenate([self.model.weight(f"{part}.weight").values for part in parts]),
            np.concatenate([self.model.weight(f"{part}.bias").values for part in parts]),
            Quantized(Requantize.from_ratio(name, ratio, NARROW_LIMIT)),
            common_packing([self.model.weight(f"{part}.weight").packing for part in parts]),
        )
        self._emit(qkv, (hidden,), name)
        query, key, value = (self._scale(part) for part in parts)
        context_ratio = np.array([value / PROBABILITY_ONE / self._scale(f"{layer}.context")])
        attention = Attention(
            f"{layer}.attention",
            architecture.heads,
            AttentionScores(f"{layer}.attention.scores", architecture.head_dim),
            MaskedSoftmax.from_scale(f"{layer}.attention.softmax", query * key / math.sqrt(architecture.head_dim)),
            AttentionValues(
                f"{layer}.attention.values",
                Requantize.from_ratio(f"{layer}.attention.values", context_ratio, NARROW_LIMIT),
            ),
        )
        self._emit(attention, (name, ATTENTION_MASK), f"{layer}.context")

    def _residual_linear(
        self, linear: str, source: str, residual: str, norm: str, outputs: tuple[str, str, str]
    ) -> None:
        """A linear, the residual added, and layer normalization: ``outputs`` are (sum, stream, hidden)."""
        total, stream, hidden = outputs
        residual_scale = self._scale(residual)
        scale = self._representable(linear, source, max(self._scale(total), residual_scale / MAX_RESIDUAL_RATIO))
        self.scales[total] = scale
        epilogue = ResidualAdd(
            self._wide_requantize(linear, source, scale), Rescale.from_ratio(linear, residual_scale / scale)
        )
        self._linear(linear, source, total, epilogue, residual)
        self._layer_norm(norm, total, stream, hidden)

    def _activation(self, linear: str, source: str, layer: str) -> None:
        output = f"{layer}.activation_output"
        if self.model.architecture.activation is Activation.RELU:
            ratio = self._weight_scale(linear) * self._scale(source) / self._scale(output)
            self._linear(
                linear,
                source,
                output,
                Quantized(Requantize.from_ratio(linear, ratio, NARROW_LIMIT, relu=True)),
            )
            return
        scale = self._representable(linear, source, max(self._scale(f"{layer}.activation_input"), MIN_SCALE))
        epilogue = Activated(
            self._wide_requantize(linear, source, scale),
            Gelu.from_scale(linear, scale),
            Narrow.from_ratio(linear, scale / self._scale(output)),
        )
        self._linear(linear, source, output, epilogue)

    def _head(self, stream: str, hidden: str) -> tuple[str, float]:
        head = self.model.architecture.head
        if head.kind is HeadKind.NONE:
            return stream, self._scale(stream)
        if head.kind is HeadKind.MEAN_POOLING:
            self._emit(MeanPooling("head.mean_pooling"), (stream, ATTENTION_MASK), "head.pooled")
            return "head.pooled", self._scale(stream)
        if head.kind is HeadKind.MASKED_LM:
            return self._masked_lm(hidden)
        scale_name = hidden
        if head.kind is HeadKind.SEQUENCE_CLASSIFICATION:
            self._emit(FirstToken("head.first_token"), (hidden, ATTENTION_MASK), "head.first_token")
            hidden = "head.first_token"
        if head.pooler_activation is not None:
            self._pooler(hidden, scale_name, head.pooler_activation)
            hidden = scale_name = "head.pooler_output"
        return self._logits("head.classifier", hidden, scale_name)

    def _pooler(self, source: str, source_scale: str, activation: Activation) -> None:
        name, output = "head.pooler", "head.pooler_output"
        if activation is Activation.TANH:
            scale = self._representable(name, source_scale, self._scale("head.pooler_input"))
            self.scales["head.pooler_input"] = scale
            requantize = self._wide_requantize(name, source_scale, scale)
            self._linear(name, source, "head.pooler_input", Quantized(requantize))
            tanh = Tanh.from_scales("head.tanh", scale, self._scale(output))
            self._emit(tanh, ("head.pooler_input",), output)
            return
        if activation is not Activation.RELU:
            raise QuantizedModelError(f"a pooler with {activation.value} is not supported; tanh and relu are")
        ratio = self._weight_scale(name) * self._scale(source_scale) / self._scale(output)
        self._linear(name, source, output, Quantized(Requantize.from_ratio(name, ratio, NARROW_LIMIT, relu=True)))

    def _masked_lm(self, hidden: str) -> tuple[str, float]:
        name = "head.transform"
        scale = self._representable(name, hidden, max(self._scale("head.transform_input"), MIN_SCALE))
        total = max(self._scale("head.transform_sum"), scale / MAX_RESIDUAL_RATIO)
        self.scales["head.transform_sum"] = total
        epilogue = Activated(
            self._wide_requantize(name, hidden, scale),
            Gelu.from_scale(name, scale),
            Rescale.from_ratio(name, scale / total),
        )
        self._linear(name, hidden, "head.transform_sum", epilogue)
        # Only the narrow output is read; the wide one has as fine a scale as the narrow one's range allows.
        stream_scale = self._scale("head.transform_hidden") * NARROW_LIMIT / WIDE_LIMIT
        self.scales["head.transform_stream"] = stream_scale
        self._layer_norm(
            "head.transform_norm",
            "head.transform_sum",
            "head.transform_stream",
            "head.transform_hidden",
            stream_scale,
        )
        return self._logits("head.decoder", "head.transform_hidden", "head.transform_hidden")

    def _logits(self, name: str, source: str, source_scale: str) -> tuple[str, float]:
        self._linear(name, source, "head.logits", Logits())
        return "head.logits", float(self.model.weight(f"{name}.weight").scale) * self._scale(source_scale)
