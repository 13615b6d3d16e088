"""From the expression of a whole graph to a QuantizedModel: every part of the encoder is found, from the output back.

The layers are told apart by what they read, never by names. Whatever does not fit the architecture that
``config.json`` describes is refused with the node that made it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ...compiler.model import Activation, Architecture, FloatOperators, HeadKind, Quantization, WeightTensor, repeated
from ...errors import GraphError
from .. import structure
from .constants import bias_tensor, float_tensor, weight_tensor
from .embedding_tables import EmbeddingTables
from .probe import Probe
from .values import (
    Activated,
    Array,
    Column,
    Context,
    FirstToken,
    Grid,
    Heads,
    Linear,
    Norm,
    Probabilities,
    Quantized,
    Rounded,
    Scores,
    Smoothed,
    Sum,
    Value,
    unrounded,
)

V = TypeVar("V", bound=Value)
OUTPUT_ADVICE = (
    "quantize only what linears read (ONNX Runtime: op_types_to_quantize=['MatMul', 'Gemm', 'Gather'] and "
    "extra_options={'OpTypesToExcludeOutputQuantization': ['MatMul', 'Gemm']})"
)


def expect(value: Value, kind: type[V], what: str) -> V:
    """``value``, which must be of ``kind``; GraphError that names its node where it is not."""
    if isinstance(value, kind):
        return value
    if isinstance(value, Rounded | Quantized):
        raise GraphError(f"{value.origin}: quantizes {what}, which is float between two linears; {OUTPUT_ADVICE}")
    raise GraphError(f"{value.origin}: {what} was expected here; export the model anew as transformers defines it")


def score_grids(scores: Scores) -> list[Grid]:
    """The grids of the scores as the softmax reads them: of factors that came later, the grids are scaled too."""
    grids = [grid.of_scaled(factor / scores.scale) for grid, factor in scores.roundings]
    # Adding the mask changes no token's score: rounding to the same grid again is nothing.
    return [grid for number, grid in enumerate(grids) if number == 0 or grid != grids[number - 1]]


@dataclass
class Assembly:
    """The tensors and activations found so far."""

    architecture: Architecture
    probe: Probe
    weights: dict[str, WeightTensor] = field(default_factory=dict)
    activations: dict[str, Quantization] = field(default_factory=dict)
    dynamic: set[str] = field(default_factory=set)
    epsilons: set[float] = field(default_factory=set)
    factors: dict[str, Array | None] = field(default_factory=dict)
    """Of every activation that a linear reads, the factors of its channels."""

    def take(self, outputs: list[Value]) -> FloatOperators:
        """Fills the tensors from the graph's outputs; what the float operators need."""
        state = self._head(outputs)
        for layer in reversed(range(self.architecture.layers)):
            state = self._layer(layer, state)
        total = self._rounded(self._norm(state, "embeddings.norm"), "embeddings.sum")
        EmbeddingTables(self.architecture, self.probe, self.weights, self.activations).take(total)
        if len(self.epsilons) != 1:
            raise GraphError(
                f"the layer normalizations have the epsilons {sorted(self.epsilons)}; they must have the same one"
            )
        return FloatOperators(min(self.epsilons), frozenset(self.dynamic))

    # Readers: each takes what it finds and returns what lies before it.

    def _read(self, value: Value, activation: str) -> Value:
        """What the linear reads before it was quantized."""
        found = expect(value, Rounded, f"the quantized '{activation}'")
        self._record(activation, found.grid, found.origin)
        return self._unsmoothed(found.x, activation)

    def _unsmoothed(self, value: Value, activation: str) -> Value:
        """What SmoothQuant's factors multiply; they become a tensor of the activation."""
        factors = value.factors if isinstance(value, Smoothed) else None
        known = self.factors.setdefault(activation, factors)
        if known is not factors and not (known is not None and factors is not None and np.array_equal(known, factors)):
            raise GraphError(f"{value.origin}: '{activation}' is scaled in two ways before it is quantized")
        if not isinstance(value, Smoothed):
            return value
        self.weights[f"{activation}.factors"] = float_tensor(value.factors)
        return value.x

    def _record(self, activation: str, grid: Grid | None, origin: str) -> None:
        if grid is None:
            if activation in self.activations:
                raise GraphError(f"{origin}: '{activation}' is quantized statically and dynamically; quantize it once")
            self.dynamic.add(activation)
            return
        quantization = grid.quantization()
        if activation in self.dynamic or self.activations.setdefault(activation, quantization) != quantization:
            raise GraphError(
                f"{origin}: '{activation}' is quantized in two ways, here with scale {grid.scale:.6g} and zero point "
                f"{grid.zero_point}; share one quantizer between what reads it"
            )

    def _rounded(self, value: Value, activation: str) -> Value:
        """What ``value`` is a rounding of, or itself; its grids are those of ``activation``."""
        inner, grids = unrounded(value)
        if isinstance(inner, Rounded):
            raise GraphError(f"{inner.origin}: '{activation}' is quantized dynamically; only what linears read may be")
        for number, grid in enumerate(grids):
            self._record(repeated(activation, number), grid, value.origin)
        return inner

    def _linear(self, value: Value, name: str, activation: str) -> Value:
        linear = expect(self._rounded(value, f"{name}.output"), Linear, f"the linear '{name}'")
        for number, grid in enumerate(linear.product):
            self._record(repeated(f"{name}.product", number), grid, linear.origin)
        wanted = next(entry for entry in structure.linears(self.architecture) if entry.name == name)
        if linear.weight.shape != (wanted.outputs, wanted.inputs):
            raise GraphError(
                f"{linear.origin}: weight of shape {list(linear.weight.shape)} where config.json implies "
                f"{[wanted.outputs, wanted.inputs]} for '{name}'; give the config.json of this graph"
            )
        weight = weight_tensor(linear.weight, linear.origin)
        self.weights[f"{name}.weight"] = weight
        self.weights[f"{name}.bias"] = bias_tensor(linear, weight)
        return self._read(linear.x, activation)

    def _norm(self, value: Value, name: str) -> Value:
        norm = expect(value, Norm, f"the layer normalization '{name}'")
        hidden = self.architecture.hidden
        if norm.gamma is None or norm.beta is None or norm.gamma.shape != (hidden,):
            raise GraphError(
                f"{norm.origin}: '{name}' has no gamma and beta of {hidden} channels; give this graph's config.json"
            )
        self.weights[f"{name}.gamma"] = float_tensor(norm.gamma)
        self.weights[f"{name}.beta"] = float_tensor(norm.beta)
        # An attribute of an ONNX node is a float32.
        self.epsilons.add(float(np.format_float_scientific(np.float32(norm.epsilon), trim="-")))
        return norm.x

    def _residual_sum(self, value: Value, total: str) -> tuple[Value, Value]:
        """The linear's output and the residual, either perhaps rounded, whose sum is ``total``."""
        parts = expect(self._rounded(value, total), Sum, f"the residual sum '{total}'").parts
        linears = [part for part in parts if isinstance(unrounded(part)[0], Linear)]
        if len(parts) != 2 or len(linears) != 1:
            kinds = ", ".join(part.origin for part in parts)
            raise GraphError(f"{value.origin}: a linear and a residual were expected here, not {kinds}")
        (residual,) = (part for part in parts if part is not linears[0])
        return linears[0], residual

    def _residual(self, value: Value, hidden: Value, stream: str) -> None:
        """The residual must be the state ``hidden``, perhaps as quantized for the linears."""
        if self._rounded(value, stream) is not hidden:
            raise GraphError(f"{value.origin}: another residual than '{stream}' is added; export the model anew")

    def _layer(self, index: int, state: Value) -> Value:
        layer = f"layers.{index}"
        output, residual = self._residual_sum(self._norm(state, f"{layer}.output_norm"), f"{layer}.output_sum")
        inner = self._linear(output, f"{layer}.output", f"{layer}.activation_output")
        inner = self._activated(
            inner, self.architecture.activation, f"{layer}.intermediate", f"{layer}.activation_output"
        )
        attended = self._linear(inner, f"{layer}.intermediate", f"{layer}.attention_hidden")
        self._residual(residual, attended, f"{layer}.attention_stream")

        total = self._norm(attended, f"{layer}.attention_norm")
        output, residual = self._residual_sum(total, f"{layer}.attention_sum")
        context = self._linear(output, f"{layer}.attention_output", f"{layer}.context")
        hidden = self._attention(expect(context, Context, f"the context of '{layer}'"), index)
        stream = "embeddings.stream" if index == 0 else f"layers.{index - 1}.output_stream"
        self._residual(residual, hidden, stream)
        return hidden

    def _activated(self, value: Value, kind: Activation, linear: str, activation: str) -> Value:
        """What the function after ``linear`` reads, whose values are quantized as ``activation``."""
        if kind is Activation.RELU and isinstance(value, Linear) and self._has_no_negatives(activation):
            return value  # ONNX Runtime removes a ReLU whose zeros are where its quantization saturates
        found = expect(value, Activated, f"the activation after '{linear}'")
        if found.kind is not kind:
            raise GraphError(
                f"{found.origin}: the activation is {found.kind.value}, config.json says {kind.value}; "
                "give the config.json of this graph"
            )
        for step, grids in zip(("erf", "gate", "gated"), found.steps, strict=True):
            for number, grid in enumerate(grids):
                self._record(repeated(f"{linear}.{step}", number), grid, found.origin)
        return found.x

    def _has_no_negatives(self, activation: str) -> bool:
        found = self.activations.get(activation)
        return found is not None and found.zero_point == found.low

    def _attention(self, context: Context, index: int) -> Value:
        layer = f"layers.{index}"
        found = self._rounded(context.probabilities, f"{layer}.probabilities")
        scores = expect(found, Probabilities, "the attention's probabilities").scores
        for number, grid in enumerate(score_grids(scores)):
            self._record(repeated(f"{layer}.scores", number), grid, scores.origin)
        source = structure.layer_input(index)
        states = [
            self._projection(heads, f"{layer}.{name}", source)
            for name, heads in (("query", scores.query), ("key", scores.key), ("value", context.value))
        ]
        if any(state is not states[0] for state in states):
            raise GraphError(
                f"{context.origin}: queries, keys and values do not read the same state; no BERT does this"
            )
        return states[0]

    def _projection(self, heads: Heads, name: str, source: str) -> Value:
        if heads.heads != self.architecture.heads:
            raise GraphError(
                f"{heads.origin}: {heads.heads} attention heads, config.json says {self.architecture.heads}; "
                "give the config.json of this graph"
            )
        return self._linear(self._rounded(heads.x, name), name, source)

    # Heads.

    def _head(self, outputs: list[Value]) -> Value:
        head = self.architecture.head
        if head.kind is HeadKind.QUESTION_ANSWERING:
            return self._tokens(self._columns(outputs))
        (output,) = outputs
        last = f"layers.{self.architecture.layers - 1}"
        if head.kind in (HeadKind.NONE, HeadKind.MEAN_POOLING):
            return self._rounded(output, f"{last}.output_stream")
        if head.kind is HeadKind.MASKED_LM:
            return self._masked_lm(output)
        if head.kind is HeadKind.TOKEN_CLASSIFICATION:
            return self._tokens(output)
        source = structure.layer_input(self.architecture.layers)
        state = self._linear(output, "head.classifier", "head.pooler_output" if head.pooler_activation else source)
        if head.pooler_activation is not None:
            state = self._activated(state, head.pooler_activation, "head.pooler", "head.pooler_output")
            state = self._linear(state, "head.pooler", source)
        first, grids = unrounded(expect(state, FirstToken, "the first token's state").x)
        # Rounding all tokens and then taking the first is rounding the first.
        if [grid.quantization() for grid in grids] != [self.activations.get(source)]:
            for number, grid in enumerate(grids):
                self._record(repeated(f"{last}.output_stream", number), grid, state.origin)
        return first

    def _columns(self, outputs: list[Value]) -> Value:
        columns = [expect(output, Column, "a column of the output") for output in outputs]
        if [column.index for column in columns] != [0, 1] or columns[0].x is not columns[1].x:
            raise GraphError(
                f"{outputs[0].origin}: the outputs are not the start's and the end's column; export it anew"
            )
        return columns[0].x

    def _tokens(self, output: Value) -> Value:
        return self._linear(output, "head.classifier", structure.layer_input(self.architecture.layers))

    def _masked_lm(self, output: Value) -> Value:
        state = self._linear(output, "head.decoder", "head.transform_hidden")
        total = self._rounded(self._norm(state, "head.transform_norm"), "head.transform_sum")
        state = self._activated(total, self.architecture.activation, "head.transform", "head.transform_sum")
        return self._linear(state, "head.transform", structure.layer_input(self.architecture.layers))
