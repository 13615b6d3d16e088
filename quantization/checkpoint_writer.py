"""FloatModel -> a checkpoint folder that transformers, or sentence-transformers, and the importer read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..compiler.model import Activation, Architecture, Family, HeadKind
from ..errors import CheckpointError
from .families import FAMILIES, candidates, head_kinds
from .float_model import FloatModel
from .tensors import SINGLE_FILE

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)


def save_float_model(model: FloatModel, folder: Path) -> None:
    """Writes ``config.json``, ``model.safetensors`` and the tokenizer's files into the existing, empty ``folder``.

    A model with mean pooling becomes a sentence-transformers folder. Raises CheckpointError for a masked LM.
    """
    from safetensors.numpy import save_file

    architecture = model.architecture
    if architecture.head.kind is HeadKind.MASKED_LM:
        raise CheckpointError(f"{model.name}: a masked LM is not written; write it with transformers")
    pooled = architecture.head.kind is HeadKind.MEAN_POOLING
    base = "" if pooled or architecture.head.kind is HeadKind.NONE else f"{FAMILIES[architecture.family].base}."
    # The first candidate is the name of today's transformers.
    tensors = {candidates(architecture, name, base, tied=False)[0]: array for name, array in model.weights.items()}
    save_file(tensors, folder / SINGLE_FILE, metadata={"format": "pt"})
    _write_json(folder / "config.json", _configuration(model))
    if pooled:
        _write_pooling(folder, architecture)
    if model.tokenizer is not None:
        for name in TOKENIZER_FILES:
            if (model.tokenizer / name).is_file():
                shutil.copyfile(model.tokenizer / name, folder / name)


def _write_json(path: Path, document: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _configuration(model: FloatModel) -> dict[str, Any]:
    import transformers

    architecture, head = model.architecture, model.architecture.head
    (name,) = (
        name
        for name, kind in head_kinds(architecture.family).items()
        if kind is (HeadKind.NONE if head.kind is HeadKind.MEAN_POOLING else head.kind)
    )
    values = _sizes(architecture, model.norm_epsilon)
    values["architectures"] = [name]
    if head.labels:
        values["id2label"] = dict(enumerate(head.labels))
        values["label2id"] = {label: index for index, label in enumerate(head.labels)}
    if head.kind is HeadKind.SEQUENCE_CLASSIFICATION:
        values["problem_type"] = "regression" if len(head.labels) == 1 else "single_label_classification"
    config_class = {
        Family.BERT: transformers.BertConfig,
        Family.ROBERTA: transformers.RobertaConfig,
        Family.DISTILBERT: transformers.DistilBertConfig,
    }[architecture.family]
    return config_class(**values).to_dict()


def _sizes(architecture: Architecture, norm_epsilon: float) -> dict[str, Any]:
    activation = "relu" if architecture.activation is Activation.RELU else "gelu"
    common: Mapping[str, Any] = {
        "vocab_size": architecture.vocabulary,
        "max_position_embeddings": architecture.positions + architecture.position_offset,
        "pad_token_id": architecture.pad_token_id,
        "dtype": "float32",
    }
    if architecture.family is Family.DISTILBERT:
        return {
            **common,
            "dim": architecture.hidden,
            "n_layers": architecture.layers,
            "n_heads": architecture.heads,
            "hidden_dim": architecture.intermediate,
            "activation": activation,
        }
    return {
        **common,
        "hidden_size": architecture.hidden,
        "num_hidden_layers": architecture.layers,
        "num_attention_heads": architecture.heads,
        "intermediate_size": architecture.intermediate,
        "hidden_act": activation,
        "type_vocab_size": architecture.token_types,
        "layer_norm_eps": norm_epsilon,
    }


def _write_pooling(folder: Path, architecture: Architecture) -> None:
    types = [("", "Transformer"), ("1_Pooling", "Pooling")]
    if architecture.head.normalize:
        types.append(("2_Normalize", "Normalize"))
        (folder / "2_Normalize").mkdir()
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(types)
    ]
    _write_json(folder / "modules.json", modules)
    _write_json(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": architecture.hidden, "pooling_mode_mean_tokens": True},
    )
