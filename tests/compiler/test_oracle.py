"""The oracle of whole models: near the floats, indifferent to padding and to the company in a batch."""

from __future__ import annotations

import numpy as np
import pytest
from intbert.compiler import oracle
from intbert.compiler.model import HeadKind
from intbert.compiler.runtime.inputs import Tokens
from intbert.quantization.tokenization import Batch

from ..models import CLASSES, Size, inputs, tiny_float_model, tiny_model

FAMILIES = ("Bert", "Roberta", "DistilBert")
every_family = pytest.mark.parametrize("family", FAMILIES)
every_head = pytest.mark.parametrize("head", [pytest.param(kind, id=kind.value) for kind in CLASSES])
SIZE = Size(hidden=48, layers=2, heads=4, intermediate=96)


def as_batch(tokens: Tokens) -> Batch:
    arrays = (np.asarray(array, np.int64) for array in (tokens.ids, tokens.mask, tokens.types))
    return Batch(tuple(range(len(tokens.ids))), *arrays)


@every_head
@every_family
def test_integers_are_like_the_floats(family: str, head: HeadKind) -> None:
    model, quantized = tiny_float_model(family, head, SIZE), tiny_model(family, head, SIZE)
    tokens = inputs(quantized, 24, 12)
    integers = oracle.run(quantized, tokens.ids, tokens.mask, tokens.types) * oracle.output_scale(quantized)
    floats = model.forward(as_batch(tokens)).astype(np.float64)
    if head is HeadKind.MEAN_POOLING:
        integers /= np.linalg.norm(integers, axis=1, keepdims=True)
    assert integers.shape == floats.shape
    if floats.ndim == 3:
        integers, floats = integers[tokens.mask == 1], floats[tokens.mask == 1]
    error = np.sqrt(((integers - floats) ** 2).mean() / floats.var())
    # Random weights amplify rounding more than trained ones; a wrong formula gives an error of about 1.
    assert error < 0.2, error


@every_head
def test_padding_changes_nothing(head: HeadKind) -> None:
    model = tiny_model("Bert", head)
    tokens = inputs(model, 3, 6)
    padded = [np.pad(array, ((0, 0), (0, 5))) for array in (tokens.ids, tokens.mask, tokens.types)]
    padded[0][:, 6:] = 7  # whatever stands there
    short = oracle.run(model, tokens.ids, tokens.mask, tokens.types)
    long = oracle.run(model, *padded)
    np.testing.assert_array_equal(long[:, :6] if long.ndim == 3 else long, short)


@every_head
def test_rows_of_a_batch_are_independent(head: HeadKind) -> None:
    model = tiny_model("Bert", head)
    tokens = inputs(model, 4, 7)
    together = oracle.run(model, tokens.ids, tokens.mask, tokens.types)
    for row in range(4):
        one = slice(row, row + 1)
        alone = oracle.run(model, tokens.ids[one], tokens.mask[one], tokens.types[one])
        np.testing.assert_array_equal(alone, together[one])


def test_missing_mask_and_types() -> None:
    model = tiny_model("Bert", HeadKind.NONE)
    ids = inputs(model, 2, 5).ids
    given = oracle.run(model, ids, np.ones_like(ids), np.zeros_like(ids))
    np.testing.assert_array_equal(oracle.run(model, ids), given)
    np.testing.assert_array_equal(oracle.run(model, ids.tolist()), given)
