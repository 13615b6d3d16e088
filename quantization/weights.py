"""Weight quantizers: how a method chooses the scale and the integers of a weight matrix."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..compiler.model import WeightTensor
from ..compiler.packing import Packing
from . import integers
from .scheme import Granularity


class WeightQuantizer(Protocol):
    """Chooses scales, then integers, of one weight [N, K] after the other."""

    def split(self, name: str, weight: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32] | None]:
        """The weight [N, K + R] with R columns split off, and the column [R] that each was split from.

        ``(weight, None)`` where the method splits none.
        """
        ...

    def packing(self, name: str, bits: int) -> Packing | None:
        """The grid of the integers of the weight ``name``; None for 8 bits."""
        ...

    def scale(self, name: str, weight: NDArray[np.float32], bits: int, granularity: Granularity) -> NDArray[np.float64]:
        """The distance between neighbouring integers: [N], or without axis for one scale."""
        ...

    def integers(
        self, name: str, weight: NDArray[np.float32], scale: NDArray[np.float64], bits: int
    ) -> NDArray[np.int8]:
        """The integers [N, K] for the ``scale``, which may be larger than what :meth:`scale` chose."""
        ...


def default_packing(bits: int) -> Packing | None:
    """Mid-rise grids up to 2 bits, where a level more matters most; mid-tread ones, with a zero, up to 7."""
    return None if bits == 8 else Packing(bits, mid_rise=bits <= 2)


def grid_limit(packing: Packing | None) -> int:
    """The largest magnitude of the grid's integers."""
    return integers.limit(8) if packing is None else packing.limit


def round_to_grid(
    weight: NDArray[np.floating], scale: NDArray[np.floating], packing: Packing | None
) -> NDArray[np.int8]:
    """The nearest integers of the grid."""
    quotient = weight / (scale if scale.ndim == 0 else scale[:, None])
    limit = grid_limit(packing)
    step = 1 if packing is None else packing.step
    nearest = np.rint((quotient - (step - 1)) / step) * step + (step - 1)
    return np.clip(nearest, -limit, limit).astype(np.int8)


class MinMaxWeights:
    """Linear quantization over the whole range: the largest magnitude gets the largest integer."""

    def split(self, name: str, weight: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32] | None]:
        return weight, None

    def packing(self, name: str, bits: int) -> Packing | None:
        return default_packing(bits)

    def scale(self, name: str, weight: NDArray[np.float32], bits: int, granularity: Granularity) -> NDArray[np.float64]:
        axis = 1 if granularity is Granularity.ROW else None
        magnitude = np.asarray(np.abs(weight).max(axis=axis), np.float64)
        return magnitude / grid_limit(self.packing(name, bits))

    def integers(
        self, name: str, weight: NDArray[np.float32], scale: NDArray[np.float64], bits: int
    ) -> NDArray[np.int8]:
        return round_to_grid(weight, scale, self.packing(name, bits))


def quantize_linear(
    quantizer: WeightQuantizer,
    name: str,
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
    input_scale: float,
    bits: int,
    granularity: Granularity,
) -> dict[str, WeightTensor]:
    """``{name}.weight``, ``.bias`` and, if there is one, ``.split`` of a linear with the weight [N, K].

    Scales are raised where a bias would not fit in 32 bits, or a row lies so far below the others that its
    requantization would have no 32-bit form. Raises QuantizedModelError where that would need another scale than
    the one of the whole matrix.
    """
    weight, split = quantizer.split(name, weight)
    scale = integers.representable_scale(name, quantizer.scale(name, weight, bits, granularity), bias, input_scale)
    values = quantizer.integers(name, weight, scale, bits)
    tensors = {
        f"{name}.weight": WeightTensor(values, scale, quantizer.packing(name, bits)),
        f"{name}.bias": integers.bias(bias, input_scale * scale),
    }
    if split is not None:
        tensors[f"{name}.split"] = WeightTensor(split, np.asarray(1.0))
    return tensors
