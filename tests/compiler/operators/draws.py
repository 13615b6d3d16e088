"""Integers for the operators: random ones, and those where fixed-point arithmetic breaks first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]
Shape = tuple[int, ...]


def _uniform(random: np.random.Generator, shape: Shape, limit: int) -> Int64Array:
    return random.integers(-limit, limit + 1, shape)


def _extremes(random: np.random.Generator, shape: Shape, limit: int) -> Int64Array:
    return random.choice(np.array([-limit, limit]), shape)


def _small(random: np.random.Generator, shape: Shape, limit: int) -> Int64Array:
    return random.integers(-2, 3, shape).clip(-limit, limit)


def _rows(random: np.random.Generator, shape: Shape, limit: int) -> Int64Array:
    """A row each of: zeros, the largest, the smallest, one outlier, alternating signs, random."""
    result = random.integers(-limit, limit + 1, shape)
    rows = result.reshape(-1, shape[-1])
    rows[0::6] = 0
    rows[1::6] = limit
    rows[2::6] = -limit
    rows[3::6] = 0
    rows[3::6, 0] = limit
    rows[4::6, 0::2] = limit
    rows[4::6, 1::2] = -limit
    return result


_KINDS: dict[str, Callable[[np.random.Generator, Shape, int], Int64Array]] = {
    "uniform": _uniform,
    "extremes": _extremes,
    "small": _small,
    "rows": _rows,
}


@st.composite
def integers(draw: st.DrawFn, shape: Shape, limit: int) -> Int64Array:
    """int64 array of ``shape``, magnitudes up to ``limit``."""
    kind = draw(st.sampled_from(sorted(_KINDS)))
    return _KINDS[kind](np.random.default_rng(draw(st.integers(0, 2**32 - 1))), shape, limit)


@st.composite
def masks(draw: st.DrawFn, batch: int, length: int) -> Int64Array:
    """Attention masks [batch, length] of 0 and 1: full, padded, with holes, empty."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = random.integers(0, 2, (batch, length))
    for row in range(batch):
        kind = draw(st.sampled_from(["full", "padded", "holes", "empty"]))
        if kind != "holes":
            counted = {"full": length, "empty": 0}.get(kind, int(random.integers(1, length + 1)))
            mask[row] = np.arange(length) < counted
    return mask


def ratios(low: float, high: float) -> st.SearchStrategy[float]:
    """Ratios of scales between ``low`` and ``high``, as likely in every octave."""
    return st.floats(float(np.log2(low)), float(np.log2(high))).map(lambda exponent: float(2.0**exponent))
