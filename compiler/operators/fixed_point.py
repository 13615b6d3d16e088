"""Fixed-point primitives of the oracles, in NumPy int64: the definitions that every kernel must match.

Everything between the accumulators and the next operator happens in 16-bit lanes. The workhorse is
``rounding_multiply_high``, which one instruction computes on every ISA: ``pmulhrsw`` on x86 (SSSE3, AVX2,
AVX-512BW), ``sqrdmulh`` on Arm NEON. A *wide* value has 15 bits (``|q| <= WIDE_LIMIT``) in a 16-bit lane, so that
twice the value and the difference of two values still fit; a *narrow* value has 8 bits (``|q| <= NARROW_LIMIT``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]

NARROW_LIMIT = 127
WIDE_LIMIT = 16383
Q15_ONE = 32767
"""The largest Q15 value, standing for 1."""


def rounding_multiply_high(a: Int64Array, b: Int64Array | int) -> Int64Array:
    """``(a * b + 2^14) >> 15`` for int16 factors: their Q15 product, halves rounded up."""
    return (a * b + 2**14) >> 15


def rounding_shift_right(q: Int64Array, bits: Int64Array | int) -> Int64Array:
    """``q / 2^bits`` for bits >= 0, halves rounded up."""
    shift = np.asarray(bits, np.int64)
    return (q + ((np.int64(1) << shift) >> 1)) >> shift


def saturate(q: Int64Array, limit: int) -> Int64Array:
    """``q`` clamped to ``[-limit, limit]``."""
    return np.clip(q, -limit, limit)


def saturate_int16(q: Int64Array) -> Int64Array:
    """``q`` clamped to what an int16 holds."""
    return np.clip(q, -(2**15), 2**15 - 1)
