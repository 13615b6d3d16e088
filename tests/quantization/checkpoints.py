"""Tiny random checkpoints of every supported family and head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers
from intbert.quantization.tokenization import Batch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FAMILIES = ("Bert", "Roberta", "DistilBert")
HEADS = (
    "Model",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMaskedLM",
)
VOCABULARY, POSITIONS = 40, 24
WORDS = (
    "a",
    "man",
    "woman",
    "dog",
    "plays",
    "runs",
    "with",
    "the",
    "red",
    "ball",
    "and",
    "green",
    "hat",
    "in",
    "park",
)
SENTENCES = [
    "the man plays with a red ball",
    "a dog runs in the park",
    "woman",
    "the green hat and the red hat",
]


def make_config(family: str, **changes: Any) -> Any:
    """A tiny config; RoBERTa with its position offset, DistilBERT with its own names."""
    common: dict[str, Any] = {"vocab_size": VOCABULARY, "max_position_embeddings": POSITIONS}
    if family == "DistilBert":
        sizes = {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 28, "num_labels": 2}
    else:
        sizes = {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 28,
            "type_vocab_size": 1 if family == "Roberta" else 2,
            "num_labels": 2,
        }
    return getattr(transformers, f"{family}Config")(**{**common, **sizes, **changes})


def make_model(family: str, head: str, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A tiny model whose every parameter (biases, gammas and betas too) is random."""
    model = getattr(transformers, family + head)(make_config(family, **changes)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3, generator=generator)
        for name, parameter in model.named_parameters():
            if "norm" in name.lower() and name.endswith("weight"):
                parameter.add_(1)
    return model


def save_model(model: PreTrainedModel, folder: Path) -> Path:
    """Saves ``model`` and a word-level tokenizer."""
    model.save_pretrained(folder)
    save_tokenizer(folder, model.config.pad_token_id)
    return folder


def change_json(path: Path, **changes: Any) -> None:
    """Overrides keys of the JSON object in ``path``; None removes one."""
    document = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))


def save_tokenizer(folder: Path, pad: int = 0) -> None:
    """A word-level tokenizer that adds [CLS] and [SEP]."""
    special = ["[PAD]", "[UNK]"] if pad == 0 else ["[UNK]", "[PAD]"]
    vocabulary = {word: index for index, word in enumerate([*special, "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    # What a checkpoint's file may carry and must not be obeyed: a fixed padding.
    tokenizer.enable_padding(length=20, pad_id=pad)
    tokenizer.save(str(folder / "tokenizer.json"))


def save_sentence_transformer(folder: Path, pooling: dict[str, Any], normalize: bool, inner: str = "") -> Path:
    """A sentence-transformers folder: a tiny BERT, pooling as described, perhaps a normalization."""
    (folder / inner).mkdir(parents=True, exist_ok=True)
    (folder / "1_Pooling").mkdir()
    save_model(make_model("Bert", "Model"), folder / inner)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    types = [
        ("Transformer", inner),
        ("Pooling", "1_Pooling"),
        *([("Normalize", "2_Normalize")] if normalize else []),
    ]
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in types]
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


def make_batch(pad: int, lengths: tuple[int, ...] = (9, 4, 1), token_types: int = 2, seed: int = 0) -> Batch:
    """Random token ids, right-padded with ``pad``, which no real token is."""
    random = np.random.default_rng(seed)
    ids = np.full((len(lengths), max(lengths)), pad, np.int64)
    mask, types = np.zeros_like(ids), np.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = random.integers(pad + 1, VOCABULARY, length)
        types[row, :length] = random.integers(0, max(1, token_types), length)
        mask[row, :length] = 1
    return Batch(tuple(range(len(lengths))), ids, mask, types)
