"""Sources and quantizations to test the float operators with."""

from __future__ import annotations

from typing import Any

import numpy as np
from intbert.compiler.model import Quantization
from intbert.compiler.operators.real.quantize import ChannelGrid, Quantize
from intbert.compiler.operators.real.rounded_accumulators import RoundedAccumulators
from intbert.compiler.operators.real.sources import Accumulators, DynamicAccumulators, Floats, Source
from numpy.typing import NDArray

from .floats import draws

SYMMETRIC = Quantize.of("x", Quantization(0.031, 8))
ONE_SIDED = Quantize.of("x", Quantization(0.017, 8, -113, narrow_range=False))
NARROW = Quantize.of("x", Quantization(0.4, 4, 3))

SOURCES = ["floats", "accumulators", "dynamic", "rounded"]


def source(kind: str, channels: int, seed: int = 0) -> Source:
    random = np.random.default_rng(seed)
    if kind == "floats":
        return Floats()
    scale = np.exp(random.uniform(-12, -6, channels)).astype(np.float32)
    bias = random.normal(0, 1, channels).astype(np.float32)
    reach = np.full(channels, 2**29 - 1)
    accumulators = Accumulators(scale, bias, reach)
    if kind == "accumulators":
        return accumulators
    if kind == "rounded":
        grids = [grid(channels, seed + number) for number in range(3)]
        return RoundedAccumulators(accumulators, (grids[0],), (grids[1], grids[2]))
    return DynamicAccumulators(scale * 30, bias, random.integers(-9999, 9999, channels).astype(np.int32), reach)


def grid(channels: int, seed: int) -> ChannelGrid:
    """Two quantizations, side by side."""
    scales = np.exp(np.random.default_rng(seed).uniform(-4, 2, 2))
    left, right = (
        Quantize.of("x", Quantization(float(scale), 8, zero_point, narrow_range=False))
        for scale, zero_point in zip(scales, (-128, 17), strict=True)
    )
    return ChannelGrid.of([(left, channels // 3), (right, channels - channels // 3)])


def source_inputs(kind: str, batch: int, rows: int, channels: int, seed: int = 0) -> list[NDArray[Any]]:
    """What a source of this kind reads: the extremes that it is proven for among them."""
    random = np.random.default_rng(seed)
    if kind == "floats":
        return [draws(seed, rows, channels, 2.0)]
    accumulators = random.integers(-20000, 20000, (rows, channels))
    accumulators[::3] = random.choice([2**29 - 1, -(2**29) + 1, 0, 1], channels)
    if kind in ("accumulators", "rounded"):
        return [accumulators]
    accumulators = np.clip(accumulators, -(2**28), 2**28)
    scale = np.exp(random.uniform(-6, -2, (batch, 1))).astype(np.float32)
    return [accumulators, scale, random.integers(-128, 128, (batch, 1))]
