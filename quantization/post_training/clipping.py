"""ACIQ's analytical clipping: where to clip a bell-shaped tensor so that the expected squared error is least.

Banner, Nahshan, Soudry, "Post training 4-bit quantization of convolutional networks for rapid-deployment", NeurIPS
2019, section 3. Clipping at ``+-A`` and rounding to ``L`` levels between them has the expected squared error

    Laplace(b):     2 b^2 exp(-A/b) + A^2 / (3 L^2)
    Gauss(sigma):   2 integral_A^inf (x - A)^2 p(x) dx + A^2 / (3 L^2)

whose minimum depends on L alone, when A is counted in ``b`` or ``sigma``. The paper has L = 2^M for M bits. What is
one-sided (after a ReLU) spends all its levels on one half: the value of twice as many levels, M + 1 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

GAUSS_RATIO = math.sqrt(2 / math.pi)
"""Mean absolute deviation over standard deviation of a Gauss distribution."""

LAPLACE_RATIO = math.sqrt(1 / 2)
"""The same of a Laplace distribution."""


class Distribution(str, Enum):
    """What the values are taken to be distributed as."""

    LAPLACE = "laplace"
    GAUSS = "gauss"
    AUTO = "auto"
    """Whichever of the two has the ratio of mean absolute to standard deviation that is nearer to the observed one."""


@dataclass(frozen=True)
class Spread:
    """The moments of a tensor, or of each of its rows: mean, mean absolute deviation from it, standard deviation."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    sigma: NDArray[np.float64]

    @classmethod
    def of(cls, values: ArrayLike, axis: int | None = None) -> Spread:
        """The moments of ``values`` along ``axis`` (None: of all)."""
        values = np.asarray(values, np.float64)
        mean = values.mean(axis=axis, keepdims=True)
        deviation = np.abs(values - mean).mean(axis=axis)
        return cls(np.asarray(mean.squeeze() if axis is None else mean.squeeze(axis)), np.asarray(deviation),
                   np.asarray(values.std(axis=axis)))  # fmt: skip


@cache
def laplace_clip(levels: float) -> float:
    """``A / b`` for ``levels`` levels: the solution of ``x exp(x) = 3 L^2``, Lambert's ``W(3 L^2)``."""
    target = math.log(3 * levels**2)
    # x + ln x rises from -inf to inf: one solution.
    return _root(lambda x: x + math.log(x) - target, 1e-9, max(target, 1.0))


@cache
def gauss_clip(levels: float) -> float:
    """``A / sigma`` for ``levels`` levels, where the error's derivative is zero."""

    def derivative(x: float) -> float:
        density = math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
        tail = math.erfc(x / math.sqrt(2)) / 2
        return 2 * x / (3 * levels**2) - 4 * (density - x * tail)

    return _root(derivative, 0.0, 10.0)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where the rising ``function`` crosses zero, by bisection to the last bit that matters."""
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return (low + high) / 2


def _laplace(spread: Spread, levels: float) -> NDArray[np.float64]:
    return laplace_clip(levels) * spread.deviation


def _gauss(spread: Spread, levels: float) -> NDArray[np.float64]:
    return gauss_clip(levels) * spread.sigma


def _auto(spread: Spread, levels: float) -> NDArray[np.float64]:
    boundary = (GAUSS_RATIO + LAPLACE_RATIO) / 2
    bell = spread.deviation > boundary * spread.sigma
    return np.where(bell, _gauss(spread, levels), _laplace(spread, levels))


_CLIPS: Mapping[Distribution, Callable[[Spread, float], NDArray[np.float64]]] = MappingProxyType(
    {Distribution.LAPLACE: _laplace, Distribution.GAUSS: _gauss, Distribution.AUTO: _auto}
)


def optimal_clip(spread: Spread, levels: float, distribution: Distribution) -> NDArray[np.float64]:
    """How far from the mean to clip what has the moments ``spread``, and is rounded to ``levels`` levels."""
    return _CLIPS[distribution](spread, levels)
