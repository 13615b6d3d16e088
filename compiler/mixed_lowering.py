"""QuantizedModel with float operators -> IntegerGraph: int8 linears and tables, and float32 between them (Q8BERT)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..errors import QuantizedModelError
from .graph import ATTENTION_MASK, INPUT_IDS, TOKEN_TYPE_IDS, IntegerGraph, Operator, Step
from .mixed_roundings import partial_sum, roundings
from .mixed_weights import float_vector, mixed_linear, table
from .model import Activation, FloatOperators, HeadKind, QuantizedModel
from .operators.real.attention import AttentionRoundings, RealAttention
from .operators.real.dynamic_quantize import DynamicQuantize
from .operators.real.elementwise import Elementwise
from .operators.real.embedding import RealEmbedding
from .operators.real.float_sources import RoundedFloats, ScaledFloats
from .operators.real.functions import Function
from .operators.real.layer_norm import RealLayerNorm
from .operators.real.pooling import RealFirstToken, RealMeanPooling
from .operators.real.quantize import Quantize
from .operators.real.rounded_gelu import RoundedGelu
from .operators.real.sources import Floats, Source

_FUNCTIONS = {
    Activation.GELU: Function.GELU,
    Activation.RELU: Function.RELU,
    Activation.TANH: Function.TANH,
}
GELU_STEPS = ("erf", "gate", "gated")
"""erf(x / sqrt 2), that plus 1, and that times x."""


def lower_mixed(model: QuantizedModel, operators: FloatOperators) -> IntegerGraph:
    """The operators of a mixed model; QuantizedModelError or BoundsError where it cannot be represented."""
    if not 0 < operators.norm_epsilon < 1:
        raise QuantizedModelError(
            f"norm_epsilon is {operators.norm_epsilon}; it must lie between 0 and 1, or a constant row has no "
            "normalization"
        )
    return _MixedLowering(model, operators).graph()


@dataclass(frozen=True)
class _Read:
    """An activation as a linear reads it: the graph's values (none: none reads it), and its quantization (None:
    dynamic)."""

    values: tuple[str, ...]
    quantize: Quantize | None


@dataclass
class _MixedLowering:
    model: QuantizedModel
    operators: FloatOperators
    steps: list[Step] = field(default_factory=list)

    def graph(self) -> IntegerGraph:
        stream, hidden = self._embeddings()
        layers = self.model.architecture.layers
        for layer in range(layers):
            last = layer == layers - 1
            read = None if last and not self._head_reads_tokens else f"layers.{layer}.output_hidden"
            stream, hidden = self._encoder_layer(f"layers.{layer}", stream, hidden, read)
        output = self._head(stream, hidden)
        return IntegerGraph(tuple(self.steps), output, 1.0, self.model.architecture.head.kind.per_token)

    @property
    def _head_reads_tokens(self) -> bool:
        """Whether a linear of the head reads every token's state."""
        kind = self.model.architecture.head.kind
        return kind.per_token and kind is not HeadKind.NONE

    def _emit(self, operator: Operator, inputs: Sequence[str], *outputs: str) -> None:
        self.steps.append(Step(operator, tuple(inputs), outputs))

    def _static(self, activation: str) -> Quantize | None:
        """How ``activation`` is quantized; None where that is decided at run time."""
        if activation in self.operators.dynamic:
            return None
        return Quantize.of(activation, self.model.activation(activation))

    def _read(self, activation: str, floats: str, per_token: bool = True) -> _Read:
        """The float value ``floats`` quantized at run time, for a linear to read."""
        values = (activation, f"{activation}.scale", f"{activation}.zero_point")
        mask = (ATTENTION_MASK,) if per_token else ()
        self._emit(DynamicQuantize(f"{activation}.quantize", per_token), (floats, *mask), *values)
        return _Read(values, None)

    def _residual(self, stream: str) -> str:
        """The value that a residual, or the head, reads: ``stream``, rounded where the model says so."""
        value = stream
        for quantize in roundings(self.model, stream):
            output = f"{value}.rounded"
            self._emit(Elementwise(output, RoundedFloats(quantize), Function.IDENTITY), (value,), output)
            value = output
        return value

    def _is_smoothed(self, activation: str) -> bool:
        """Whether the activation's channels are scaled before they are quantized."""
        return f"{activation}.factors" in self.model.weights

    def _smoothed(self, activation: str, floats: str, per_token: bool, output: str = "") -> _Read:
        """The float value ``floats`` with its channels scaled, and quantized: ``output``, else ``activation``."""
        output = output or activation
        source = ScaledFloats(float_vector(self.model, f"{activation}.factors"))
        quantize = self._static(activation)
        operator = Elementwise(f"{output}.smooth", source, Function.IDENTITY, quantize)
        if quantize is not None:
            self._emit(operator, (floats,), output)
            return _Read((output,), quantize)
        self._emit(operator, (floats,), f"{output}.smoothed")
        return self._read(output, f"{output}.smoothed", per_token)

    def _embeddings(self) -> tuple[str, _Read]:
        architecture = self.model.architecture
        types = architecture.token_types > 0
        embedding = RealEmbedding(
            "embeddings",
            table(self.model, "embeddings.word.weight"),
            table(self.model, "embeddings.position.weight", architecture.position_offset),
            table(self.model, "embeddings.token_type.weight") if types else None,
            *partial_sum(self.model),
        )
        self._emit(embedding, (INPUT_IDS, TOKEN_TYPE_IDS) if types else (INPUT_IDS,), "embeddings.sum")
        return self._layer_norm(
            "embeddings.norm", Floats(), "embeddings.sum", ("embeddings.sum",), "embeddings.stream", "embeddings.output"
        )

    def _layer_norm(
        self,
        norm: str,
        source: Source,
        total: str,
        inputs: Sequence[str],
        stream: str,
        hidden: str | None,
        residual: str | None = None,
    ) -> tuple[str, _Read]:
        """Layer normalization of the sum ``total``: the float stream, and the activation ``hidden`` that the next
        linear reads, if any."""
        smoothed = hidden is not None and self._is_smoothed(hidden)
        quantize = None if hidden is None or smoothed else self._static(hidden)
        operator = RealLayerNorm(
            norm,
            source,
            residual is not None,
            float_vector(self.model, f"{norm}.gamma"),
            float_vector(self.model, f"{norm}.beta"),
            self.operators.norm_epsilon,
            quantize,
            roundings(self.model, total),
        )
        inputs = inputs if residual is None else (*inputs, residual)
        if hidden is not None and quantize is not None:
            self._emit(operator, inputs, stream, hidden)
            return stream, _Read((hidden,), quantize)
        self._emit(operator, inputs, stream)
        if hidden is None:
            return stream, _Read((), None)
        return stream, self._smoothed(hidden, stream, True) if smoothed else self._read(hidden, stream)

    def _linear(self, name: str, parts: Sequence[str], read: _Read) -> tuple[Source, tuple[str, ...]]:
        """The linears ``parts`` side by side: their float output as a source, and the values that it reads."""
        operator, source = mixed_linear(self.model, name, parts, read.quantize)
        accumulators = f"{name}.accumulators"
        self._emit(operator, read.values[:1], accumulators)
        return source, (accumulators, *read.values[1:])

    def _encoder_layer(self, layer: str, stream: str, hidden: _Read, output: str | None) -> tuple[str, _Read]:
        context = self._attention(layer, hidden)
        source, inputs = self._linear(f"{layer}.attention_output", [f"{layer}.attention_output"], context)
        attended, hidden = self._layer_norm(
            f"{layer}.attention_norm",
            source,
            f"{layer}.attention_sum",
            inputs,
            f"{layer}.attention_stream",
            f"{layer}.attention_hidden",
            self._residual(stream),
        )
        function = _FUNCTIONS[self.model.architecture.activation]
        inner = self._activation(f"{layer}.intermediate", hidden, function, f"{layer}.activation_output")
        source, inputs = self._linear(f"{layer}.output", [f"{layer}.output"], inner)
        return self._layer_norm(
            f"{layer}.output_norm",
            source,
            f"{layer}.output_sum",
            inputs,
            f"{layer}.output_stream",
            output,
            self._residual(attended),
        )

    def _attention(self, layer: str, hidden: _Read) -> _Read:
        architecture = self.model.architecture
        parts = [f"{layer}.{part}" for part in ("query", "key", "value")]
        source, inputs = self._linear(f"{layer}.query_key_value", parts, hidden)
        names = (*parts, f"{layer}.scores", f"{layer}.probabilities")
        output = f"{layer}.context"
        quantize = self._static(output)
        attention = RealAttention(
            f"{layer}.attention",
            architecture.heads,
            architecture.head_dim,
            source,
            AttentionRoundings(*(roundings(self.model, name) for name in names)),
            quantize,
        )
        return self._quantized(attention, (*inputs, ATTENTION_MASK), output, quantize)

    def _quantized(
        self,
        operator: Elementwise | RoundedGelu | RealAttention,
        inputs: Sequence[str],
        output: str,
        quantize: Quantize | None,
        per_token: bool = True,
    ) -> _Read:
        """``operator`` emitted, its output quantized by itself or at run time."""
        if self._is_smoothed(output):
            self._emit(replace(operator, quantize=None), inputs, f"{output}.float")
            return self._smoothed(output, f"{output}.float", per_token)
        if quantize is not None:
            self._emit(operator, inputs, output)
            return _Read((output,), quantize)
        self._emit(operator, inputs, f"{output}.float")
        return self._read(output, f"{output}.float", per_token)

    def _activation(
        self, linear: str, read: _Read, function: Function, output: str, per_token: bool = True
    ) -> _Read:  # fmt: skip
        source, inputs = self._linear(linear, [linear], read)
        quantize = self._static(output)
        operator = replace(self._function(linear, source, function), quantize=quantize)
        return self._quantized(operator, inputs, output, quantize, per_token)

    def _function(self, linear: str, source: Source, function: Function) -> Elementwise | RoundedGelu:
        """The function after ``linear``; GELU step by step where its steps are rounded."""
        name = f"{linear}.{function.value}"
        erf, gate, product = (roundings(self.model, f"{linear}.{step}") for step in GELU_STEPS)
        if function is Function.GELU and (erf or gate or product):
            return RoundedGelu(name, source, (erf, gate, product))
        return Elementwise(name, source, function)

    def _head(self, stream: str, hidden: _Read) -> str:
        head = self.model.architecture.head
        if head.kind is HeadKind.NONE:
            return self._residual(stream)
        if head.kind is HeadKind.MEAN_POOLING:
            pooled = (self._residual(stream), ATTENTION_MASK)
            self._emit(RealMeanPooling("head.mean_pooling"), pooled, "head.pooled")
            return "head.pooled"
        if head.kind is HeadKind.MASKED_LM:
            return self._masked_lm(hidden)
        per_token = head.kind is not HeadKind.SEQUENCE_CLASSIFICATION
        if not per_token:
            hidden = self._first_token(stream)
        if head.pooler_activation is not None:
            function = _FUNCTIONS[head.pooler_activation]
            hidden = self._activation("head.pooler", hidden, function, "head.pooler_output", per_token)
        return self._logits("head.classifier", hidden)

    def _first_token(self, stream: str) -> _Read:
        """The first token's state, quantized as the last layer's output is."""
        activation = f"layers.{self.model.architecture.layers - 1}.output_hidden"
        output = "head.first_token"
        self._emit(RealFirstToken(output), (self._residual(stream), ATTENTION_MASK), f"{output}.float")
        if self._is_smoothed(activation):
            return self._smoothed(activation, f"{output}.float", False, output)
        quantize = self._static(activation)
        if quantize is None:
            return self._read(output, f"{output}.float", per_token=False)
        self._emit(
            Elementwise(f"{output}.quantize", Floats(), Function.IDENTITY, quantize), (f"{output}.float",), output
        )
        return _Read((output,), quantize)

    def _masked_lm(self, hidden: _Read) -> str:
        source, inputs = self._linear("head.transform", ["head.transform"], hidden)
        function = _FUNCTIONS[self.model.architecture.activation]
        total = "head.transform_sum"
        self._emit(self._function("head.transform", source, function), inputs, total)
        _, hidden = self._layer_norm(
            "head.transform_norm", Floats(), total, (total,), "head.transform_stream", "head.transform_hidden"
        )
        return self._logits("head.decoder", hidden)

    def _logits(self, name: str, read: _Read) -> str:
        source, inputs = self._linear(name, [name], read)
        self._emit(Elementwise(f"{name}.logits", source, Function.IDENTITY), inputs, "head.logits")
        return "head.logits"
