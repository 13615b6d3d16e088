"""ACIQ: weights and activations are clipped where a bell curve with their moments has the least expected error.

Banner, Nahshan, Soudry, "Post training 4-bit quantization of convolutional networks for rapid-deployment", NeurIPS
2019, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...compiler.model import Architecture, Quantization, QuantizedModel
from ...compiler.packing import Packing
from ...errors import SchemeError
from ..export import activations_from_ranges, export
from ..integers import limit, without_zeros
from ..request import Request
from ..scheme import Granularity, Scheme
from ..structure import encoder_linears
from ..weights import MinMaxWeights, grid_limit, round_to_grid
from .calibrated import provenance
from .clipping import Distribution, Spread, optimal_clip
from .observed import input_importance, observed_ranges, observed_spreads


@dataclass(frozen=True)
class AciqOptions:
    """What the values are taken to be distributed as."""

    distribution: str = "auto"
    """``laplace``, ``gauss``, or ``auto``: whichever has moments more like those of the values."""
    keep_outliers: bool = True
    """What errs less on the calibration sentences over its whole range than clipped, an activation or a row of
    weights, keeps that range: the few large channels that encoders have are no part of a bell curve."""

    def __post_init__(self) -> None:
        known = [distribution.value for distribution in Distribution]
        if self.distribution not in known:
            raise SchemeError(f"aciq: there is no distribution '{self.distribution}'; there are {', '.join(known)}")


def quantize_aciq(request: Request) -> QuantizedModel:
    """Clips the weights of the encoder's linears, the word embeddings, and what the linears read, analytically.

    The residual stream and the operands of attention keep the ranges that were observed. Raises CalibrationError
    and QuantizedModelError like :func:`quantize_calibrated`.
    """
    model, scheme = request.model, request.scheme
    options = request.options or AciqOptions()
    distribution = Distribution(options.distribution)
    ranges = observed_ranges(request)
    observed = {_distributed(linear.input) for linear in encoder_linears(model.architecture)}
    spreads = observed_spreads(request, observed)
    analytic = analytic_ranges(model.architecture, scheme, spreads, distribution)
    clipped = {name: min(magnitude, ranges[name]) for name, magnitude in analytic.items()}
    activations = activations_from_ranges(model, scheme, {**ranges, **clipped})
    if options.keep_outliers:
        activations |= _better(request, {name: activations[name] for name in clipped}, ranges)
    importance = input_importance(request) if options.keep_outliers else {}
    quantizer = AnalyticWeights(distribution, importance)
    return export(model, scheme, activations, quantizer, quantizer, provenance(request))


def _better(
    request: Request, analytic: Mapping[str, Quantization], ranges: Mapping[str, float]
) -> dict[str, Quantization]:
    """Of each activation the analytical quantization or that of its observed range, whichever errs less."""
    from .rounding_error import measure_rounding

    observed = activations_from_ranges(request.model, request.scheme, ranges)
    candidates = {name: (quantization, observed[name]) for name, quantization in analytic.items()}
    batches = request.needed_calibration().batches
    errors = measure_rounding(request.model, batches, candidates, request.progress)
    return {name: candidates[name][int(np.argmin(error))] for name, error in errors.items()}


def _distributed(activation: str) -> str:
    """The activation whose distribution is a bell: before the GELU or ReLU, where ``activation`` is one-sided."""
    return activation.replace(".activation_output", ".activation_input")


def analytic_ranges(
    architecture: Architecture, scheme: Scheme, spreads: Mapping[str, Spread], distribution: Distribution
) -> dict[str, float]:
    """The magnitude to clip every activation at that a linear of the encoder reads.

    ``spreads`` are those of the activations themselves; of ``activation_input`` for what is one-sided. The grid is
    symmetric about zero: the distance of the mean from it is added.
    """
    ranges = {}
    for name in {linear.input for linear in encoder_linears(architecture)}:
        bits = scheme.bits_of_activation(architecture, name)
        spread = spreads[_distributed(name)]
        levels = 2 * limit(bits) + 1
        if name.endswith(".activation_output"):
            # With a zero point all levels lie on the one side: as fine as twice as many on both. Without one, half do.
            clip = optimal_clip(spread, levels if bits == 8 else 2 * levels, distribution)
            ranges[name] = max(0.0, float(spread.mean + clip))
        else:
            ranges[name] = float(np.abs(spread.mean) + optimal_clip(spread, levels, distribution))
    return ranges


class AnalyticWeights(MinMaxWeights):
    """Clips every matrix, or every row of it, where the distribution with its moments has the least expected error."""

    def __init__(self, distribution: Distribution, importance: Mapping[str, NDArray[np.float64]] | None = None) -> None:
        """``importance``: of the input channels [K] of linears whose scales keep the whole range where, weighted so,
        that has the smaller error."""
        self._distribution = distribution
        self._importance = importance or {}

    def scale(self, name: str, weight: NDArray[np.float32], bits: int, granularity: Granularity) -> NDArray[np.float64]:
        spread = Spread.of(weight, 1 if granularity is Granularity.ROW else None)
        packing = self.packing(name, bits)
        levels = _levels(packing)
        clip = np.abs(spread.mean) + optimal_clip(spread, levels, self._distribution)
        whole = super().scale(name, weight, bits, granularity)
        # Cells, not their centres, fill the range: the outermost levels lie half a cell inside.
        clipped = np.minimum(2 * clip / levels / (1 if packing is None else packing.step), whole)
        if name not in self._importance:
            return clipped

        def error(scale: NDArray[np.float64]) -> NDArray[np.float64]:
            usable = without_zeros(scale)
            column = usable if usable.ndim == 0 else usable[:, None]
            rows = np.square(round_to_grid(weight, usable, packing) * column - weight) @ self._importance[name]
            return rows if granularity is Granularity.ROW else rows.sum()

        return np.where(error(clipped) < error(whole), clipped, whole)


def _levels(packing: Packing | None) -> int:
    return 2 * grid_limit(packing) // (1 if packing is None else packing.step) + 1
