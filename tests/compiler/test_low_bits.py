"""Models of few bits, from the model on disk to the bytes of the artifact."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler import bounds, oracle
from intbert.compiler.artifact import read_manifest
from intbert.compiler.build import compile_model
from intbert.compiler.inspection import inspect
from intbert.compiler.lowering import lower
from intbert.compiler.model import HeadKind, QuantizedModel
from intbert.compiler.model_files import load, save
from intbert.compiler.oracle import interpret
from intbert.compiler.packing import Packing
from intbert.compiler.runtime import load as load_artifact
from intbert.targets import get_target

from ..models import Size, inputs, tiny_model
from .low_bits import is_linear, with_activations, with_linears, with_row_scales, with_split, with_weights

HOST = get_target("host")
LINEAR_INPUTS = ("embeddings.output", "_hidden", "context", "activation_output", "pooler_output")
ONE, TWO, THREE, FOUR = Packing(1, True), Packing(2), Packing(3), Packing(4)


def bert(
    head: HeadKind = HeadKind.SEQUENCE_CLASSIFICATION, size: Size | None = None, relu: bool = False
) -> QuantizedModel:
    return tiny_model("Bert", head, size, relu)


def w4a4() -> QuantizedModel:
    model = with_activations(with_linears(bert(), FOUR), dict.fromkeys(LINEAR_INPUTS, (4, 0, True)))
    return with_activations(model, dict.fromkeys(("query", "key", "value"), (4, 0, False)))


def mixed_attention() -> QuantizedModel:
    """Queries, keys and values differ in the bits of weights and outputs."""
    packings = {"query": ONE, "key": THREE, "value": FOUR}
    model = with_weights(bert(), {f"layers.0.{part}.weight": packing for part, packing in packings.items()})
    return with_activations(model, {"query": (4, 0, False), "key": (6, 0, True)})


def w3_split() -> QuantizedModel:
    model = with_linears(bert(size=Size(64, 1, 2, 128)), THREE)
    for linear, channels in {"query": [3, 7], "value": [7], "intermediate": [0, 63], "output": [5, 5, 127]}.items():
        model = with_split(model, f"layers.0.{linear}", channels)
    return model


def w8_split() -> QuantizedModel:
    """Halves of the largest columns: their sums leave int8, so the activation's channels are duplicated."""
    model = bert(size=Size(64, 1, 2, 128))
    for linear in ("key", "attention_output", "output"):
        largest = np.abs(model.weight(f"layers.0.{linear}.weight").values).max(axis=0).argsort()[-3:]
        model = with_split(model, f"layers.0.{linear}", sorted(largest.tolist()))
    return model


def zero_points() -> QuantizedModel:
    """As a graph quantized elsewhere has them: every linear's input, in unsigned 8 bits that became signed."""
    changes = {
        "embeddings.output": (8, 17, False),
        "_hidden": (8, -40, False),
        "context": (8, 5, False),
        "activation_output": (7, -64, False),
        "pooler_output": (5, 3, True),
    }
    return with_activations(bert(), changes)


def relu_zero_point() -> QuantizedModel:
    return with_activations(bert(relu=True), {"activation_output": (8, -128, False), "output_hidden": (4, 2, False)})


def binary_embeddings() -> QuantizedModel:
    model = with_row_scales(with_linears(bert(), ONE), "embeddings.word.weight", ONE)
    return with_weights(model, {"embeddings.position.weight": TWO})


MODELS: dict[str, Callable[[], QuantizedModel]] = {
    "w1a8": lambda: with_linears(bert(HeadKind.MEAN_POOLING), ONE),
    "w2a8": lambda: with_linears(bert(HeadKind.MASKED_LM), TWO),
    "w4a4": w4a4,
    "mixed attention": mixed_attention,
    "w3a8 split": w3_split,
    "w8a8 split": w8_split,
    "zero points": zero_points,
    "relu with a zero point": relu_zero_point,
    "binary embeddings": binary_embeddings,
    "distilbert relu pooler, a2": lambda: with_activations(
        with_linears(tiny_model("DistilBert", HeadKind.SEQUENCE_CLASSIFICATION), Packing(5, True)),
        {"pooler_output": (2, -2, False)},
    ),
}


@pytest.fixture(params=list(MODELS))
def model(request: pytest.FixtureRequest) -> QuantizedModel:
    return MODELS[request.param]()


