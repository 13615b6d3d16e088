"""LQ: linear quantization, the baseline of post-training methods."""

from __future__ import annotations

from ...compiler.model import QuantizedModel
from ..request import Request
from ..weights import MinMaxWeights
from .calibrated import quantize_calibrated


def quantize_lq(request: Request) -> QuantizedModel:
    """Linear (uniform) symmetric quantization over the whole range, of 2 to 8 bits, per channel or per tensor."""
    return quantize_calibrated(request, MinMaxWeights())
