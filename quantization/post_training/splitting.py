"""Outlier channel splitting: the arithmetic.

Zhao, Hu, Dotzel, De Sa, Zhang, "Improving Neural Network Quantization without Retraining using Outlier Channel
Splitting", ICML 2019: an input channel with the largest weight is duplicated, and its weights are halved, so that the
layer computes what it did and the range to quantize is smaller.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def choose_channels(weight: NDArray[np.floating], count: int) -> list[int]:
    """The columns of ``weight`` [N, K] to split, one after the other; an index >= K is what was split off before.

    Every step takes the column with the largest magnitude, those already split included.
    """
    largest = list(np.abs(weight).max(axis=0).astype(np.float64))
    chosen = []
    for _ in range(count):
        column = int(np.argmax(largest))
        chosen.append(column)
        largest[column] /= 2
        largest.append(largest[column])
    return chosen


def split_columns(
    weight: NDArray[np.floating], chosen: list[int], step: NDArray[np.float64] | float = 0.0
) -> tuple[NDArray[np.floating], NDArray[np.int32]]:
    """``weight`` [N, K] -> [N, K + R], and the original column [R] of each that was split off.

    ``step``, [N] or one number: the distance of the grid's levels that the halves will be rounded to; they then are
    ``(w -+ step / 2) / 2``, whose roundings add up to the rounding of ``w``, where halves that are equal would both
    round the same way (section 3.3 of the paper). 0: equal halves. Exact before rounding: the halves add up to w.
    """
    columns = weight.shape[1]
    split = np.concatenate([weight, np.zeros((len(weight), len(chosen)), weight.dtype)], axis=1)
    origin = list(range(columns))
    quarter = np.asarray(step, weight.dtype) / 4
    for added, column in enumerate(chosen, columns):
        half = split[:, column] / 2
        split[:, column], split[:, added] = half - quarter, half + quarter
        origin.append(origin[column])
    return split, np.array(origin[columns:], np.int32)
