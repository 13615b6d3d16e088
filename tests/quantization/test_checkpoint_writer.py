"""Checkpoints that we write: the importer and transformers read them, and compute the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from intbert.compiler.model import HeadKind
from intbert.errors import CheckpointError
from intbert.quantization.checkpoint import load_float_model
from intbert.quantization.checkpoint_writer import save_float_model

from ..models import tiny_float_model
from .checkpoints import FAMILIES, make_batch, save_tokenizer

HEADS = {
    HeadKind.NONE: "Model",
    HeadKind.SEQUENCE_CLASSIFICATION: "ModelForSequenceClassification",
    HeadKind.TOKEN_CLASSIFICATION: "ModelForTokenClassification",
    HeadKind.QUESTION_ANSWERING: "ModelForQuestionAnswering",
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", [*HEADS, HeadKind.MEAN_POOLING], ids=lambda head: head.value)
def test_what_is_written_is_read_again(family: str, head: HeadKind, tmp_path: Path) -> None:
    model = tiny_float_model(family, head)
    if head is HeadKind.MEAN_POOLING:
        model = replace(
            model,
            architecture=replace(model.architecture, head=replace(model.architecture.head, normalize=family == "Bert")),
        )
    save_float_model(model, tmp_path)
    found = load_float_model(tmp_path)
    assert found.architecture == model.architecture
    assert found.norm_epsilon == model.norm_epsilon
    assert found.weights.keys() == model.weights.keys()
    assert all(np.array_equal(found.weights[name], array) for name, array in model.weights.items())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.value)
def test_transformers_computes_the_same(family: str, head: HeadKind, tmp_path: Path) -> None:
    model = tiny_float_model(family, head)
    save_float_model(model, tmp_path)
    loaded = getattr(transformers, f"Auto{HEADS[head]}").from_pretrained(tmp_path).eval()
    batch = make_batch(model.architecture.pad_token_id, token_types=model.architecture.token_types)
    inputs = {"input_ids": torch.from_numpy(batch.input_ids), "attention_mask": torch.from_numpy(batch.attention_mask)}
    if family != "DistilBert":
        inputs["token_type_ids"] = torch.from_numpy(batch.token_type_ids)
    with torch.no_grad():
        outputs = loaded(**inputs)
    tokens = batch.attention_mask.astype(bool)
    expected = model.forward(batch)
    if head is HeadKind.QUESTION_ANSWERING:
        found = torch.stack([outputs.start_logits, outputs.end_logits], -1).numpy()
    else:
        found = outputs[0].numpy()
    chosen = slice(None) if head is HeadKind.SEQUENCE_CLASSIFICATION else tokens
    np.testing.assert_allclose(found[chosen], expected[chosen], rtol=1e-4, atol=1e-5)


def test_labels_and_the_tokenizer_come_along(tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "written").mkdir()
    save_tokenizer(tmp_path / "tokenizer")
    model = tiny_float_model("Bert", HeadKind.SEQUENCE_CLASSIFICATION).with_tokenizer(tmp_path / "tokenizer")
    head = replace(model.architecture.head, labels=("bad", "good"))
    save_float_model(replace(model, architecture=replace(model.architecture, head=head)), tmp_path / "written")
    found = load_float_model(tmp_path / "written")
    assert found.architecture.head.labels == ("bad", "good")
    assert found.tokenizer == tmp_path / "written"
    config = json.loads((tmp_path / "written" / "config.json").read_text())
    assert config["label2id"] == {"bad": 0, "good": 1}
    # A matrix product's last bit depends on how its operands lie in memory.
    np.testing.assert_allclose(found.predict(["a dog"]), model.predict(["a dog"]), rtol=1e-5)


def test_a_masked_lm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a masked LM is not written"):
        save_float_model(tiny_float_model("Bert", HeadKind.MASKED_LM), tmp_path)
