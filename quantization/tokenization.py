"""Text -> padded batches of token ids, with the checkpoint's own ``tokenizer.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..compiler.model import TOKENIZER_FILE, Architecture
from ..errors import CheckpointError, InputError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Text = str | tuple[str, str]
"""A sentence, or a pair of them that the model reads together."""


@dataclass(frozen=True)
class Batch:
    """Right-padded token ids, mask (1 for tokens, 0 for padding) and token types, each int64 [B, T].

    ``rows`` says which texts these are, since batches are made of texts of similar length.
    """

    rows: tuple[int, ...]
    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of ``folder``; raises CheckpointError when ``tokenizer.json`` is missing or damaged."""
    from tokenizers import Tokenizer

    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{folder}: {TOKENIZER_FILE} is missing; "
            "AutoTokenizer.from_pretrained('IN').save_pretrained('OUT') of transformers writes it"
        )
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust library raises bare Exception
        raise CheckpointError(f"{path}: damaged tokenizer ({error}); copy it again") from None


def tokenize(
    tokenizer: Tokenizer, texts: Sequence[Text], architecture: Architecture, max_length: int, size: int = 32
) -> list[Batch]:
    """Batches of at most ``size`` texts, by length, cut to ``max_length`` and to the model's positions.

    Raises InputError when the tokenizer yields an id that the model's tables do not have.
    """
    if max_length < 1:
        raise InputError(f"max_length is {max_length}; it must be at least 1")
    tokenizer.no_padding()
    limit = min(max_length, architecture.positions)
    if limit <= tokenizer.num_special_tokens_to_add(True):
        raise InputError(f"max_length {limit} leaves no room for text beside the special tokens; raise it")
    tokenizer.enable_truncation(limit)
    encodings = tokenizer.encode_batch(list(texts))
    _check_ids(encodings, architecture)
    order = sorted(range(len(encodings)), key=lambda row: len(encodings[row].ids))
    return [
        _pad([encodings[row] for row in rows], tuple(rows), architecture.pad_token_id)
        for rows in (order[start : start + size] for start in range(0, len(order), size))
    ]


def _check_ids(encodings: Sequence[Encoding], architecture: Architecture) -> None:
    largest = max((max(encoding.ids, default=0) for encoding in encodings), default=0)
    if largest >= architecture.vocabulary:
        raise InputError(
            f"the tokenizer yields token id {largest}, the vocabulary ends at {architecture.vocabulary - 1}; "
            "take the tokenizer of this checkpoint"
        )
    largest = max((max(encoding.type_ids, default=0) for encoding in encodings), default=0)
    if architecture.token_types and largest >= architecture.token_types:
        raise InputError(
            f"the tokenizer yields token type {largest}, the model has {architecture.token_types} of them; "
            "give single sentences"
        )


def _pad(encodings: Sequence[Encoding], rows: tuple[int, ...], pad: int) -> Batch:
    length = max(1, *(len(encoding.ids) for encoding in encodings))
    ids = np.full((len(encodings), length), pad, np.int64)
    mask, types = np.zeros_like(ids), np.zeros_like(ids)
    for row, encoding in enumerate(encodings):
        count = len(encoding.ids)
        ids[row, :count], types[row, :count], mask[row, :count] = encoding.ids, encoding.type_ids, 1
    return Batch(rows, ids, mask, types)
