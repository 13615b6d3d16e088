"""From a random BERT to the bytes of its compiled artifact, in seconds: says whether the rest is worth waiting for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from intbert.compiler import oracle
from intbert.compiler.build import compile_model
from intbert.compiler.model import HeadKind
from intbert.compiler.runtime import load
from intbert.quantization.tokenization import Batch
from intbert.targets import get_target

from .models import Size, inputs, tiny_float_model, tiny_model

SIZE = Size(hidden=64, layers=2, heads=2, intermediate=128, vocabulary=100)


def test_tiny_bert(tmp_path: Path) -> None:
    quantized = tiny_model("Bert", HeadKind.MEAN_POOLING, SIZE)
    folder = compile_model(quantized, get_target("host"), lengths=[8, 16], output=tmp_path / "artifact")
    model = load(folder)
    for length in (8, 16, 11):
        tokens = inputs(quantized, 2, length, seed=length)
        assert not tokens.mask.all()
        compiled = model.run(tokens.ids, tokens.mask, tokens.types)
        expected = oracle.run(quantized, tokens.ids, tokens.mask, tokens.types)
        np.testing.assert_array_equal(compiled, expected)
        assert np.unique(compiled).size > 32


def test_tiny_integers_are_like_the_floats() -> None:
    model = tiny_float_model("Bert", HeadKind.MEAN_POOLING, SIZE)
    quantized = tiny_model("Bert", HeadKind.MEAN_POOLING, SIZE)
    tokens = inputs(quantized, 4, 12)
    integers = oracle.run(quantized, tokens.ids, tokens.mask, tokens.types)
    floats = model.forward(
        Batch(tuple(range(4)), *(np.asarray(array, np.int64) for array in (tokens.ids, tokens.mask, tokens.types)))
    )
    cosines = (integers * floats).sum(axis=1) / (np.linalg.norm(integers, axis=1) * np.linalg.norm(floats, axis=1))
    assert cosines.min() > 0.98
