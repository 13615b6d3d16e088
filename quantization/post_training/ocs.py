"""OCS: outlier channels are split, so that the range of the weights shrinks, and the rest is clipped best.

Zhao, Hu, Dotzel, De Sa, Zhang, "Improving Neural Network Quantization without Retraining using Outlier Channel
Splitting", ICML 2019.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...compiler.model import QuantizedModel
from ...compiler.packing import Packing
from ...errors import SchemeError
from ..request import Request
from ..scheme import Granularity, Scheme
from ..weights import MinMaxWeights, grid_limit
from .calibrated import quantize_calibrated
from .clip_search import choose_packings, search_clipping
from .observed import input_importance
from .splitting import choose_channels, split_columns


@dataclass(frozen=True)
class OcsOptions:
    """What is split, and how."""

    ratio: float = 0.02
    """The share of a linear's input channels that are added; the paper has 0.01 to 0.05."""
    aware: bool = True
    """Quantization-aware halves, whose roundings add up to the rounding of what was split."""
    clip: bool = True
    """Clip what is left where the expected error of the output is least; otherwise the range is the largest weight."""

    def __post_init__(self) -> None:
        if not 0 <= self.ratio <= 1:
            raise SchemeError(f"ocs: ratio is {self.ratio}, it must lie between 0 and 1; the paper has 0.01 to 0.05")


def quantize_ocs(request: Request) -> QuantizedModel:
    """Splits the outlier channels of every encoder linear, then quantizes to 2 to 8 bits.

    Raises CalibrationError and QuantizedModelError like :func:`quantize_calibrated`.
    """
    importance = input_importance(request)
    packings = choose_packings(request.model, request.scheme, importance)
    options = request.options or OcsOptions()
    return quantize_calibrated(request, SplitWeights(request.scheme, options, importance, packings))


class SplitWeights(MinMaxWeights):
    """Splits channels, one after the other the one with the largest weight as counted in steps of its row's grid."""

    def __init__(
        self,
        scheme: Scheme,
        options: OcsOptions,
        importance: Mapping[str, NDArray[np.float64]],
        packings: Mapping[str, Packing | None],
    ) -> None:
        """``importance``: E[x^2] of every input channel [K] of a linear; ``packings``: the linears' grids."""
        self._scheme = scheme
        self._options = options
        self._importance = importance
        self._packings = packings
        self._scales: dict[str, NDArray[np.float64]] = {}

    def split(self, name: str, weight: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32] | None]:
        count = math.ceil(self._options.ratio * weight.shape[1])
        if not count:
            self._scales[name] = self._clipped(name, weight, np.arange(weight.shape[1]))
            return weight, None
        everything = np.arange(weight.shape[1])
        unsplit = self._clipped(name, weight, everything)
        chosen = choose_channels(weight / (unsplit if unsplit.ndim == 0 else unsplit[:, None]), count)
        halved, origin = split_columns(weight, chosen)
        scale = self._scales[name] = self._clipped(name, halved, np.concatenate([everything, origin]))
        if not self._options.aware:
            return halved, origin
        packing = self._packings[name]
        return split_columns(weight, chosen, scale * (1 if packing is None else packing.step))

    def packing(self, name: str, bits: int) -> Packing | None:
        return self._packings[name]

    def scale(self, name: str, weight: NDArray[np.float32], bits: int, granularity: Granularity) -> NDArray[np.float64]:
        return self._scales[name]

    def _clipped(self, name: str, weight: NDArray[np.float32], origin: NDArray[np.integer]) -> NDArray[np.float64]:
        """The scale of ``weight``, whose column j reads the input channel ``origin[j]``."""
        granularity, packing = self._scheme.weight_granularity, self._packings[name]
        if not self._options.clip:
            scale = super().scale(name, weight, self._scheme.bits_of_weight(name), granularity)
            return np.where(scale > 0, scale, 1.0 / grid_limit(packing))
        return search_clipping(weight, packing, granularity, self._importance[name][origin]).scale
