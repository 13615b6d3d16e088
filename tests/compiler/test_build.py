"""Whole models, compiled for this machine: the bytes of the oracle, integers only, whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intbert.compiler import build, oracle
from intbert.compiler.artifact import Bucket, read_manifest
from intbert.compiler.build import choose_buckets, compile_model, compile_module
from intbert.compiler.lowering import lower
from intbert.compiler.model import HeadKind, Quantization, QuantizedModel
from intbert.compiler.relax import lower_to_relax
from intbert.compiler.runtime import Model, load
from intbert.errors import BoundsError, OutputError, QuantizedModelError
from intbert.targets import get_target
from intbert.targets.target import Target

from ..models import CLASSES, Size, inputs, tiny_model
from .operators.compiled import Processor, every_processor

FAMILIES = ("Bert", "Roberta", "DistilBert")
HOST = get_target("host")


@pytest.fixture(scope="module")
def bert() -> QuantizedModel:
    return tiny_model("Bert", HeadKind.MEAN_POOLING)


@pytest.fixture(scope="module")
def artifact(bert: QuantizedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_model(bert, HOST, lengths=[5], output=tmp_path_factory.mktemp("build") / "artifact")


def assert_equals_oracle(model: Model, quantized: QuantizedModel, batch: int, length: int) -> None:
    """At every token that counts; what stands at padding is nobody's business, and depends on the bucket."""
    tokens = inputs(quantized, batch, length, seed=batch * 100 + length)
    result = model.run(tokens.ids, tokens.mask, tokens.types)
    expected = oracle.run(quantized, tokens.ids, tokens.mask, tokens.types)
    assert result.shape == expected.shape
    if expected.ndim == 3:
        result, expected = result[tokens.mask == 1], expected[tokens.mask == 1]
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("head", [pytest.param(kind, id=kind.value) for kind in CLASSES])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_and_head(tmp_path: Path, family: str, head: HeadKind) -> None:
    quantized = tiny_model(family, head)
    of_every_kind = (family, head) == ("Bert", HeadKind.MEAN_POOLING)
    lengths, batches = ([1, 5], [1, 3]) if of_every_kind else ([5], [3])
    model = load(compile_model(quantized, HOST, lengths=lengths, batches=batches, output=tmp_path / "a"))
    for batch in (1, 3, 4):
        for length in (1, 4, 5):
            assert_equals_oracle(model, quantized, batch, length)


@pytest.mark.parametrize("family", FAMILIES)
def test_relu(tmp_path: Path, family: str) -> None:
    quantized = tiny_model(family, HeadKind.NONE, relu=True)
    model = load(compile_model(quantized, HOST, lengths=[5], output=tmp_path / "a"))
    assert_equals_oracle(model, quantized, 1, 5)


@pytest.mark.parametrize(
    "size",
    [Size(10, 2, 2, 7), Size(48, 1, 3, 96), Size(128, 1, 2, 256)],
    ids=["two odd layers", "heads of 16", "heads of 64"],
)
@every_processor
def test_sizes(tmp_path: Path, size: Size, processor: Processor) -> None:
    quantized = tiny_model("Bert", HeadKind.NONE, size)
    model = load(compile_model(quantized, processor.target(), lengths=[16], output=tmp_path / "a"))
    for length in (16, 7):
        assert_equals_oracle(model, quantized, 1, length)


def test_one_of_everything(tmp_path: Path) -> None:
    quantized = tiny_model("Bert", HeadKind.NONE, Size(1, 1, 1, 1))
    model = load(compile_model(quantized, HOST, lengths=[1], output=tmp_path / "a"))
    assert_equals_oracle(model, quantized, 1, 1)


def test_threads_change_nothing(artifact: Path, bert: QuantizedModel) -> None:
    for threads in (1, 2):
        assert_equals_oracle(load(artifact, threads=threads), bert, 2, 5)