def test_artifact_gives_the_bytes_of_the_oracle(model: QuantizedModel, tmp_path: Path) -> None:
    artifact = load_artifact(compile_model(model, HOST, lengths=[16], output=tmp_path / "artifact"))
    for batch, length in ((2, 16), (1, 7)):
        tokens = inputs(model, batch, length, seed=length)
        expected = oracle.run(model, tokens.ids, tokens.mask, tokens.types)
        result = artifact.run(tokens.ids, tokens.mask, tokens.types)
        counted = (tokens.mask == 1) if expected.ndim == 3 else slice(None)
        np.testing.assert_array_equal(result[counted], expected[counted])
        assert np.unique(expected).size > 1


def test_values_stay_within_the_proven_ranges(model: QuantizedModel) -> None:
    graph, tokens = lower(model), inputs(model, 4, 16)
    values = interpret(graph, *(array.astype(np.int64) for array in (tokens.ids, tokens.mask, tokens.types)))
    for name, (low, high) in bounds.prove(graph, 16).items():
        assert low <= values[name].min(), name
        assert values[name].max() <= high, name
        if name in model.activations and name not in graph.scales:
            quantization = model.activation(name)
            narrow = quantization.bits <= 8
            assert not narrow or (quantization.low <= low and high <= quantization.limit), name


def test_saved_and_loaded(model: QuantizedModel, tmp_path: Path) -> None:
    save(model, tmp_path)
    loaded = load(tmp_path)
    assert loaded.activations == model.activations
    for name, weight in model.weights.items():
        np.testing.assert_array_equal(loaded.weight(name).values, weight.values)
        assert loaded.weight(name).packing == weight.packing
    stored = sum(
        weight.scale.nbytes
        + (weight.values.nbytes if weight.packing is None else weight.packing.bytes(weight.values.size))
        for weight in model.weights.values()
    )
    header = (tmp_path / "model.safetensors").stat().st_size - stored
    assert 0 < header < 200 * len(model.weights)


def test_artifact_holds_the_true_size(tmp_path: Path) -> None:
    model = MODELS["binary embeddings"]()
    manifest = read_manifest(compile_model(model, HOST, lengths=[4], output=tmp_path / "artifact"))
    packed = sum(math.prod(weight.shape) for weight in manifest.weights if weight.dtype == "uint8")
    linears = sum(weight.values.size for name, weight in model.weights.items() if is_linear(name))
    words, hidden = model.weight("embeddings.word.weight").values.shape
    positions = len(model.weight("embeddings.position.weight").values)
    assert packed == linears // 8 + words * hidden // 8 + positions * hidden // 4


def test_integers_of_eight_and_four_bits_agree() -> None:
    """What few bits lose is in the weights alone: wide scales need not be raised for them."""
    four = with_linears(bert(HeadKind.NONE), FOUR)
    eight = with_weights(four, {})
    weights = {
        name: type(weight)(weight.values * np.int8(16), weight.scale / 16) if is_linear(name) else weight
        for name, weight in eight.weights.items()
    }
    for name in list(weights):
        if is_linear(name):
            bias = name.removesuffix("weight") + "bias"
            weights[bias] = type(weights[bias])(weights[bias].values * 16, weights[bias].scale / 16)
    same = type(eight)(eight.architecture, eight.scheme, weights, eight.activations)
    tokens = inputs(four, 2, 9)
    arguments = (tokens.ids, tokens.mask, tokens.types)
    np.testing.assert_array_equal(oracle.run(four, *arguments), oracle.run(same, *arguments))


def test_inspect_shows_the_bits(tmp_path: Path) -> None:
    model = MODELS["binary embeddings"]()
    save(model, tmp_path)
    report = inspect(tmp_path)
    assert report["weight_bits"]["embeddings.word"] == 1
    assert report["weight_bits"]["embeddings.position"] == 2
    assert report["weight_bits"]["embeddings.token_type"] == 8
    assert report["weight_bits"]["layers.0.query"] == 1
    assert report["activation_bits"]["layers.0.context"] == 8
    words = model.weight("embeddings.word.weight").values.size
    rows = {row["part"]: row["bytes"] for row in report["sizes"]}
    assert rows["1-bit weights"] > words // 8
    manifest = inspect(compile_model(MODELS["mixed attention"](), HOST, lengths=[4], output=tmp_path / "artifact"))
    assert manifest["weight_bits"]["layers.0.query_key_value"] == 4
    assert manifest["weight_bits"]["layers.0.output"] == 8
    assert manifest["weight_bits"]["embeddings.word"] == 8
