"""Token ids out of the calibration sentences."""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer


def load_tokenizer(folder: Path) -> Tokenizer:
    """The checkpoint's tokenizer, without its padding and truncation."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def sentence_ids(folder: Path, sentences: Path) -> list[np.ndarray]:
    """Each sentence's ids [1, its length], int64, with [CLS] and [SEP]."""
    lines = sentences.read_text(encoding="utf-8").splitlines()
    encodings = load_tokenizer(folder).encode_batch(lines)
    return [np.array([encoding.ids], dtype=np.int64) for encoding in encodings]


def ids_of_length(folder: Path, sentences: Path, length: int) -> np.ndarray:
    """Ids [1, length] of running text: [CLS], exactly so many real tokens, [SEP]."""
    every = sentence_ids(folder, sentences)
    text = np.concatenate([ids[0, 1:-1] for ids in every])
    text = np.resize(text, length - 2)  # repeats the text where it is too short
    return np.concatenate([every[0][0, :1], text, every[0][0, -1:]])[None]
