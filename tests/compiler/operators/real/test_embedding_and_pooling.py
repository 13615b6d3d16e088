"""Float embeddings and poolings: kernels against oracles, oracles against their definitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from intbert.compiler.kernels import Shape
from intbert.compiler.operators.real.embedding import RealEmbedding, Table
from intbert.compiler.operators.real.pooling import RealFirstToken, RealMeanPooling
from intbert.compiler.operators.real.ranges import Range
from intbert.errors import BoundsError

from ..compiled import Processor, scheduled
from .floats import assert_same_bytes, cases, draws, run
from .operators import ONE_SIDED


def embedding(hidden: int, types: bool, rows: bool) -> RealEmbedding:
    random = np.random.default_rng(hidden)

    def table(count: int, name: str) -> Table:
        values = random.integers(-128, 128, (count, hidden)).astype(np.int8)
        return Table.of(name, values, np.exp(random.uniform(-6, -3, count if rows else ())))

    return RealEmbedding("embeddings", table(30, "w"), table(9, "p"), table(2, "t") if types else None)


@cases((1, 1, 1), (1, 9, 64), everywhere=(2, 5, 24))
@pytest.mark.parametrize(("types", "rows"), [(True, True), (False, False)], ids=["types", "no types"])
def test_embedding(processor: Processor, shape: tuple[int, int, int], types: bool, rows: bool) -> None:
    batch, length, hidden = shape
    operator = embedding(hidden, types, rows)
    random = np.random.default_rng(0)
    inputs = [random.integers(0, end, (batch, length)) for end in (30, 2)[: 1 + types]]
    kernel_shape = Shape(batch, length, batch, length, 0, 0, processor.target().features)
    (result,) = scheduled(processor, operator, kernel_shape)(*inputs, *operator.parameters())
    expected = operator.oracle(*inputs)
    assert_same_bytes(result, expected)
    proven = operator.bounds(length)
    assert proven.low <= expected.min()
    assert expected.max() <= proven.high


def test_embedding_is_the_sum_of_its_tables() -> None:
    operator = embedding(24, True, True)
    assert operator.token_type is not None
    (row,) = operator.oracle(np.array([[7]]), np.array([[1]]))
    tables = zip((operator.word, operator.position, operator.token_type), (7, 0, 1), strict=True)
    expected = sum(table.values[i].astype(np.float64) * table.scale[i] for table, i in tables)
    np.testing.assert_array_equal(row, np.asarray(expected).astype(np.float32))


@cases((1, 9, 64), everywhere=(2, 5, 24))
@pytest.mark.parametrize("token_type_first", [False, True], ids=["position first", "token type first"])
def test_a_rounded_partial_sum(processor: Processor, shape: tuple[int, int, int], token_type_first: bool) -> None:
    batch, length, hidden = shape
    plain = embedding(hidden, True, False)
    assert plain.token_type is not None
    word, position, token_type = (
        replace(table, zero_point=zero_point)
        for table, zero_point in zip((plain.word, plain.position, plain.token_type), (-7, 0, 128), strict=True)
    )
    operator = RealEmbedding("embeddings", word, position, token_type, (ONE_SIDED,), token_type_first)
    random = np.random.default_rng(0)
    inputs = [random.integers(0, end, (batch, length)) for end in (30, 2)]
    kernel_shape = Shape(batch, length, batch, length, 0, 0, processor.target().features)
    (result,) = scheduled(processor, operator, kernel_shape)(*inputs, *operator.parameters())
    assert_same_bytes(result, operator.oracle(*inputs))

    positions = np.broadcast_to(np.arange(length), inputs[0].shape)
    tables = [(word, inputs[0]), (position, positions), (token_type, inputs[1])]
    of_word, of_position, of_type = (
        (table.values[rows].astype(np.float32) - np.float32(table.zero_point)) * table.scale for table, rows in tables
    )
    second, third = (of_type, of_position) if token_type_first else (of_position, of_type)
    expected = (ONE_SIDED.rounded(of_word + second) + third).reshape(batch * length, hidden)
    np.testing.assert_array_equal(result, expected)
    assert np.abs(expected).max() <= operator.bounds(length).magnitude


def test_infinite_embeddings_are_refused() -> None:
    table = Table(np.ones((1, 1), np.int8), np.array([2.0**118], np.float32))
    with pytest.raises(BoundsError, match="embeddings: the sum of the tables spans"):
        RealEmbedding("embeddings", table, table).bounds(1)


@cases((1, 1, 1), (1, 16, 64), everywhere=(3, 5, 24))
def test_poolings(processor: Processor, shape: tuple[int, int, int]) -> None:
    batch, length, hidden = shape
    states = draws(0, batch * length, hidden)
    mask = np.random.default_rng(1).integers(0, 2, (batch, length))
    mask[-1] = 0
    for operator in (RealMeanPooling("pool"), RealFirstToken("first")):
        (result,) = run(processor, operator, batch, length, [states, mask])
        expected = operator.oracle(states, mask)
        assert_same_bytes(result, expected)
        proven = operator.bounds(length, Range(float(states.min()), float(states.max())))
        assert proven.low <= expected.min()
        assert expected.max() <= proven.high


def test_mean_of_the_unmasked_tokens() -> None:
    states = np.random.default_rng(0).normal(0, 1, (10, 4)).astype(np.float32)
    mask = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0]])
    result = RealMeanPooling("pool").oracle(states, mask)
    np.testing.assert_allclose(result[0], states[[0, 1, 3]].mean(axis=0), rtol=1e-6)
    assert not result[1].any()
