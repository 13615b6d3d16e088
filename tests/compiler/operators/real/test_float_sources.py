"""Floats that are rounded to a grid, or scaled by channels, before an operator reads them; float embedding tables."""

from __future__ import annotations

import numpy as np
import pytest
from intbert.compiler.operators.real.elementwise import Elementwise
from intbert.compiler.operators.real.embedding import RealEmbedding, Table
from intbert.compiler.operators.real.float_sources import RoundedFloats, ScaledFloats
from intbert.compiler.operators.real.functions import Function
from intbert.compiler.operators.real.quantize import Quantize
from intbert.compiler.operators.real.ranges import Range
from intbert.errors import BoundsError

from ..compiled import HOST, Processor
from .floats import assert_same_bytes, cases, draws, run
from .operators import ONE_SIDED, SYMMETRIC


@cases((1, 1, 1), (1, 14, 64), everywhere=(2, 5, 24))
def test_rounded(processor: Processor, shape: tuple[int, int, int]) -> None:
    batch, length, channels = shape
    operator = Elementwise("round", RoundedFloats(ONE_SIDED), Function.IDENTITY)
    x = draws(1, batch * length, channels, 3.0)
    (result,) = run(processor, operator, batch, length, [x])
    assert_same_bytes(result, operator.oracle(x))
    assert_same_bytes(result, ONE_SIDED.rounded(x))


@pytest.mark.parametrize("quantize", [None, SYMMETRIC], ids=["floats", "integers"])
@cases((1, 1, 1), (1, 14, 64), everywhere=(2, 5, 24))
def test_scaled(processor: Processor, shape: tuple[int, int, int], quantize: Quantize | None) -> None:
    batch, length, channels = shape
    factors = np.exp(draws(2, 1, channels)[0])
    operator = Elementwise("smooth", ScaledFloats(factors), Function.IDENTITY, quantize)
    x = draws(1, batch * length, channels, 3.0)
    (result,) = run(processor, operator, batch, length, [x])
    if quantize is None:
        assert_same_bytes(result, x * factors)
    else:
        np.testing.assert_array_equal(result, quantize.oracle(x * factors))


def test_their_values_stay_in_their_ranges() -> None:
    x = draws(3, 50, 24, 100.0)
    given = Range.symmetric(float(np.abs(x).max()))
    for source in (RoundedFloats(ONE_SIDED), ScaledFloats(np.exp(draws(2, 1, 24)[0]))):
        operator = Elementwise("layer", source, Function.IDENTITY)
        assert np.abs(operator.oracle(x)).max() <= operator.bounds(1, given).magnitude


def test_factors_beyond_float32_are_refused() -> None:
    operator = Elementwise("layer", ScaledFloats(np.full(4, 1e30, np.float32)), Function.IDENTITY)
    with pytest.raises(BoundsError, match="layer: the scaled input spans"):
        operator.bounds(1, Range.symmetric(1e10))


def test_float_tables() -> None:
    word, position, token_type = (
        Table.of("table", draws(seed, rows, 24), np.array(1.0)) for seed, rows in enumerate((40, 8, 2))
    )
    embedding = RealEmbedding("embeddings", word, position, token_type)
    random = np.random.default_rng(0)
    ids, types = (random.integers(0, count, (2, 6)).astype(np.int32) for count in (40, 2))
    (result,) = run(HOST, embedding, 2, 6, [ids, types])
    assert_same_bytes(result, embedding.oracle(ids, types))
    assert np.abs(result).max() <= embedding.bounds(6).magnitude


@pytest.mark.parametrize(
    "values", [np.full((4, 8), np.nan, np.float32), np.ones((4, 8), np.float64)], ids=["nan", "float64"]
)
def test_other_tables_are_refused(values: np.ndarray) -> None:
    with pytest.raises(BoundsError, match="table must hold int8 or finite float32 values"):
        Table.of("table", values, np.array(1.0))
