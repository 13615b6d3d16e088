"""Mixed int8/float models: every family and head, static and dynamic, to the bytes of their artifacts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from intbert.compiler import oracle
from intbert.compiler.artifact import Bucket, read_manifest
from intbert.compiler.bounds import prove
from intbert.compiler.build import compile_model, compile_module
from intbert.compiler.lowering import lower
from intbert.compiler.model import (
    FloatOperators,
    HeadKind,
    Quantization,
    QuantizedModel,
    WeightTensor,
)
from intbert.compiler.oracle import interpret
from intbert.compiler.relax import lower_to_relax
from intbert.compiler.runtime import Model, load
from intbert.errors import BoundsError, QuantizedModelError
from intbert.quantization import integers, structure
from intbert.quantization.calibration import calibrate
from intbert.quantization.float_model import FloatModel
from intbert.quantization.mixed import linear_inputs, quantize_mixed
from intbert.quantization.tokenization import Batch
from intbert.targets import get_target

from ..models import CLASSES, Size, inputs, tiny_float_model
from ..quantization.checkpoints import make_batch
from .operators.compiled import Processor, every_processor

HOST = get_target("host")
TARGETS = {
    "fma": get_target("x86-64-v3"),
    "aarch64": get_target("aarch64"),
}


def batches(model: FloatModel) -> list[Batch]:
    architecture = model.architecture
    return [
        make_batch(architecture.pad_token_id, (16, 9, 4, 1), architecture.token_types, seed=number)
        for number in range(3)
    ]


def mixed_model(
    family: str, head: HeadKind, form: str = "static", size: Size | None = None, relu: bool = False
) -> QuantizedModel:
    """A random model: ``static`` as Q8BERT's, ``dynamic``, or ``rounded``: static with attention quantized too, with
    zero points and float biases, as a QDQ graph's; or ``rounded everywhere``, as its operators' outputs may be."""
    model = tiny_float_model(family, head, size, relu)
    names = linear_inputs(model)
    if form == "dynamic":
        return quantize_mixed(model, {}, {}, dynamic=frozenset(names))
    ranges = calibrate(model, batches(model), "min-max")
    if form == "static":
        return quantize_mixed(model, {}, {name: integers.activation(ranges[name], 8) for name in names})
    activations = {name: Quantization(ranges[name] / 100, 8, -20, narrow_range=False) for name in names}
    for layer in range(model.architecture.layers):
        for part in ("query", "key", "value"):
            activations[f"layers.{layer}.{part}"] = Quantization(ranges[f"layers.{layer}.{part}"] / 127, 8)
        activations[f"layers.{layer}.probabilities"] = Quantization(1 / 255, 8, -128, narrow_range=False)
    if form == "rounded everywhere":
        activations |= everywhere(model)
    biases = {
        name: WeightTensor(values, np.array(1.0)) for name, values in model.weights.items() if name.endswith(".bias")
    }
    return quantize_mixed(model, biases, activations)


def everywhere(model: FloatModel) -> dict[str, Quantization]:
    """A grid for every value that may be rounded, some of them twice."""
    linears = [entry.name for entry in structure.linears(model.architecture)]
    partial = "word_token_type" if model.architecture.token_types else "word_position"
    names = [f"embeddings.{partial}", "embeddings.sum", "embeddings.stream", "head.transform_sum"]
    for layer in range(model.architecture.layers):
        values = ("query.2", "scores", "scores.2", "probabilities.2", "attention_sum", "attention_stream")
        values += ("output_sum", "output_sum.2", "output_stream", "output_stream.2")
        names += [f"layers.{layer}.{value}" for value in values]
    for name in linears:
        names += [f"{name}.{value}" for value in ("product", "output", "output.2", "erf", "gate", "gated")]
    random = np.random.default_rng(0)
    return {
        name: Quantization(float(random.uniform(0.02, 0.06)), 8, int(random.integers(-30, 30)), narrow_range=False)
        for name in names
    }


def assert_equals_oracle(model: Model, quantized: QuantizedModel, batch: int, length: int) -> None:
    tokens = inputs(quantized, batch, length, seed=batch * 100 + length)
    result = model.run(tokens.ids, tokens.mask, tokens.types)
    expected = oracle.run(quantized, tokens.ids, tokens.mask, tokens.types)
    assert result.dtype == expected.dtype == np.float32
    assert np.isfinite(expected).all()
    if expected.ndim == 3:
        result, expected = result[tokens.mask == 1], expected[tokens.mask == 1]
    np.testing.assert_array_equal(result.view(np.uint32), expected.view(np.uint32))


FORMS = {"Bert": "rounded", "Roberta": "dynamic", "DistilBert": "static"}
COMPILED = [
    *(("Bert", head) for head in CLASSES),
    *(
        (family, head)
        for family in ("Roberta", "DistilBert")
        for head in (HeadKind.SEQUENCE_CLASSIFICATION, HeadKind.NONE)
    ),
]


@pytest.mark.parametrize(("family", "head"), [pytest.param(f, h, id=f"{f}-{h.value}") for f, h in COMPILED])
def test_artifact(tmp_path: Path, family: str, head: HeadKind) -> None:
    quantized = mixed_model(family, head, FORMS[family])
    model = load(compile_model(quantized, HOST, lengths=[5], batches=[3], output=tmp_path / "a"))
    for batch, length in ((3, 5), (1, 4), (2, 1)):
        assert_equals_oracle(model, quantized, batch, length)


@pytest.mark.parametrize("head", [pytest.param(kind, id=kind.value) for kind in CLASSES])
@pytest.mark.parametrize("family", FORMS)
def test_every_family_and_head_is_proven(family: str, head: HeadKind) -> None:
    for form in (*FORMS.values(), "rounded everywhere"):
        quantized = mixed_model(family, head, form)
        graph, tokens = lower(quantized), inputs(quantized, 2, 5)
        values = interpret(graph, *(array.astype(np.int64) for array in (tokens.ids, tokens.mask, tokens.types)))
        for name, (low, high) in prove(graph, 5).items():
            if name.endswith(".accumulators"):
                continue  # the linear's own interval is for activations of -127 and more
            assert low <= values[name].min(), name
            assert values[name].max() <= high, name


@pytest.mark.parametrize("form", ["dynamic", "rounded everywhere"])
@every_processor
def test_every_processor(tmp_path: Path, processor: Processor, form: str) -> None:
    quantized = mixed_model("Bert", HeadKind.SEQUENCE_CLASSIFICATION, form, Size(64, 1, 2, 96))
    model = load(compile_model(quantized, processor.target(), lengths=[16], output=tmp_path / "a"))
    for length in (16, 7):
        assert_equals_oracle(model, quantized, 1, length)


def test_neither_bucket_nor_batch_changes_a_sentence(tmp_path: Path) -> None:
    """Dynamic scales are those of a sentence's own tokens."""
    quantized = mixed_model("Bert", HeadKind.MEAN_POOLING, "dynamic", relu=True)
    model = load(compile_model(quantized, HOST, lengths=[8], batches=[2], output=tmp_path / "a"))
    tokens = inputs(quantized, 2, 6)
    together = model.run(tokens.ids, tokens.mask, tokens.types)
    for row in range(2):
        alone = oracle.run(quantized, *(array[row : row + 1] for array in (tokens.ids, tokens.mask, tokens.types)))
        np.testing.assert_array_equal(together[row], alone[0])


