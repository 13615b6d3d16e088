"""Fixed-point primitives of the oracles, in NumPy int64: the definitions that every kernel must match.

Everything between the accumulators and the next operator happens in 16-bit lanes. The workhorse is
``rounding_multiply_high``, which one instruction computes on every ISA: ``pmulhrsw`` on x86 (SSSE3, AVX2,
AVX-512BW), ``sqrdmulh`` on Arm NEON. A *wide* value has 15 bits (``|q| <= WIDE_LIMIT``) in a 16-bit lane, so that
twice the value and the difference of two values still fit; a *narrow* value has 8 bits (``|q| <= NARROW_LIMIT``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]

NARROW_LIMIT = 127
WIDE_LIMIT = 16383
BLOCK = 2**16
"""Values that are computed together, where rows are independent: their temporaries fit a second-level cache."""
Q15_ONE = 32767
"""The largest Q15 value, standing for 1."""


def rounding_multiply_high(a: Int64Array, b: Int64Array | int) -> Int64Array:
    """``(a * b + 2^14) >> 15`` for int16 factors: their Q15 product, halves rounded up."""
    # In place: large arrays cost the memory that they touch.
    product = a * b
    product += 2**14
    product >>= 15
    return product


def rounding_shift_right(q: Int64Array, bits: Int64Array | int) -> Int64Array:
    """``q / 2^bits`` for bits >= 0, halves rounded up."""
    shift = np.asarray(bits, np.int64)
    shifted = q + ((np.int64(1) << shift) >> 1)
    shifted >>= shift
    return shifted


def saturate(q: Int64Array, limit: int) -> Int64Array:
    """``q`` clamped to ``[-limit, limit]``."""
    return np.clip(q, -limit, limit)


def saturate_int16(q: Int64Array) -> Int64Array:
    """``q`` clamped to what an int16 holds."""
    return np.clip(q, -(2**15), 2**15 - 1)


def bit_length(q: Int64Array) -> Int64Array:
    """The bits of ``q >= 0``, below 2^53: 0 has none, 1 has one."""
    return np.frexp(q.astype(np.float64))[1].astype(np.int64)


def exact_product(a: NDArray[Any], b: NDArray[Any]) -> Int64Array:
    """``a @ b`` of small integers, [..., M, K] and [..., K, N]: what BLAS adds up in float32 while every partial sum
    stays below 2^24, and so is exact, is added up in int64."""
    largest = max(1, _magnitude(a)) * max(1, _magnitude(b))
    depth = a.shape[-1]
    size = max(1, min(depth, 2**24 // largest))
    total = np.zeros((), np.int64)
    for start in range(0, max(depth, 1), size):
        part = slice(start, start + size)
        product = a[..., part].astype(np.float32) @ b[..., part, :].astype(np.float32)
        total = total + product.astype(np.int64)
    return total


def _magnitude(values: NDArray[Any]) -> int:
    return max(int(values.max(initial=0)), -int(values.min(initial=0)))


def by_rows(function: Callable[..., Int64Array], *arrays: Int64Array | None) -> Int64Array:
    """``function(*arrays)`` of arrays [rows, N] of which each row is computed alone: blocks of rows stay in cache."""
    rows, channels = next(array.shape for array in arrays if array is not None)
    size = max(1, BLOCK // max(channels, 1))
    blocks = [
        function(*(None if array is None else array[start : start + size] for array in arrays))
        for start in range(0, rows, size)
    ]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
