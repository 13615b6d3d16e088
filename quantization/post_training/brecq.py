"""BRECQ: roundings that are learned layer by layer on calibration text.

Li et al., "BRECQ: Pushing the Limit of Post-Training Quantization by Block Reconstruction", ICLR 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...compiler.model import Quantization, QuantizedModel
from ...compiler.packing import Packing
from ..export import activations_from_ranges, export
from ..integers import representable_scale
from ..request import Request
from ..scheme import Granularity
from ..structure import encoder_linears
from ..weights import MinMaxWeights
from .brecq_options import BrecqOptions
from .calibrated import provenance
from .clip_search import choose_packings, search_clipping
from .observed import input_importance, observed_ranges

if TYPE_CHECKING:
    from .adaround import AdaptiveRounding


def quantize_brecq(request: Request) -> QuantizedModel:
    """Clips the weights best, then learns their roundings; 2 to 8 bits.

    Raises CalibrationError and QuantizedModelError like :func:`quantize_calibrated`, and SchemeError for options
    that make no sense.
    """
    import torch

    from .adaround import AdaptiveRounding
    from .fisher import fisher_diagonals
    from .reconstruction import Reconstruction
    from .simulation import dequantized

    calibration = request.needed_calibration()
    model, options = request.model, request.options or BrecqOptions()
    activations = activations_from_ranges(model, request.scheme, observed_ranges(request))
    start = _start(request, activations)
    roundings = {
        name: AdaptiveRounding(torch.from_numpy(model.weights[f"{name}.weight"]), grid.scale, grid.packing)
        for name, grid in start.items()
    }
    importance = None
    if options.fisher:
        importance = fisher_diagonals(model, calibration.batches, options.seed, request.progress)
    nearest = export(model, request.scheme, activations, LearnedRounding(start, _integers(roundings)))
    reconstruction = Reconstruction(model, dequantized(model, nearest), activations, options, importance)
    reconstruction.run(calibration.batches, roundings, request.progress)
    learned = LearnedRounding(start, _integers(roundings))
    return export(model, request.scheme, activations, learned, None, provenance(request))


def _integers(roundings: Mapping[str, AdaptiveRounding]) -> dict[str, NDArray[np.int8]]:
    return {name: rounding.integers() for name, rounding in roundings.items()}


@dataclass(frozen=True)
class Grid:
    """Where the weights of a linear may lie."""

    packing: Packing | None
    scale: NDArray[np.float64]


def _start(request: Request, activations: Mapping[str, Quantization]) -> dict[str, Grid]:
    """The grids with the least expected error of the outputs, before anything is learned."""
    model, scheme = request.model, request.scheme
    importance = input_importance(request)
    packings = choose_packings(model, scheme, importance)
    grids = {}
    for linear in encoder_linears(model.architecture):
        name, packing = linear.name, packings[linear.name]
        weight, bias = model.weights[f"{name}.weight"], model.weights[f"{name}.bias"]
        scale = search_clipping(weight, packing, scheme.weight_granularity, importance[name]).scale
        grids[name] = Grid(packing, representable_scale(name, scale, bias, activations[linear.input].scale))
    return grids


class LearnedRounding(MinMaxWeights):
    """Gives the linears the scales and the integers [N, K] that were learned."""

    def __init__(self, grids: Mapping[str, Grid], learned: Mapping[str, NDArray[np.int8]]) -> None:
        self._grids = grids
        self._learned = learned

    def packing(self, name: str, bits: int) -> Packing | None:
        return self._grids[name].packing

    def scale(self, name: str, weight: NDArray[np.float32], bits: int, granularity: Granularity) -> NDArray[np.float64]:
        return self._grids[name].scale

    def integers(
        self, name: str, weight: NDArray[np.float32], scale: NDArray[np.float64], bits: int
    ) -> NDArray[np.int8]:
        return self._learned[name]
