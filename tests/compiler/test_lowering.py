"""Lowering: every model becomes a graph of integers, or a typed error says why not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intbert.compiler.bounds import prove
from intbert.compiler.graph import INPUTS, IntegerGraph, Step
from intbert.compiler.lowering import lower
from intbert.compiler.model import Activation, HeadKind, Quantization, QuantizedModel, WeightTensor
from intbert.compiler.operators.epilogues import Activated, Quantized, ResidualAdd
from intbert.compiler.operators.fixed_point import WIDE_LIMIT
from intbert.compiler.operators.linear import Linear
from intbert.compiler.operators.pooling import FirstToken
from intbert.compiler.operators.value_range import NARROW
from intbert.compiler.oracle import interpret
from intbert.errors import BoundsError, QuantizedModelError

from ..models import CLASSES, inputs, tiny_model

MODELS = {head: tiny_model("Bert", head) for head in (HeadKind.SEQUENCE_CLASSIFICATION, HeadKind.MASKED_LM)}
MAGNITUDES = [1e-320, 1e-300, 1e-30, 1e-9, 1e-3, 1.0, 1e3, 1e9, 1e30, 1e300]


def with_scale(model: QuantizedModel, activation: str, scale: float) -> QuantizedModel:
    old = model.activation(activation)
    return replace(model, activations={**model.activations, activation: Quantization(scale, old.bits)})


def refusal(model: QuantizedModel) -> str | None:
    """Why ``model`` cannot be proven; None where it can."""
    try:
        prove(lower(model), 5)
    except BoundsError as error:
        return str(error)
    return None


def assert_proven_or_refused(model: QuantizedModel) -> None:
    reason = refusal(model)
    if reason is not None:
        assert reason.startswith(("layers.", "embeddings", "head.")), reason
        return
    graph = lower(model)
    tokens = inputs(model, 2, 5)
    values = interpret(graph, *(array.astype(np.int64) for array in (tokens.ids, tokens.mask, tokens.types)))
    for name, (low, high) in prove(graph, 5).items():
        assert low <= values[name].min(), name
        assert values[name].max() <= high, name


@settings(max_examples=300)
@given(st.data())
def test_any_scale_is_proven_or_refused(data: st.DataObject) -> None:
    """Neither another error nor a warning, whatever the scales; where it is proven, nothing leaves its range."""
    model = MODELS[data.draw(st.sampled_from(sorted(MODELS)))]
    for _ in range(data.draw(st.integers(1, 2))):
        activation = data.draw(st.sampled_from(sorted(model.activations)))
        model = with_scale(model, activation, data.draw(st.sampled_from(MAGNITUDES)))
    assert_proven_or_refused(model)


@settings(max_examples=200)
@given(st.data())
def test_any_weight_scale_is_proven_or_refused(data: st.DataObject) -> None:
    model = MODELS[data.draw(st.sampled_from(sorted(MODELS)))]
    name = data.draw(st.sampled_from(sorted(name for name in model.weights if not name.endswith(".bias"))))
    weight = model.weight(name)
    scale = np.full_like(weight.scale, data.draw(st.sampled_from(MAGNITUDES)))
    broken = replace(model, weights={**model.weights, name: WeightTensor(weight.values, scale)})
    assert_proven_or_refused(broken)


@pytest.mark.parametrize("head", [pytest.param(kind, id=kind.value) for kind in CLASSES])
@pytest.mark.parametrize("family", ["Bert", "Roberta", "DistilBert"])
def test_every_linear_once(family: str, head: HeadKind) -> None:
    model = tiny_model(family, head)
    linears = [step.operator for step in lower(model).steps if isinstance(step.operator, Linear)]
    taken = sum(linear.weight.size for linear in linears)
    tables = ("embeddings.word", "embeddings.position", "embeddings.token_type")
    stored = sum(
        weight.values.size
        for name, weight in model.weights.items()
        if name.endswith(".weight") and not name.startswith(tables)
    )
    assert taken == stored
    assert len({linear.name for linear in linears}) == len(linears)


def test_epilogues() -> None:
    def epilogues(model: QuantizedModel) -> dict[str, object]:
        return {
            step.operator.name: step.operator.epilogue
            for step in lower(model).steps
            if isinstance(step.operator, Linear)
        }

    gelu = epilogues(tiny_model("Bert", HeadKind.NONE))
    assert isinstance(gelu["layers.0.query_key_value"], Quantized)
    assert isinstance(gelu["layers.0.attention_output"], ResidualAdd)
    assert isinstance(gelu["layers.0.intermediate"], Activated)
    relu = epilogues(tiny_model("Bert", HeadKind.NONE, relu=True))["layers.0.intermediate"]
    assert isinstance(relu, Quantized)
    assert relu.requantize.output == NARROW.from_zero()


def test_position_rows_before_the_offset_are_dropped() -> None:
    model = tiny_model("Roberta", HeadKind.NONE)
    assert model.architecture.position_offset == 2
    position = model.weight("embeddings.position.weight").values
    np.testing.assert_array_equal(lower(model).steps[0].operator.position, position[2:])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "quantization", "message"),
    [
        ("attention_sum", Quantization(1e-3, 16), "has 16 bits and the zero point 0; .* in 15 bits"),
        ("attention_stream", Quantization(1e-3, 15, 3), "has 15 bits and the zero point 3; .* without one"),
        ("attention_hidden", Quantization(1e-3, 9), "has 9 bits; linears read at most 8"),
        ("key", Quantization(1e-3, 8, -5), "has the zero point -5; .* it must be 0"),
    ],
)
def test_activations_that_are_refused(name: str, quantization: Quantization, message: str) -> None:
    model = MODELS[HeadKind.MASKED_LM]
    activations = {**model.activations, f"layers.0.{name}": quantization}
    with pytest.raises(QuantizedModelError, match=rf"layers\.0\.{name} {message}"):
        lower(replace(model, activations=activations))


def test_logits_need_one_scale() -> None:
    model = MODELS[HeadKind.SEQUENCE_CLASSIFICATION]
    weight = model.weight("head.classifier.weight")
    per_row = WeightTensor(weight.values, np.full(len(weight.values), 0.1))
    with pytest.raises(QuantizedModelError, match=r"head\.classifier\.weight has a scale per row"):
        lower(replace(model, weights={**model.weights, "head.classifier.weight": per_row}))


@pytest.mark.parametrize("name", ["layers.0.key.weight", "layers.0.output.bias", "head.decoder.weight"])
def test_missing_tensor(name: str) -> None:
    model = MODELS[HeadKind.MASKED_LM]
    weights = {key: weight for key, weight in model.weights.items() if key != name}
    with pytest.raises(QuantizedModelError, match=f"no tensor '{name}'"):
        lower(replace(model, weights=weights))


def test_missing_scale() -> None:
    model = MODELS[HeadKind.MASKED_LM]
    activations = {key: value for key, value in model.activations.items() if key != "layers.0.context"}
    with pytest.raises(QuantizedModelError, match=r"no scale for 'layers\.0\.context'"):
        lower(replace(model, activations=activations))


def test_pooler_with_another_activation() -> None:
    model = MODELS[HeadKind.SEQUENCE_CLASSIFICATION]
    head = replace(model.architecture.head, pooler_activation=Activation.GELU)
    with pytest.raises(QuantizedModelError, match="a pooler with gelu is not supported; tanh and relu are"):
        lower(replace(model, architecture=replace(model.architecture, head=head)))


def test_graph_refuses_values_that_nothing_wrote() -> None:
    step = Step(FirstToken("first"), ("states", "attention_mask"), ("pooled",))
    with pytest.raises(AssertionError, match="before anything wrote it"):
        IntegerGraph((step,), "pooled", 1.0, token_level=False)
    twice = Step(FirstToken("first"), INPUTS[:2], ("pooled",))
    with pytest.raises(AssertionError, match="writes a value twice"):
        IntegerGraph((twice, twice), "pooled", 1.0, token_level=False)


def test_output_scale_reads_wide_values() -> None:
    model = tiny_model("Bert", HeadKind.MEAN_POOLING)
    graph = lower(model)
    assert graph.output_scale == model.activation("layers.0.output_stream").scale
    assert prove(graph, 5)[graph.output] == [-WIDE_LIMIT, WIDE_LIMIT]