def test_buckets_share_one_set_of_weights(artifact: Path, bert: QuantizedModel, tmp_path: Path) -> None:
    alone = read_manifest(artifact)
    both = read_manifest(compile_model(bert, HOST, lengths=[5, 16], batches=[1, 2], output=tmp_path / "a"))
    assert len(both.buckets) == 4
    assert both.weights == alone.weights
    assert {record.operator.partition("/")[0] for record in both.strategies} == {
        bucket.function for bucket in both.buckets
    }


def test_compiling_again_gives_the_same_bytes(artifact: Path, bert: QuantizedModel, tmp_path: Path) -> None:
    again = compile_model(bert, HOST, lengths=[5], output=tmp_path / "a")
    for path in artifact.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


# TVM puts these two conversions into every LLVM module; only code with 16-bit floats would call them.
TVM_HELPERS = ("__truncsfhf2", "__extendhfsf2")
FLOAT = re.compile(
    r"\b(float|double|half|bfloat|fp128|x86_fp80|f(add|sub|mul|div|rem|neg|cmp|ptosi|ptoui)|[su]itofp)\b"
)


def llvm_functions(module: Any) -> Iterator[tuple[str, str]]:
    """Name and text of every function that the compiled ``module`` defines."""
    for imported in module.imports:
        yield from llvm_functions(imported)
    if module.kind == "llvm":
        text = module.inspect_source("ll")
        for match in re.finditer(r"^define [^\n]*?@\"?([\w.$]+)\"?\(.*?^}", text, re.MULTILINE | re.DOTALL):
            yield match.group(1), match.group(0)


def assert_integers_only(quantized: QuantizedModel, target: Target) -> None:
    lowered = lower_to_relax(lower(quantized), [Bucket(16, 1)], target.features)
    functions = dict(llvm_functions(compile_module(lowered.module, target).mod))
    assert len([name for name in functions if name.startswith("__tvm_ffi_")]) > 5
    for name, text in functions.items():
        if name in TVM_HELPERS:
            continue
        assert not FLOAT.search(text), f"{name}: {FLOAT.search(text)}"
        assert not any(helper in text for helper in TVM_HELPERS), name


@pytest.mark.parametrize("head", [pytest.param(kind, id=kind.value) for kind in CLASSES])
def test_no_float_in_the_compiled_model(head: HeadKind) -> None:
    assert_integers_only(tiny_model("Bert", head), HOST)


@pytest.mark.parametrize("name", ["x86-64-v3", "x86-64-v4", "rpi4", "rpi5"])
def test_no_float_on_other_targets(name: str) -> None:
    assert_integers_only(tiny_model("Bert", HeadKind.MEAN_POOLING, Size(64, 1, 2, 128)), get_target(name))


def test_the_search_for_floats_finds_them() -> None:
    import tvm
    from tvm import te

    x = te.placeholder((8,), "float32", name="x")
    function = te.create_prim_func([x, te.compute((8,), lambda i: x[i] + x[i], name="y")])
    compiled = tvm.compile(tvm.IRModule({"main": function.with_attr("global_symbol", "main")}), HOST.tvm())
    assert any(FLOAT.search(text) for name, text in llvm_functions(compiled.mod) if name not in TVM_HELPERS)


def test_existing_output_is_refused(artifact: Path, bert: QuantizedModel) -> None:
    before = {path.name: path.read_bytes() for path in artifact.iterdir()}
    with pytest.raises(OutputError, match="exists already; pass --force"):
        compile_model(bert, HOST, lengths=[5], output=artifact)
    assert {path.name: path.read_bytes() for path in artifact.iterdir()} == before


def test_force_replaces_the_output(bert: QuantizedModel, tmp_path: Path) -> None:
    folder = compile_model(bert, HOST, lengths=[5], output=tmp_path / "a")
    compile_model(bert, HOST, lengths=[6], output=folder, force=True)
    assert [bucket.length for bucket in read_manifest(folder).buckets] == [6]
    assert_equals_oracle(load(folder), bert, 1, 6)


