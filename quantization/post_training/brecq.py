"""BRECQ: roundings that are learned layer by layer on calibration text.

Li et al., "BRECQ: Pushing the Limit of Post-Training Quantization by Block Reconstruction", ICLR 2021.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...compiler.model import Quantization, QuantizedModel
from .. import integers
from ..export import activations_from_ranges, export
from ..request import Request
from ..scheme import Granularity
from ..structure import encoder_linears
from ..tokenization import Batch
from ..weights import MinMaxWeights
from .brecq_options import BrecqOptions
from .calibrated import provenance
from .clip_search import search_scale

if TYPE_CHECKING:
    from .adaround import AdaptiveRounding


def quantize_brecq(request: Request) -> QuantizedModel:
    """Clips the weights best, then learns their roundings; 2 to 8 bits.

    Raises CalibrationError and QuantizedModelError like :func:`quantize_calibrated`, and SchemeError for options
    that make no sense.
    """
    import torch

    from ..calibration import calibrate
    from .adaround import AdaptiveRounding
    from .fisher import fisher_diagonals
    from .reconstruction import Reconstruction

    calibration = request.needed_calibration()
    model, options = request.model, request.options or BrecqOptions()
    ranges = calibrate(model, calibration.batches, calibration.observer, request.progress)
    activations = activations_from_ranges(model, request.scheme, ranges)
    grid = MinMaxWeights()
    roundings: dict[str, AdaptiveRounding] = {}
    scales = _scales(request, calibration.batches, activations)
    for name, scale in scales.items():
        packing = grid.packing(request.scheme.bits_of_weight(name))
        roundings[name] = AdaptiveRounding(torch.from_numpy(model.weights[f"{name}.weight"]), scale, packing)
    importance = None
    if options.fisher:
        importance = fisher_diagonals(model, calibration.batches, options.seed, request.progress)
    reconstruction = Reconstruction(model, activations, options, importance)
    learned = reconstruction.run(calibration.batches, roundings, request.progress)
    return export(
        model, request.scheme, activations, LearnedRounding(scales, learned), None, provenance(request, calibration)
    )


def _scales(
    request: Request, batches: Sequence[Batch], activations: Mapping[str, Quantization]
) -> dict[str, NDArray[np.float64]]:
    """The scales with the least expected error of the outputs, before anything is learned."""
    from .moments import observe_channels

    model, scheme, grid = request.model, request.scheme, MinMaxWeights()
    linears = encoder_linears(model.architecture)
    moments = observe_channels(model, batches, {linear.input for linear in linears}, request.progress)
    scales = {}
    for linear in linears:
        packing = grid.packing(scheme.bits_of_weight(linear.name))
        weight, bias = model.weights[f"{linear.name}.weight"], model.weights[f"{linear.name}.bias"]
        scale = search_scale(weight, packing, scheme.weight_granularity, moments[linear.input].square)
        scales[linear.name] = integers.representable_scale(linear.name, scale, bias, activations[linear.input].scale)
    return scales


class LearnedRounding(MinMaxWeights):
    """Gives the linears the scales and the integers [N, K] that were learned."""

    def __init__(self, scales: Mapping[str, NDArray[np.float64]], learned: Mapping[str, NDArray[np.int8]]) -> None:
        self._scales = scales
        self._learned = learned

    def scale(self, name: str, weight: NDArray[np.float32], bits: int, granularity: Granularity) -> NDArray[np.float64]:
        return self._scales[name]

    def integers(
        self, name: str, weight: NDArray[np.float32], scale: NDArray[np.float64], bits: int
    ) -> NDArray[np.int8]:
        return self._learned[name]
