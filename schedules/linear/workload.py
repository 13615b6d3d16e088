"""The linear operator's workload, and the memory formats that a model's kernels agree on."""

from __future__ import annotations

from dataclasses import dataclass

from ...targets.cuda import Cuda
from ..layout import ROW_MAJOR, PackedLayout
from ..lookup.operands import LookupOperands
from ..micro_kernels import MICRO_KERNELS
from ..unpack import PackedWeight

UNSIGNED_ZERO_POINT = 128


@dataclass(frozen=True)
class LinearWorkload:
    """``output[rows, channels]`` from ``inputs`` inputs, the weight packed in ``layout``, or indices of tables."""

    rows: int
    channels: int
    inputs: int
    layout: PackedLayout | LookupOperands
    unsigned: bool
    """Whether memory holds the activations as uint8 with zero point 128."""
    lanes: int
    """int16 lanes of the target's widest vector."""
    packed: PackedWeight | None = None
    """How the weight is packed; None: it is int8."""
    activation_bits: int = 8
    """The fewest that hold every activation, its zero point included, in two's complement."""
    gpu: Cuda | None = None
    """That it is compiled for, whose sizes decide between schedules; None: a CPU, or any GPU."""


def weight_layout(features: frozenset[str], channels: int, inputs: int) -> PackedLayout:
    """The layout for a [channels, inputs] weight: one for all lengths, since buckets share their weights."""
    unsigned = activation_zero_point(features) != 0
    for micro_kernel in MICRO_KERNELS:
        usable = micro_kernel.feature in features and micro_kernel.unsigned == unsigned
        if usable and micro_kernel.layout.fits(channels, inputs):
            return micro_kernel.layout
    return ROW_MAJOR


def activation_zero_point(features: frozenset[str]) -> int:
    """128 where the best dot product multiplies unsigned by signed bytes, else 0: one for the whole model."""
    best = next((micro_kernel for micro_kernel in MICRO_KERNELS if micro_kernel.feature in features), None)
    return UNSIGNED_ZERO_POINT if best is not None and best.unsigned else 0
