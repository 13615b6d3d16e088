"""What the tests of table look-up share: layers of few bits, with random and extreme weights and activations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from intbert.compiler.operators.fixed_point import WIDE_LIMIT
from intbert.compiler.operators.linear import Linear
from intbert.compiler.operators.value_range import Range
from intbert.compiler.packing import Packing

from .linear_cases import Array, layer

PACKINGS = {
    "binary": (Packing(1, mid_rise=True), 64),
    "ternary": (Packing(2), 64),
    "quaternary": (Packing(2, mid_rise=True), 32),
}
"""Weights, and the power of two that they are multiplied by."""


def linear(weights: str, reach: int, channels: int, inputs: int, epilogue: str, pattern: str = "random") -> Linear:
    """A layer whose weights are random, or all of them the largest or the smallest."""
    packing, gain = PACKINGS[weights]
    values = np.array(packing.levels.values())
    chosen = {"random": values, "largest": values[-1:], "smallest": values[:1]}[pattern]
    weight = np.random.default_rng(channels).choice(chosen, (channels, inputs)) * gain
    return replace(
        layer(channels, inputs, epilogue),
        weight=weight.astype(np.int8),
        packing=packing,
        gain=gain,
        input_range=Range(-reach, reach),
    )


def calls(
    weights: str, reach: int, rows: int, channels: int, inputs: int, epilogue: str
) -> Iterator[tuple[Linear, Array, Array | None]]:
    """Layers that share a kernel, activations and residuals: random ones, and those with the largest sums."""
    random = np.random.default_rng(rows)
    for pattern in ("random", "largest", "smallest"):
        of = linear(weights, reach, channels, inputs, epilogue, pattern)
        for x in (
            random.integers(-reach, reach + 1, (rows, inputs)),
            np.full((rows, inputs), reach),
            np.full((rows, inputs), -reach),
            np.where(np.indices((rows, inputs)).sum(axis=0) % 2, reach, -reach),
        ):
            residual = random.integers(-WIDE_LIMIT, WIDE_LIMIT + 1, (rows, channels))
            yield of, x, residual if of.epilogue.takes_residual else None
