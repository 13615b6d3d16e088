"""Embedding: kernel against oracle, oracle against the real sum, proofs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intbert.compiler.kernels import Shape, build_kernel, parameters
from intbert.compiler.operators.embedding import Embedding, embedding_kernel
from intbert.compiler.operators.fixed_point import WIDE_LIMIT
from intbert.compiler.operators.interval import Interval
from intbert.compiler.packing import Packing
from intbert.errors import BoundsError

from ..packings import FIELDS, draw_values, on_some_processors
from .compiled import HOST, Processor, compiled, every_processor, scheduled
from .draws import Int64Array, integers, ratios

VOCABULARY, POSITIONS, TYPES = 11, 9, 2
CASES = [
    pytest.param(1, 1, 24, True, id="one token"),
    pytest.param(2, 5, 24, True, id="batch"),
    pytest.param(1, 9, 7, False, id="no token types"),
    pytest.param(1, 4, 64, False, id="vectors"),
]


@st.composite
def embeddings(draw: st.DrawFn, hidden: int, typed: bool) -> Embedding:
    def table(rows: int) -> tuple[np.ndarray, float]:
        return draw(integers((rows, hidden), 127)).astype(np.int8), draw(ratios(1e-4, 1e-1))

    word, position, types = table(VOCABULARY), table(POSITIONS), table(TYPES) if typed else None
    return Embedding.from_scales("embeddings", word, position, types, draw(ratios(1e-5, 1e-2)))


def ids(batch: int, length: int, seed: int, typed: bool) -> list[Int64Array]:
    random = np.random.default_rng(seed)
    words = random.integers(0, VOCABULARY, (batch, length))
    words[0, 0] = VOCABULARY - 1
    return [words, *([random.integers(0, TYPES, (batch, length))] if typed else [])]


@every_processor
@pytest.mark.parametrize(("batch", "length", "hidden", "typed"), CASES)
def test_kernel(processor: Processor, batch: int, length: int, hidden: int, typed: bool) -> None:
    shape = Shape(batch, length, batch * length, length, processor.zero_point, 0, processor.target().features)

    @settings(max_examples=20)
    @given(embeddings(hidden, typed), st.integers(0, 2**32 - 1))
    def check(embedding: Embedding, seed: int) -> None:
        kernel = compiled(
            ("scheduled embedding", hidden, typed, shape),
            processor,
            lambda: build_kernel(embedding, shape).function,
        )
        tokens = ids(batch, length, seed, typed)
        (result,) = kernel(*tokens, *parameters(embedding, shape))
        expected = embedding.oracle(*tokens)
        np.testing.assert_array_equal(result, expected)
        proven = embedding.bounds()
        assert proven.low <= expected.min()
        assert expected.max() <= proven.high

    check()


@pytest.mark.parametrize("typed", [True, False], ids=["typed", "untyped"])
def test_unscheduled_kernel(typed: bool) -> None:
    @given(embeddings(24, typed), st.integers(0, 2**32 - 1))
    def check(embedding: Embedding, seed: int) -> None:
        kernel = compiled(("embedding", typed), HOST, lambda: embedding_kernel(embedding, 2, 5))
        tokens = ids(2, 5, seed, typed)
        (result,) = kernel(*tokens, *embedding.parameters())
        np.testing.assert_array_equal(result, embedding.oracle(*tokens))

    check()


@on_some_processors
def test_packed_tables(processor: Processor, packing: Packing) -> None:
    """Words with a scale per row, positions packed another way; 20 channels are padded to 24."""
    others = {"types": Packing(4), "positions": Packing(2)}
    for hidden, typed in [(64, True), *([(20, False)] if processor == HOST and packing in FIELDS else [])]:
        random = np.random.default_rng(hidden)
        word = draw_values(packing, (VOCABULARY, hidden), 0), random.uniform(0.001, 0.01, VOCABULARY)
        position = draw_values(others["positions"], (POSITIONS, hidden), 1), np.float64(0.01)
        types = (draw_values(others["types"], (TYPES, hidden), 2), np.float64(0.002)) if typed else None
        packings = packing, others["positions"], *([others["types"]] if typed else [])
        embedding = Embedding.from_scales("embeddings", word, position, types, 1e-5, packings)
        shape = Shape(2, 5, 10, 5, processor.zero_point, 0, processor.target().features)
        constants = parameters(embedding, shape)
        assert constants[0].nbytes == VOCABULARY * packing.bytes(hidden)
        tokens = ids(2, 5, 3, typed)
        (result,) = scheduled(processor, embedding, shape)(*tokens, *constants)
        np.testing.assert_array_equal(result, embedding.oracle(*tokens))
        assert np.unique(result).size > 16


def test_scale_per_row_is_the_sum() -> None:
    random = np.random.default_rng(0)
    word = random.integers(-127, 128, (VOCABULARY, 24)).astype(np.int8)
    position = random.integers(-127, 128, (POSITIONS, 24)).astype(np.int8)
    scales = random.uniform(1e-4, 1e-2, VOCABULARY), random.uniform(1e-4, 1e-2, POSITIONS)
    embedding = Embedding.from_scales("embeddings", (word, scales[0]), (position, scales[1]), None, 2e-4)
    (words,) = ids(2, 5, 0, typed=False)
    real = (word * scales[0][:, None])[words] + (position * scales[1][:, None])[:5]
    assert np.abs(embedding.oracle(words).reshape(2, 5, 24) * 2e-4 - real).max() <= 2e-4
    largest = sum(int(np.max(multiplier)) for multiplier in embedding.multipliers)
    assert embedding.bounds() == Interval.symmetric(WIDE_LIMIT)
    factor = (2**31 - 1) // 128 // largest + 1
    wider = replace(embedding, multipliers=tuple(multiplier * factor for multiplier in embedding.multipliers))
    with pytest.raises(BoundsError, match="embeddings: the sum of the tables"):
        wider.bounds()


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), ratios(0.05, 20), ratios(0.05, 20), ratios(1e-3, 60))
def test_oracle_is_the_sum(seed: int, position: float, token_type: float, ratio: float) -> None:
    random = np.random.default_rng(seed)
    scales = [0.01, 0.01 * position, 0.01 * token_type]
    tables = [random.integers(-127, 128, (rows, 24)).astype(np.int8) for rows in (VOCABULARY, POSITIONS, TYPES)]
    output_scale = max(scales) / ratio
    word, where, kind = zip(tables, scales, strict=True)
    embedding = Embedding.from_scales("embeddings", word, where, kind, output_scale)
    words, types = ids(2, 5, seed, typed=True)
    real = tables[0][words] * scales[0] + tables[1][:5] * scales[1] + tables[2][types] * scales[2]
    limit = WIDE_LIMIT * output_scale
    error = embedding.oracle(words, types).reshape(2, 5, 24) * output_scale - real.clip(-limit, limit)
    assert np.abs(error).max() <= output_scale


def test_bounds_at_the_edge() -> None:
    table = np.zeros((2, 4), np.int8)
    embedding = Embedding("embeddings", table, table, None, (0, 0), 10)
    widest = (2**31 - 1 - 2**9) // 128
    assert replace(embedding, multipliers=(widest, 0)).bounds() == Interval.symmetric(WIDE_LIMIT)
    with pytest.raises(BoundsError, match="embeddings: the sum of the tables"):
        replace(embedding, multipliers=(widest, 1)).bounds()


@pytest.mark.parametrize("scale", [1e-300, 1e-9, 1e9, 1e300])
def test_scale_that_cannot_be_represented(scale: float) -> None:
    table = np.zeros((2, 4), np.int8), 1.0
    with pytest.raises(BoundsError, match="embeddings: the tables' scales"):
        Embedding.from_scales("embeddings", table, table, table, scale)
