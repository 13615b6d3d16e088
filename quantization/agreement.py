"""How well two arrays agree: signal to quantization noise ratio, cosine similarity, largest error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXACT_DB = 200.0
"""What a ratio is reported as when there is no noise, or so little: ratios lie in -200..200 dB."""


@dataclass(frozen=True)
class Agreement:
    """``sqnr_db``: ``10 log10(sum reference^2 / sum (other - reference)^2)``, -200 to 200. ``row_sqnr_db``: the median
    of this ratio over the rows, which the few outliers that hold most of the energy of a BERT's activations do not
    decide. ``cosine`` of the two as vectors. ``max_error``: the largest absolute difference."""

    sqnr_db: float
    row_sqnr_db: float
    cosine: float
    max_error: float


class AgreementSums:
    """Collects the sums of an :class:`Agreement`, array [rows, C] after array."""

    def __init__(self) -> None:
        self._signal = self._noise = self._product = self._reference = self._other = self._largest = 0.0
        self._rows: list[NDArray[np.float64]] = []

    def update(self, reference: NDArray[Any], other: NDArray[Any], signal: NDArray[Any] | None = None) -> None:
        """Takes two arrays of one shape. ``signal``: the part of the reference that noise is compared with;
        by default all of it."""
        error = other - reference
        signal = reference if signal is None else signal
        signals, noises = (np.einsum("...c,...c->...", part, part).ravel() for part in (signal, error))
        self._signal += float(signals.sum())
        self._noise += float(noises.sum())
        self._rows.append(_decibels(signals, noises))
        self._product += float(np.vdot(reference, other))
        self._reference += float(np.vdot(reference, reference))
        self._other += float(np.vdot(other, other))
        self._largest = max(self._largest, float(np.abs(error).max(initial=0.0)))

    def agreement(self) -> Agreement:
        """What was collected; of nothing but zeros, a perfect one."""
        norms = math.sqrt(self._reference * self._other)
        cosine = self._product / norms if norms else float(self._reference == self._other)
        total = float(_decibels(np.array([self._signal]), np.array([self._noise]))[0])
        rows = np.concatenate([*self._rows, []])
        return Agreement(total, float(np.median(rows)) if len(rows) else total, cosine, self._largest)


def _decibels(signal: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """``10 log10(signal / noise)`` within -200..200; no noise is 200, noise without a signal -200."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * np.log10(signal / noise)
    return np.clip(np.where(noise == 0, EXACT_DB, ratio), -EXACT_DB, EXACT_DB)


def agreement(reference: NDArray[Any], other: NDArray[Any]) -> Agreement:
    """The agreement of two arrays of one shape, in float64."""
    sums = AgreementSums()
    sums.update(reference.astype(np.float64), other.astype(np.float64))
    return sums.agreement()
