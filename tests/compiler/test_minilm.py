"""all-MiniLM-L6-v2, oracle against artifact, byte for byte, with every kind of x86 kernel that this CPU runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from intbert.compiler import bounds, oracle
from intbert.compiler.artifact import read_manifest
from intbert.compiler.build import compile_model
from intbert.compiler.lowering import lower
from intbert.compiler.model import TOKENIZER_FILE, QuantizedModel
from intbert.compiler.oracle import interpret
from intbert.compiler.runtime import load
from intbert.compiler.runtime.inputs import Tokens
from intbert.compiler.runtime.text import Tokenizer, pad
from numpy.typing import NDArray

from .operators.compiled import Processor, every_processor

LENGTH = 32
SENTENCES = [
    "The ferry leaves at a quarter past nine, if the fog lifts, and nobody knows when it will be back.",
    "It rains.",
]


@pytest.fixture(scope="module")
def tokens(minilm: QuantizedModel) -> Tokens:
    assert minilm.tokenizer is not None
    rows = Tokenizer(minilm.tokenizer / TOKENIZER_FILE).encode(SENTENCES, LENGTH)
    return pad(minilm.architecture, rows)


@pytest.fixture(scope="module")
def expected(minilm: QuantizedModel, tokens: Tokens) -> NDArray[np.int64]:
    return oracle.run(minilm, tokens.ids, tokens.mask, tokens.types)


@every_processor
def test_artifact_gives_the_bytes_of_the_oracle(
    minilm: QuantizedModel, tokens: Tokens, expected: NDArray[np.int64], processor: Processor, tmp_path: Path
) -> None:
    target = processor.target()
    folder = compile_model(minilm, target, lengths=[LENGTH], output=tmp_path / "artifact")
    assert set(read_manifest(folder).target.features) <= target.features
    result = load(folder).run(tokens.ids, tokens.mask, tokens.types)
    np.testing.assert_array_equal(result, expected)


def test_values_stay_within_the_proven_ranges(minilm: QuantizedModel, tokens: Tokens) -> None:
    graph = lower(minilm)
    proven = bounds.prove(graph, LENGTH)
    values = interpret(graph, *(array.astype(np.int64) for array in (tokens.ids, tokens.mask, tokens.types)))
    for name, (low, high) in proven.items():
        assert low <= values[name].min(), name
        assert values[name].max() <= high, name


def test_padding_changes_nothing(minilm: QuantizedModel, tokens: Tokens, expected: NDArray[np.int64]) -> None:
    for row, mask in enumerate(tokens.mask):
        length = int(mask.sum())
        alone = oracle.run(minilm, tokens.ids[row : row + 1, :length])
        np.testing.assert_array_equal(alone[0], expected[row])
