"""Vector widths: how many 16-bit lanes the epilogues and the element-wise operators work on at once."""

from __future__ import annotations

LANES_BY_FEATURE = (("avx512", 32), ("avx2", 16), ("neon", 8))
BASELINE_LANES = 8


def int16_lanes(features: frozenset[str]) -> int:
    """The int16 lanes of the widest vector register."""
    return next((lanes for feature, lanes in LANES_BY_FEATURE if feature in features), BASELINE_LANES)


def widest_divisor(extent: int, limit: int) -> int:
    """The largest divisor of ``extent`` that is at most ``limit``."""
    return next(width for width in range(min(extent, limit), 0, -1) if extent % width == 0)


def divisors(extent: int) -> tuple[int, ...]:
    """All divisors of ``extent``, the least first."""
    return tuple(size for size in range(1, extent + 1) if extent % size == 0)


def vector_width(extent: int, lanes: int) -> int:
    """``lanes``, halved until it divides ``extent``; 1 at the least."""
    while extent % lanes:
        lanes //= 2
    return lanes
