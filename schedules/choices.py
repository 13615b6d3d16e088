"""Open choices of a schedule: tile sizes that a search may replace, with the ones that are taken without a search.

All of them are sampled perfect tiles: the only decisions that MetaSchedule's evolutionary search mutates (its
MutateTileSize; a sampled category is only ever drawn anew).
"""

from __future__ import annotations

from typing import Any

from tvm.s_tir import Schedule

MOST_VECTORS = 4
"""Vectors that may be worked on together."""


def choose_tiles(sch: Schedule, loop: Any, *inner: int, most: int | None = None) -> list[Any]:
    """Splits ``loop``; by default the loops inside have the extents ``inner``, whose product divides its extent.

    ``most``: the largest extent of the innermost loop that may be drawn; None: any.
    """
    extent = int(sch.get(loop).extent)
    outer = extent
    for size in inner:
        outer //= size
    decision = [outer, *inner]
    factors = sch.sample_perfect_tile(loop, len(decision), max(most or extent, inner[-1]), decision=decision)
    return sch.split(loop, factors)


def choose_vectors(sch: Schedule, loop: Any, width: int) -> tuple[Any, Any]:
    """Splits ``loop`` into steps of one or more vectors of ``width`` lanes, by default one; (steps, a step's lanes).

    The extent of ``loop`` is a multiple of ``width``.
    """
    vectors, lane = sch.split(loop, [None, width])
    steps, together = choose_tiles(sch, vectors, 1, most=MOST_VECTORS)
    return steps, sch.fuse(together, lane)
