"""From sentences to token ids, with the tokenizer that came with the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ArtifactError, InputError
from ..model import Architecture
from .inputs import Tokens, check_tokens

if TYPE_CHECKING:
    import tokenizers

Text = str | tuple[str, str]
"""A sentence, or a pair of sentences."""


@dataclass(frozen=True)
class Encoded:
    """The token ids of one text, and the token type of each."""

    ids: list[int]
    types: list[int]


class Tokenizer:
    """A ``tokenizer.json``. Its settings for truncation and padding are left aside: the buckets decide."""

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer as Backend

        try:
            self._backend: tokenizers.Tokenizer = Backend.from_file(str(path))
        except Exception as error:  # tokenizers raises nothing more specific
            raise ArtifactError(f"{path}: not a tokenizer ({error}); quantize and compile again") from error
        self._backend.no_truncation()
        self._backend.no_padding()

    def encode(self, texts: Sequence[Text], max_length: int, truncate: bool = False) -> list[Encoded]:
        """The token ids of every text, special tokens included.

        With ``truncate`` a text of more than ``max_length`` tokens is cut, of a pair the longer sentence
        first; without, it is an InputError.
        """
        check_texts(texts)
        # One text alone is not worth waking the tokenizer's own pool of threads.
        encodings = [self._encode(texts[0])] if len(texts) == 1 else self._backend.encode_batch_fast(list(texts))
        too_long = [index for index, encoding in enumerate(encodings) if len(encoding.ids) > max_length]
        if too_long and not truncate:
            index = too_long[0]
            raise InputError(
                f"text {index} has {len(encodings[index].ids)} tokens, the artifact's largest bucket holds "
                f"{max_length}; shorten it, pass truncate, or compile with a larger --lengths"
            )
        if too_long:
            self._backend.enable_truncation(max_length)
            try:
                for index in too_long:
                    encodings[index] = self._encode(texts[index])
            finally:
                self._backend.no_truncation()
        return [Encoded(encoding.ids, encoding.type_ids) for encoding in encodings]

    def _encode(self, text: Text) -> tokenizers.Encoding:
        return self._backend.encode(text) if isinstance(text, str) else self._backend.encode(*text)


def check_texts(texts: Sequence[Text]) -> None:
    """Raises InputError unless ``texts`` is a list of sentences, or pairs of them, that UTF-8 can hold."""
    if isinstance(texts, str):
        raise InputError("a single string; pass a list of sentences, as in model(['a sentence'])")
    if not texts:
        raise InputError("no text; pass at least one sentence")
    for index, text in enumerate(texts):
        pair = isinstance(text, tuple) and len(text) == 2 and all(isinstance(part, str) for part in text)
        if not (pair or isinstance(text, str)):
            raise InputError(f"text {index} is {text!r}; pass a sentence, or a tuple of two")
        try:
            "".join(text).encode()
        except UnicodeEncodeError:
            raise InputError(f"text {index} holds half of a surrogate pair; it is no valid Unicode") from None


def pad(architecture: Architecture, rows: Sequence[Encoded]) -> Tokens:
    """The rows as arrays, padded to the longest; raises InputError for ids that the model does not have."""
    longest = max(len(row.ids) for row in rows)
    ids = np.full((len(rows), longest), architecture.pad_token_id)
    mask, types = np.zeros_like(ids), np.zeros_like(ids)
    for index, row in enumerate(rows):
        count = len(row.ids)
        ids[index, :count] = row.ids
        mask[index, :count] = 1
        # Tokenizers number the sentences of a pair even for families that know no token types.
        if architecture.token_types > 1:
            types[index, :count] = row.types
    return check_tokens(architecture, ids, mask, types)
