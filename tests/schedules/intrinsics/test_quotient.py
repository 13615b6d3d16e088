"""Quotients of a GPU: its integer instructions give what Python's integers give."""

from __future__ import annotations

import numpy as np
import pytest
from intbert.compiler.operators.layer_norm import RECIPROCAL_ONE
from intbert.compiler.operators.masked_softmax import RECIPROCAL_NUMERATOR
from intbert.schedules.intrinsics.quotient import FUNCTION, SOURCE
from numpy.typing import NDArray

from ...cuda.kernels import elementwise

LARGEST = 2**31 - 1
POWERS = np.unique(np.concatenate([(2 ** np.arange(31))[:, None] + np.arange(-3, 4)]).ravel())
DRAWN = np.random.default_rng(0).integers(0, 2**31, 20_000) >> np.random.default_rng(1).integers(0, 31, 20_000)
ROOTS, MANTISSAS = np.arange(23170, 46341), np.arange(2**15, 2**16)
DIVISORS = np.unique(np.concatenate([POWERS, DRAWN, LARGEST - np.arange(9)]).clip(1, LARGEST))
"""Of every size, 1 and the largest among them."""


def around_multiples(factors: NDArray[np.int64]) -> NDArray[np.int64]:
    """[dividends, divisors]: multiples of every divisor by ``factors`` of the largest quotient, in 2^16ths, and what is
    next to them: there an inexact quotient errs first."""
    multiples = (LARGEST // DIVISORS * factors[:, None] >> 16) * DIVISORS
    dividends = (multiples[:, None] + np.arange(-1, 2)[:, None]).clip(0, LARGEST)
    return pairs(dividends, DIVISORS)


def pairs(dividends: NDArray[np.int64] | int, divisors: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack(np.broadcast_arrays(dividends, divisors)).reshape(2, -1)


OPERANDS = {
    "multiples": around_multiples(np.array([0, 1, 2**15, 2**16 - 1, 2**16])),
    "largest": pairs(LARGEST, DIVISORS),
    "every-reciprocal-of-attention": pairs(RECIPROCAL_NUMERATOR, MANTISSAS),
    "every-reciprocal-of-layer-norm": pairs(RECIPROCAL_ONE + ROOTS // 2, ROOTS),
}


@pytest.mark.parametrize("operands", OPERANDS.values(), ids=OPERANDS)
def test_exact(operands: NDArray[np.int64]) -> None:
    dividends, divisors = operands
    found = elementwise(FUNCTION, SOURCE, dividends, divisors)
    np.testing.assert_array_equal(found, dividends // divisors)
