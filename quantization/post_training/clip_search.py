"""The scale and the grid of a weight whose rounded values are nearest to it: a search over clipping points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...compiler.packing import Packing
from ..float_model import FloatModel
from ..scheme import Granularity, Scheme
from ..structure import encoder_linears
from ..weights import grid_limit, round_to_grid

FRACTIONS = np.linspace(1.0, 0.1, 91)
"""Clipping points that are tried, as fractions of the largest magnitude."""

MOST_MID_RISE_BITS = 4
"""Beyond, one level more is worth next to nothing."""


@dataclass(frozen=True)
class Clipping:
    """A scale, [N] or without axis, and the weighted sum of squared errors that it leaves."""

    scale: NDArray[np.float64]
    error: float


def search_clipping(
    weight: NDArray[np.float32],
    packing: Packing | None,
    granularity: Granularity,
    importance: NDArray[np.float64] | None = None,
) -> Clipping:
    """The scale of the weight [N, K] with the least squared error ``sum e^2 importance``.

    ``importance`` [K]: how much an error of each input channel counts; E[x^2] of what it is multiplied by makes the
    sum the expected squared error of the output, but for correlations between channels. None: all the same.
    """
    rows = granularity is Granularity.ROW
    counts = np.ones(weight.shape[1], np.float32) if importance is None else importance.astype(np.float32)
    if not rows:
        counts, weight = np.tile(counts, len(weight)), weight.reshape(1, -1)
    limit = grid_limit(packing)
    largest = np.abs(weight).max(axis=1).astype(np.float64)
    largest[largest == 0] = 1.0
    best = largest / limit
    least = np.full(len(weight), np.inf)
    for fraction in FRACTIONS:
        scale = (largest * fraction / limit).astype(np.float32)
        difference = round_to_grid(weight, scale, packing) * scale[:, None]
        difference -= weight
        error = np.square(difference, out=difference) @ counts
        better = error < least
        least, best = np.where(better, error, least), np.where(better, scale, best)
    return Clipping(best if rows else best[0], float(least.sum()))


def choose_packings(
    model: FloatModel, scheme: Scheme, importance: Mapping[str, NDArray[np.float64]]
) -> dict[str, Packing | None]:
    """The grid of every encoder linear: mid-tread or mid-rise, whichever leaves the smaller error.

    A mid-rise grid has a level more and no zero, which rows need that have few large weights among small ones.
    Linears that read the same activation, and have as many bits, share a grid: they run as one.
    ``importance`` [K]: of the input channels of every linear.
    """
    groups: dict[tuple[str, int], list[str]] = {}
    for linear in encoder_linears(model.architecture):
        groups.setdefault((linear.input, scheme.bits_of_weight(linear.name)), []).append(linear.name)
    packings: dict[str, Packing | None] = {}
    for (_, bits), names in groups.items():
        candidates: list[Packing | None] = [None if bits == 8 else Packing(bits)]
        if bits <= MOST_MID_RISE_BITS:
            candidates.append(Packing(bits, mid_rise=True))

        def error(packing: Packing | None, names: list[str] = names) -> float:
            return sum(
                search_clipping(
                    model.weights[f"{name}.weight"], packing, scheme.weight_granularity, importance[name]
                ).error
                for name in names
            )

        best = candidates[0] if len(candidates) == 1 else min(candidates, key=error)
        packings |= dict.fromkeys(names, best)
    return packings
