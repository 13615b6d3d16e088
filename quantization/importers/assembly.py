"""From the expression of a whole graph to a QuantizedModel: every part of the encoder is found, from the output back.

The layers are told apart by what they read, never by names. Whatever does not fit the architecture that
``config.json`` describes is refused with the node that made it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ...compiler.model import Activation, Architecture, FloatOperators, HeadKind, Quantization, WeightTensor
from ...errors import GraphError
from .. import structure
from .constants import bias_tensor, float_tensor, table_tensor, weight_tensor
from .probe import Probe
from .values import (
    DYNAMIC,
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
    Rows,
    Smoothed,
    Sum,
    Value,
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
        self._embeddings(state)
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

    def _maybe_rounded(self, value: Value, activation: str) -> Value:
        if not isinstance(value, Rounded):
            return value
        if value.grid is DYNAMIC:
            raise GraphError(f"{value.origin}: '{activation}' is quantized dynamically; only what linears read may be")
        self._record(activation, value.grid, value.origin)
        return value.x

    def _linear(self, value: Value, name: str, activation: str) -> Value:
        linear = expect(value, Linear, f"the linear '{name}'")
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

    def _residual_sum(self, value: Value, norm: str) -> tuple[Linear, Value]:
        parts = expect(value, Sum, f"the residual sum before '{norm}'").parts
        linears = [part for part in parts if isinstance(part, Linear)]
        if len(parts) != 2 or len(linears) != 1:
            kinds = ", ".join(part.origin for part in parts)
            other = next((part for part in parts if isinstance(part, Rounded) and isinstance(part.x, Linear)), None)
            if other is not None:
                expect(other, Linear, f"the output of the linear before '{norm}'")
            raise GraphError(f"{value.origin}: a linear and a residual were expected here, not {kinds}")
        (residual,) = (part for part in parts if part is not linears[0])
        return linears[0], residual

    def _residual(self, value: Value, hidden: Value, stream: str) -> None:
        """The residual must be the state ``hidden``, perhaps as quantized for the linears."""
        if self._maybe_rounded(value, stream) is not hidden:
            raise GraphError(f"{value.origin}: another residual than '{stream}' is added; export the model anew")

    def _layer(self, index: int, state: Value) -> Value:
        layer = f"layers.{index}"
        output, residual = self._residual_sum(self._norm(state, f"{layer}.output_norm"), f"{layer}.output_norm")
        inner = self._linear(output, f"{layer}.output", f"{layer}.activation_output")
        inner = self._activated(inner, self.architecture.activation, f"{layer}.activation_output")
        attended = self._linear(inner, f"{layer}.intermediate", f"{layer}.attention_hidden")
        self._residual(residual, attended, f"{layer}.attention_stream")

        norm = f"{layer}.attention_norm"
        output, residual = self._residual_sum(self._norm(attended, norm), norm)
        context = self._linear(output, f"{layer}.attention_output", f"{layer}.context")
        hidden = self._attention(expect(context, Context, f"the context of '{layer}'"), index)
        stream = "embeddings.stream" if index == 0 else f"layers.{index - 1}.output_stream"
        self._residual(residual, hidden, stream)
        return hidden

    def _activated(self, value: Value, kind: Activation, what: str) -> Value:
        found = expect(value, Activated, f"the activation '{what}'")
        if found.kind is not kind:
            raise GraphError(
                f"{found.origin}: the activation is {found.kind.value}, config.json says {kind.value}; "
                "give the config.json of this graph"
            )
        return found.x

    def _attention(self, context: Context, index: int) -> Value:
        layer = f"layers.{index}"
        found = self._maybe_rounded(context.probabilities, f"{layer}.probabilities")
        scores = expect(found, Probabilities, "the attention's probabilities").scores
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
        return self._linear(self._maybe_rounded(heads.x, name), name, source)

    def _embeddings(self, state: Value) -> None:
        total = self._norm(state, "embeddings.norm")
        tables = structure.embeddings(self.architecture)
        parts = expect(total, Sum, "the sum of the embeddings").parts
        for part in parts:
            rows = expect(part, Rows, "an embedding")
            name = self._table_of(rows)
            if f"{name}.weight" in self.weights:
                raise GraphError(f"{rows.origin}: a second table that is read like '{name}'; export the model anew")
            if rows.table.shape != tables[name]:
                raise GraphError(
                    f"{rows.origin}: a table of shape {list(rows.table.shape)} where config.json implies "
                    f"{list(tables[name])} for '{name}'; give the config.json of this graph"
                )
            self.weights[f"{name}.weight"] = table_tensor(rows.table, rows.origin)
        missing = [name for name in tables if f"{name}.weight" not in self.weights]
        if missing:
            raise GraphError(f"{total.origin}: '{missing[0]}' is not among the embeddings that are added here")

    def _table_of(self, rows: Rows) -> str:
        """Which table this is: told by the rows that it is asked for."""
        probe, architecture = self.probe, self.architecture
        indices = np.broadcast_to(rows.indices, probe.ids.shape) if rows.indices.ndim == 2 else rows.indices
        kept = probe.mask == 1
        if np.array_equal(indices, probe.ids):
            return "embeddings.word"
        positions = probe.positions(architecture.position_offset)
        if indices.shape == positions.shape and np.array_equal(indices[kept], positions[kept]):
            return "embeddings.position"
        # A graph without token types as an input reads those of single sentences.
        if architecture.token_types and (np.array_equal(indices, probe.types) or not indices.any()):
            return "embeddings.token_type"
        raise GraphError(f"{rows.origin}: reads rows that are neither token ids nor positions nor token types")

    # Heads.

    def _head(self, outputs: list[Value]) -> Value:
        head = self.architecture.head
        if head.kind is HeadKind.QUESTION_ANSWERING:
            return self._tokens(self._columns(outputs))
        (output,) = outputs
        if head.kind in (HeadKind.NONE, HeadKind.MEAN_POOLING):
            return output
        if head.kind is HeadKind.MASKED_LM:
            return self._masked_lm(output)
        if head.kind is HeadKind.TOKEN_CLASSIFICATION:
            return self._tokens(output)
        source = structure.layer_input(self.architecture.layers)
        state = self._linear(output, "head.classifier", "head.pooler_output" if head.pooler_activation else source)
        if head.pooler_activation is not None:
            state = self._activated(state, head.pooler_activation, "head.pooler_output")
            state = self._linear(state, "head.pooler", source)
        first = expect(state, FirstToken, "the first token's state").x
        # Rounding all tokens and then taking the first is rounding the first.
        return self._maybe_rounded(first, source)

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
        state = self._activated(
            self._norm(state, "head.transform_norm"), self.architecture.activation, "head.transform"
        )
        return self._linear(state, "head.transform", structure.layer_input(self.architecture.layers))
