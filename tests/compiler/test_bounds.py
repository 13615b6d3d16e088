"""Proofs of whole models: nothing that runs leaves them, and what cannot be proven is refused by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from intbert.compiler.bounds import prove
from intbert.compiler.lowering import lower
from intbert.compiler.model import HeadKind, QuantizedModel, WeightTensor
from intbert.compiler.oracle import interpret
from intbert.errors import BoundsError

from ..models import CLASSES, inputs, tiny_model

LIMITS = {8: 127, 15: 16383}


def int64(*arrays: np.ndarray) -> list[np.ndarray]:
    return [array.astype(np.int64) for array in arrays]


CASES = [
    *((family, head, False) for family in ("Bert", "Roberta", "DistilBert") for head in CLASSES),
    *((family, HeadKind.NONE, True) for family in ("Bert", "Roberta", "DistilBert")),
]


@pytest.mark.parametrize(
    ("family", "head", "relu"),
    [pytest.param(*case, id=f"{case[0]}-{case[1].value}{'-relu' if case[2] else ''}") for case in CASES],
)
def test_no_value_leaves_its_range(family: str, head: HeadKind, relu: bool) -> None:
    model = tiny_model(family, head, relu=relu)
    graph = lower(model)
    proven = prove(graph, 9)
    assert set(proven) == {name for step in graph.steps for name in step.outputs}
    for seed in range(20):
        tokens = inputs(model, 3, 9, seed)
        values = interpret(graph, *int64(tokens.ids, tokens.mask, tokens.types))
        for name, (low, high) in proven.items():
            assert low <= values[name].min(), name
            assert values[name].max() <= high, name


def test_ranges_are_those_of_the_quantization() -> None:
    model = tiny_model("Bert", HeadKind.SEQUENCE_CLASSIFICATION)
    proven = prove(lower(model), 16)
    shared = set(proven) & set(model.activations)
    assert {"embeddings.sum", "layers.0.context", "layers.0.output_hidden", "head.pooler_output"} <= shared
    for name in shared:
        low, high = proven[name]
        assert max(-low, high) <= LIMITS[model.activation(name).bits], name


def test_longest_sequence() -> None:
    graph = lower(tiny_model("Bert", HeadKind.MEAN_POOLING))
    prove(graph, 512)
    with pytest.raises(BoundsError, match=r"^layers\.0\.attention\.softmax: 513 keys"):
        prove(graph, 513)


def with_weight(model: QuantizedModel, name: str, values: np.ndarray) -> QuantizedModel:
    return replace(model, weights={**model.weights, name: WeightTensor(values, model.weight(name).scale)})


@pytest.mark.parametrize("layer", ["layers.0.attention_output", "layers.0.intermediate", "layers.0.output"])
@pytest.mark.parametrize("sign", [1, -1])
def test_bias_that_could_overflow(layer: str, sign: int) -> None:
    model = tiny_model("Bert", HeadKind.NONE)
    bias = model.weight(f"{layer}.bias").values
    broken = with_weight(model, f"{layer}.bias", np.full_like(bias, sign * (2**31 - 1)))
    prove(lower(model), 16)
    with pytest.raises(BoundsError, match=rf"^{layer}: the accumulator .*overflows int32"):
        prove(lower(broken), 16)


def test_name_of_query_key_value() -> None:
    model = tiny_model("Bert", HeadKind.NONE)
    bias = model.weight("layers.0.key.bias").values
    broken = with_weight(model, "layers.0.key.bias", np.full_like(bias, 2**31 - 1))
    with pytest.raises(BoundsError, match=r"^layers\.0\.query_key_value: the accumulator"):
        prove(lower(broken), 16)