def with_scale(model: QuantizedModel, activation: str, scale: float) -> QuantizedModel:
    old = model.activation(activation)
    return replace(model, activations={**model.activations, activation: Quantization(scale, old.bits)})


@pytest.mark.parametrize(
    ("activation", "scale", "layer"),
    [
        ("layers.0.query", 1e6, r"layers\.0\.attention\.softmax"),
        ("layers.0.context", 1e-9, r"layers\.0\.attention\.values"),
        ("layers.0.activation_input", 10.0, r"layers\.0\.intermediate"),
        ("layers.0.activation_output", 1e-9, r"layers\.0\.intermediate"),
        ("layers.0.output_hidden", 1e-9, r"layers\.0\.output_norm"),
        ("embeddings.sum", 1e-9, "embeddings"),
        ("embeddings.stream", 1e-12, r"embeddings\.norm"),
    ],
)
def test_scale_that_cannot_be_proven(
    bert: QuantizedModel, tmp_path: Path, activation: str, scale: float, layer: str
) -> None:
    with pytest.raises(BoundsError, match=rf"^{layer}: ") as caught:
        compile_model(with_scale(bert, activation, scale), HOST, lengths=[5], output=tmp_path / "a")
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_failure_of_the_compiler_leaves_nothing(
    bert: QuantizedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As late as possible: when everything but the manifest is written."""

    def fail(*_: object) -> None:
        raise RuntimeError("out of ideas")

    monkeypatch.setattr(build, "write_manifest", fail)
    with pytest.raises(RuntimeError, match="out of ideas"):
        compile_model(bert, HOST, lengths=[5], output=tmp_path / "a")
    assert not any(tmp_path.iterdir())


def test_length_beyond_the_positions(bert: QuantizedModel, tmp_path: Path) -> None:
    positions = bert.architecture.positions
    with pytest.raises(QuantizedModelError, match=f"length {positions + 1} exceeds the model's {positions} positions"):
        compile_model(bert, HOST, lengths=[5, positions + 1], output=tmp_path / "a")
    assert not any(tmp_path.iterdir())
    assert choose_buckets(bert, None, [1]) == (Bucket(positions, 1),)
    assert choose_buckets(bert, [positions, 5, 5], [2, 1]) == (
        Bucket(5, 1), Bucket(5, 2), Bucket(positions, 1), Bucket(positions, 2),
    )  # fmt: skip


@pytest.mark.parametrize("family", ["Roberta"])
def test_longest_sequence(family: str, tmp_path: Path) -> None:
    """Up to the last row of the position table, which RoBERTa starts later."""
    quantized = tiny_model(family, HeadKind.NONE)
    positions = quantized.architecture.positions
    model = load(compile_model(quantized, HOST, lengths=[positions], output=tmp_path / "a"))
    tokens = inputs(quantized, 1, positions)
    np.testing.assert_array_equal(model.run(tokens.ids), oracle.run(quantized, tokens.ids))


@pytest.mark.parametrize(("length", "demanded"), [(16, True), (15, False)], ids=["tiles", "no-tiles"])
def test_amx_is_demanded_where_a_kernel_uses_it(tmp_path: Path, length: int, demanded: bool) -> None:
    """A CPU without AMX must refuse what holds tile instructions, and may run what holds none."""
    v4 = get_target("x86-64-v4")
    target = replace(v4, features=v4.features | {"avx512_vnni", "amx_int8"})
    model = tiny_model("Bert", HeadKind.NONE, Size(hidden=64, heads=2, intermediate=64))
    artifact = compile_model(model, target, lengths=(length,), output=tmp_path / "artifact")
    manifest = read_manifest(artifact)
    assert any(record.strategy == "amx" for record in manifest.strategies) is demanded
    assert ("amx_int8" in manifest.target.features) is demanded
    assert "avx512_vnni" in manifest.target.features