@pytest.mark.parametrize("family", FORMS)
def test_close_to_the_fake_quantized_model(family: str) -> None:
    """The same roundings in torch's floats: a value on the edge of two integers may fall to either side."""
    size = Size(64, 2, 4, 128)
    model, quantized = tiny_float_model(family, HeadKind.NONE, size), mixed_model(family, HeadKind.NONE, "static", size)
    weights = {
        name: (w.values * (w.scale if w.scale.ndim == 0 else w.scale[:, None])).astype(np.float32)
        for name, w in quantized.weights.items()
    }

    def round_to_integers(name: str, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if name not in quantized.activations:
            return values
        activation = quantized.activations[name]
        return torch.clamp(torch.round(values / activation.scale), activation.low, activation.limit) * activation.scale

    batch = batches(model)[0]
    expected = replace(model, weights=weights).forward(batch, round_to_integers)
    result = oracle.run(quantized, batch.input_ids, batch.attention_mask, batch.token_type_ids)
    difference = np.abs(result - expected)[batch.attention_mask == 1]
    assert np.median(difference) < 2e-6
    assert difference.mean() < 1e-2


def test_manifest_and_floats(tmp_path: Path) -> None:
    quantized = mixed_model("Bert", HeadKind.MEAN_POOLING)
    folder = compile_model(quantized, HOST, lengths=[5], output=tmp_path / "a")
    output = read_manifest(folder).output
    assert (output.dtype, output.scale, output.normalize) == ("float32", 1.0, True)
    model, tokens = load(folder), inputs(quantized, 2, 5)
    values = model.run(tokens.ids, tokens.mask, tokens.types)
    floats = model.to_float(values)
    np.testing.assert_allclose(np.linalg.norm(floats, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(floats * np.linalg.norm(values, axis=1, keepdims=True), values, rtol=1e-5)
    assert not model.to_float(np.zeros((1, 4), np.float32)).any()


@pytest.mark.parametrize("target", TARGETS)
def test_no_product_is_contracted_in_single_precision(target: str) -> None:
    """A contracted float32 product is not rounded; a float64 one is exact. And nothing may be reassociated."""
    quantized = mixed_model("Bert", HeadKind.SEQUENCE_CLASSIFICATION, "rounded everywhere", Size(64, 1, 2, 96))
    lowered = lower_to_relax(lower(quantized), [Bucket(16, 1)], TARGETS[target].features)
    sources = {"ll": "", "asm": ""}
    pending = [compile_module(lowered.module, TARGETS[target]).mod]
    while pending:
        module = pending.pop()
        pending += list(module.imports)
        if module.kind == "llvm":
            for kind in sources:
                sources[kind] += module.inspect_source(kind)
    assert not re.search(r"\bf(add|sub|mul|div) (fast|reassoc|contract|nnan|ninf|nsz|arcp|afn)\b", sources["ll"])
    double, single = (
        (r"\bfml[as]\s+v\d+\.2d", r"\bfml[as]\s+v\d+\.[24]s|\bfn?m(add|sub)\s+s\d")
        if target == "aarch64"
        else (r"\bvfm(add|sub)\d+pd\b", r"\bvfn?m(add|sub)\d+[ps]s\b")
    )
    assert re.search(double, sources["asm"]), "float64 products are expected to be contracted here"
    assert not re.search(single, sources["asm"])


MODEL = {form: mixed_model("Bert", HeadKind.MASKED_LM, form) for form in ("static", "dynamic")}


def with_weight(model: QuantizedModel, name: str, weight: WeightTensor) -> QuantizedModel:
    return replace(model, weights={**model.weights, name: weight})


def test_missing_activation() -> None:
    activations = {k: v for k, v in MODEL["static"].activations.items() if k != "layers.0.context"}
    with pytest.raises(QuantizedModelError, match=r"no scale for 'layers\.0\.context'"):
        lower(replace(MODEL["static"], activations=activations))


def test_a_rounded_product_of_a_dynamic_activation() -> None:
    activations = {"layers.0.output.product": Quantization(0.1, 8)}
    with pytest.raises(QuantizedModelError, match=r"layers\.0\.output: its output is rounded to a fixed grid, but"):
        lower(replace(MODEL["dynamic"], activations=activations))


def test_a_rounded_product_beside_one_that_is_not() -> None:
    activations = {**MODEL["static"].activations, "layers.0.key.product": Quantization(0.1, 8)}
    with pytest.raises(QuantizedModelError, match=r"layers\.0\.query\.product and its neighbours .* equally often"):
        lower(replace(MODEL["static"], activations=activations))


def test_integer_bias_of_a_dynamic_activation() -> None:
    bias = MODEL["static"].weight("layers.0.output.bias")
    with pytest.raises(QuantizedModelError, match=r"layers\.0\.output\.bias is integer.*give it as float32"):
        lower(with_weight(MODEL["dynamic"], "layers.0.output.bias", bias))


@pytest.mark.parametrize("epsilon", [0.0, -1e-5, float("nan"), float("inf")])
def test_epsilon(epsilon: float) -> None:
    with pytest.raises(QuantizedModelError, match="norm_epsilon is"):
        lower(replace(MODEL["static"], float_operators=FloatOperators(epsilon)))


def test_infinite_gamma() -> None:
    gamma = WeightTensor(np.full(24, np.inf, np.float32), np.array(1.0))
    with pytest.raises(BoundsError, match=r"embeddings\.norm\.gamma is NaN or infinite"):
        lower(with_weight(MODEL["static"], "embeddings.norm.gamma", gamma))


@pytest.mark.parametrize("scale", [1e-60, 1e60])
@pytest.mark.parametrize("name", ["embeddings.word.weight", "layers.0.key.weight"])
def test_weight_scales_out_of_range(name: str, scale: float) -> None:
    weight = MODEL["dynamic"].weight(name)
    with pytest.raises(BoundsError, match="scale 1e"):
        lower(with_weight(MODEL["dynamic"], name, WeightTensor(weight.values, np.array(scale))))


def test_inexact_accumulators_are_refused() -> None:
    bias = WeightTensor(np.full(24, 2**29, np.int32), np.array(1.0))
    with pytest.raises(BoundsError, match=r"layers\.0\.attention_norm: an accumulator may reach 53"):
        prove(lower(with_weight(MODEL["static"], "layers.0.attention_output.bias", bias)), 5)
