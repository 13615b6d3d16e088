from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from intbert.errors import CheckpointError, InputError
from intbert.quantization import load_float_model
from intbert.quantization.tokenization import load_tokenizer, tokenize

from .checkpoints import SENTENCES, make_model, save_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_model(make_model("Bert", "Model"), tmp_path)


def test_batches_are_padded_to_their_longest_text(folder: Path) -> None:
    batches = load_float_model(folder).batches(SENTENCES, size=2)
    assert sorted(row for batch in batches for row in batch.rows) == list(range(len(SENTENCES)))
    assert [batch.input_ids.shape for batch in batches] == [(2, 8), (2, 9)]
    for batch in batches:
        lengths = batch.attention_mask.sum(axis=1)
        assert list(lengths) == [len(SENTENCES[row].split()) + 2 for row in batch.rows]
        assert (batch.input_ids[batch.attention_mask == 0] == 0).all()
        # The mask is a run of ones, then zeros.
        assert (np.diff(batch.attention_mask, axis=1) <= 0).all()


def test_texts_are_cut_to_the_length_and_to_the_position_table(folder: Path) -> None:
    model = load_float_model(folder)
    long = [" ".join(["dog"] * 100)]
    assert model.batches(long, max_length=10)[0].input_ids.shape == (1, 10)
    assert model.batches(long, max_length=1000)[0].input_ids.shape == (1, model.architecture.positions)


def test_pairs_have_token_types(folder: Path) -> None:
    batch = load_float_model(folder).batches([("man", "dog dog")])[0]
    assert batch.token_type_ids.tolist() == [[0, 0, 0, 1, 1, 1]]


def test_tokenizer_of_another_model(folder: Path) -> None:
    model = load_float_model(folder)
    tokenizer = load_tokenizer(folder)
    with pytest.raises(InputError, match="vocabulary ends at 4"):
        tokenize(tokenizer, SENTENCES, replace(model.architecture, vocabulary=5), 16)
    with pytest.raises(InputError, match="token type 1"):
        tokenize(tokenizer, [("man", "dog")], replace(model.architecture, token_types=1), 16)


def test_missing_and_damaged_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged tokenizer"):
        load_float_model(folder).batches(SENTENCES)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is missing"):
        load_tokenizer(folder)
