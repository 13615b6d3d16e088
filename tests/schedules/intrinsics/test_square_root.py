"""Square roots of a GPU: its integer instructions give what Python's integers give."""

from __future__ import annotations

import math

import numpy as np
from intbert.schedules.intrinsics.square_root import FUNCTION, SOURCE

from ...cuda.kernels import elementwise


def test_exact() -> None:
    """At every square of the range and one below it, where an inexact root errs first; and in between."""
    squares = np.arange(23171, 46341) ** 2
    drawn = np.random.default_rng(0).integers(2**29, 2**31, 50_000)
    values = np.concatenate([squares, squares - 1, drawn, [2**29, 2**31 - 1]])
    np.testing.assert_array_equal(elementwise(FUNCTION, SOURCE, values), [math.isqrt(int(value)) for value in values])


def test_of_zero() -> None:
    (root,) = elementwise(FUNCTION, SOURCE, np.zeros(1, np.int64))
    assert 0 <= root <= 2**14
