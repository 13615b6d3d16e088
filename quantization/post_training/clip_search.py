"""The scale of a weight whose rounded values are nearest to it: a search over clipping points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...compiler.packing import Packing
from ..scheme import Granularity
from ..weights import grid_limit, round_to_grid

FRACTIONS = np.linspace(1.0, 0.1, 91)
"""Clipping points that are tried, as fractions of the largest magnitude."""


def search_scale(
    weight: NDArray[np.float32],
    packing: Packing | None,
    granularity: Granularity,
    importance: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """The scale, [N] or without axis, of the weight [N, K] with the least squared error ``sum e^2 importance``.

    ``importance`` [K]: how much an error of each input channel counts; E[x^2] of what it is multiplied by makes the
    sum the expected squared error of the output, but for correlations between channels. None: all the same.
    """
    rows = granularity is Granularity.ROW
    weight = weight if rows else weight.reshape(1, -1)
    counts = np.ones(weight.shape[1], np.float32)
    if importance is not None:
        counts = (importance / importance.mean()).astype(np.float32)
        counts = counts if rows else np.tile(counts, weight.shape[1] // len(counts))
    limit = grid_limit(packing)
    largest = np.abs(weight).max(axis=1).astype(np.float64)
    largest[largest == 0] = 1.0
    best = largest / limit
    least = np.full(len(weight), np.inf)
    for fraction in FRACTIONS:
        scale = largest * fraction / limit
        difference = round_to_grid(weight, scale.astype(np.float32), packing) * scale.astype(np.float32)[:, None]
        difference -= weight
        error = np.square(difference, out=difference) @ counts
        better = error < least
        least, best = np.where(better, error, least), np.where(better, scale, best)
    return best if rows else best[0]
