"""QuantizedModel -> IntegerGraph: scales become the integer constants of the operators."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import QuantizedModelError
from .graph import ATTENTION_MASK, INPUT_IDS, TOKEN_TYPE_IDS, IntegerGraph, Operator, Step
from .linear_weights import LinearWeights, linear_weights
from .mixed_lowering import lower_mixed
from .model import Activation, HeadKind, Quantization, QuantizedModel
from .operators.attention import Attention
from .operators.attention_scores import AttentionScores
from .operators.attention_values import AttentionValues
from .operators.duplicate_channels import DuplicateChannels
from .operators.embedding import Embedding
from .operators.epilogues import Activated, Epilogue, Logits, Quantized, ResidualAdd
from .operators.fixed_point import WIDE_LIMIT
from .operators.gelu import MIN_SCALE, Gelu
from .operators.layer_norm import LayerNorm
from .operators.masked_softmax import PROBABILITY_ONE, MaskedSoftmax
from .operators.pooling import FirstToken, MeanPooling
from .operators.requantize import Narrow, Requantize, Rescale
from .operators.tanh import Tanh
from .operators.value_range import WIDE, Range

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
    first_tokens: dict[str, str] = field(default_factory=dict)
    """The activations that values hold the first rows of."""

    def graph(self) -> IntegerGraph:
        stream, hidden = self._embeddings()
        for layer in range(self.model.architecture.layers):
            stream, hidden = self._encoder_layer(f"layers.{layer}", stream, hidden)
        output, scale = self._head(stream, hidden)
        token_level = self.model.architecture.head.kind.per_token
        return IntegerGraph(tuple(self.steps), output, scale, token_level, {**self.scales, output: scale})

    def _emit(self, operator: Operator, inputs: tuple[str, ...], *outputs: str) -> None:
        self.steps.append(Step(operator, inputs, outputs))

    def _wide(self, activation: str) -> float:
        """The scale of a wide activation: 15 bits, and no zero point."""
        quantization = self.model.activation(activation)
        if quantization.limit != WIDE_LIMIT or quantization.zero_point:
            raise QuantizedModelError(
                f"{activation} has {quantization.bits} bits and the zero point {quantization.zero_point}; the integer "
                "operators compute it in 15 bits without one, quantize it again"
            )
        return quantization.scale

    def _narrow(self, activation: str) -> Quantization:
        """The quantization of what a linear reads: 2 to 8 bits."""
        quantization = self.model.activation(activation)
        if quantization.bits > 8:
            raise QuantizedModelError(
                f"{activation} has {quantization.bits} bits; linears read at most 8, quantize it again"
            )
        return quantization

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
            self._wide("embeddings.sum"),
            tuple(self.model.weight(name).packing for name in names),
        )
        inputs = (INPUT_IDS, TOKEN_TYPE_IDS) if architecture.token_types else (INPUT_IDS,)
        self._emit(embedding, inputs, "embeddings.sum")
        self._layer_norm("embeddings.norm", "embeddings.sum", "embeddings.stream", "embeddings.output")
        return "embeddings.stream", "embeddings.output"

    def _layer_norm(self, norm: str, source: str, stream: str, hidden: str, stream_scale: float | None = None) -> None:
        gamma, beta = self.model.weight(f"{norm}.gamma"), self.model.weight(f"{norm}.beta")
        narrow = self._narrow(hidden)
        operator = LayerNorm.from_float(
            norm,
            gamma.values * gamma.scale,
            beta.values * beta.scale,
            self._wide(stream) if stream_scale is None else stream_scale,
            narrow.scale,
            _range(narrow),
        )
        self._emit(operator, (source,), stream, hidden)

    def _weights(self, name: str, source: str, *parts: str, amplified: bool = True) -> LinearWeights:
        read = self._narrow(self.first_tokens.get(source, source))
        return linear_weights(self.model, name, parts or (name,), read, amplified=amplified)

    def _linear(self, weights: LinearWeights, source: str, output: str, epilogue: Epilogue, *residual: str) -> None:
        if weights.duplicated:
            duplicated = f"{weights.name}.duplicated_input"
            channels = weights.weight.shape[1] - len(weights.duplicated)
            operator = DuplicateChannels.of(duplicated, channels, weights.duplicated, weights.input_range)
            self._emit(operator, (source,), duplicated)
            self.scales[duplicated] = self._narrow(self.first_tokens.get(source, source)).scale
            source = duplicated
        self._emit(weights.operator(epilogue), (source, *residual), output)

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
        name = f"{layer}.query_key_value"
        weights = self._weights(name, hidden, *parts)
        self._linear(weights, hidden, name, self._query_key_value(weights, parts))
        query, key, value = (self._narrow(part).scale for part in parts)
        context = self._narrow(f"{layer}.context")
        context_ratio = np.array([value / PROBABILITY_ONE / context.scale])
        attention = Attention(
            f"{layer}.attention",
            architecture.heads,
            AttentionScores(f"{layer}.attention.scores", architecture.head_dim),
            MaskedSoftmax.from_scale(f"{layer}.attention.softmax", query * key / math.sqrt(architecture.head_dim)),
            AttentionValues(
                f"{layer}.attention.values",
                Requantize.from_ratio(f"{layer}.attention.values", context_ratio, _range(context)),
            ),
        )
        self._emit(attention, (name, ATTENTION_MASK), f"{layer}.context")

    def _query_key_value(self, weights: LinearWeights, parts: list[str]) -> Quantized:
        outputs = [self._narrow(part) for part in parts]
        for part, output in zip(parts, outputs, strict=True):
            if output.zero_point:
                raise QuantizedModelError(
                    f"{part} has the zero point {output.zero_point}; attention multiplies it by an activation, so it "
                    "must be 0, quantize it again"
                )
        rows = [len(self.model.weight(f"{part}.weight").values) for part in parts]
        ratio = weights.scale / np.repeat([output.scale for output in outputs], rows)
        limits = np.repeat([(output.low, output.limit) for output in outputs], rows, axis=0).T.astype(np.int32)
        widest = Range(int(limits[0].min()), int(limits[1].max()))
        differ = len({_range(output) for output in outputs}) > 1
        return Quantized(Requantize.from_ratio(weights.name, ratio, widest), limits if differ else None)

    def _residual_linear(
        self, linear: str, source: str, residual: str, norm: str, outputs: tuple[str, str, str]
    ) -> None:
        """A linear, the residual added, and layer normalization: ``outputs`` are (sum, stream, hidden)."""
        total, stream, hidden = outputs
        weights = self._weights(linear, source)
        residual_scale = self._wide(residual)
        scale = _representable(weights, max(self._wide(total), residual_scale / MAX_RESIDUAL_RATIO))
        self.scales[total] = scale
        epilogue = ResidualAdd(_wide_requantize(weights, scale), Rescale.from_ratio(linear, residual_scale / scale))
        self._linear(weights, source, total, epilogue, residual)
        self._layer_norm(norm, total, stream, hidden)

    def _relu(self, linear: str, source: str, output: str) -> None:
        weights, narrow = self._weights(linear, source), self._narrow(output)
        ratio = weights.scale / narrow.scale
        epilogue = Quantized(Requantize.from_ratio(linear, ratio, _range(narrow).from_zero()))
        self._linear(weights, source, output, epilogue)

    def _activation(self, linear: str, source: str, layer: str) -> None:
        output = f"{layer}.activation_output"
        if self.model.architecture.activation is Activation.RELU:
            self._relu(linear, source, output)
            return
        weights, narrow = self._weights(linear, source), self._narrow(output)
        scale = _representable(weights, max(self._wide(f"{layer}.activation_input"), MIN_SCALE))
        epilogue = Activated(
            _wide_requantize(weights, scale),
            Gelu.from_scale(linear, scale),
            Narrow.from_ratio(linear, scale / narrow.scale, _range(narrow)),
        )
        self._linear(weights, source, output, epilogue)

    def _head(self, stream: str, hidden: str) -> tuple[str, float]:
        head = self.model.architecture.head
        if head.kind is HeadKind.NONE:
            return stream, self._wide(stream)
        if head.kind is HeadKind.MEAN_POOLING:
            self._emit(MeanPooling("head.mean_pooling"), (stream, ATTENTION_MASK), "head.pooled")
            return "head.pooled", self._wide(stream)
        if head.kind is HeadKind.MASKED_LM:
            return self._masked_lm(hidden)
        if head.kind is HeadKind.SEQUENCE_CLASSIFICATION:
            first = "head.first_token"
            self._emit(FirstToken(first), (hidden, ATTENTION_MASK), first)
            self.first_tokens[first] = hidden
            self.scales[first] = self._narrow(hidden).scale
            hidden = first
        if head.pooler_activation is not None:
            self._pooler(hidden, head.pooler_activation)
            hidden = "head.pooler_output"
        return self._logits("head.classifier", hidden)

    def _pooler(self, source: str, activation: Activation) -> None:
        name, output = "head.pooler", "head.pooler_output"
        if activation is Activation.RELU:
            self._relu(name, source, output)
            return
        if activation is not Activation.TANH:
            raise QuantizedModelError(f"a pooler with {activation.value} is not supported; tanh and relu are")
        weights, narrow = self._weights(name, source), self._narrow(output)
        scale = _representable(weights, self._wide("head.pooler_input"))
        self.scales["head.pooler_input"] = scale
        self._linear(weights, source, "head.pooler_input", Quantized(_wide_requantize(weights, scale)))
        tanh = Tanh.from_scales("head.tanh", scale, narrow.scale, _range(narrow))
        self._emit(tanh, ("head.pooler_input",), output)

    def _masked_lm(self, hidden: str) -> tuple[str, float]:
        name = "head.transform"
        weights = self._weights(name, hidden)
        scale = _representable(weights, max(self._wide("head.transform_input"), MIN_SCALE))
        total = max(self._wide("head.transform_sum"), scale / MAX_RESIDUAL_RATIO)
        self.scales["head.transform_sum"] = total
        epilogue = Activated(
            _wide_requantize(weights, scale), Gelu.from_scale(name, scale), Rescale.from_ratio(name, scale / total)
        )
        self._linear(weights, hidden, "head.transform_sum", epilogue)
        # Only the narrow output is read; the wide one has as fine a scale as the narrow one's range allows.
        narrow = self._narrow("head.transform_hidden")
        stream_scale = narrow.scale * _range(narrow).reach / WIDE_LIMIT
        self.scales["head.transform_stream"] = stream_scale
        self._layer_norm(
            "head.transform_norm",
            "head.transform_sum",
            "head.transform_stream",
            "head.transform_hidden",
            stream_scale,
        )
        return self._logits("head.decoder", "head.transform_hidden")

    def _logits(self, name: str, source: str) -> tuple[str, float]:
        weights = self._weights(name, source, amplified=False)
        if self.model.weight(f"{name}.weight").scale.ndim:
            raise QuantizedModelError(f"{name}.weight has a scale per row; logits need one scale, quantize it again")
        self._linear(weights, source, "head.logits", Logits())
        return "head.logits", float(weights.scale[0])


def _range(quantization: Quantization) -> Range:
    return Range(quantization.low, quantization.limit, quantization.zero_point)


def _representable(weights: LinearWeights, scale: float) -> float:
    """A wide output's ``scale``, raised to the accumulators' own step where that is coarser."""
    return max(scale, float(weights.scale.max()) * MAX_REQUANTIZE_RATIO)


def _wide_requantize(weights: LinearWeights, scale: float) -> Requantize:
    return Requantize.from_ratio(weights.name, weights.scale / scale, WIDE)
