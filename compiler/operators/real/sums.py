"""Sums in float64 whose order every target keeps, and that vector registers can still compute.

A sum over channels runs in 16 lanes: lane ``l`` adds the channels ``l``, ``l + 16``, ``l + 32`` and so on, one after
the other; then the lanes are added one after the other. Other sums just run from the first element to the last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import te, tirx

from .. import expressions as ex
from .functions import Float64Array, real

LANES = 16


def lane_sum(x: Float64Array) -> Float64Array:
    """[..., n] float64 to [...]."""
    n = x.shape[-1]
    padded = np.zeros((*x.shape[:-1], -(-n // LANES) * LANES))
    padded[..., :n] = x
    steps = padded.reshape(*x.shape[:-1], -1, LANES)
    lanes = np.zeros((*x.shape[:-1], LANES))
    for step in range(steps.shape[-2]):
        lanes = lanes + steps[..., step, :]
    return running_sum(lanes, -1)


def running_sum(x: Float64Array, axis: int) -> Float64Array:
    """The sum along ``axis``, from the first element to the last."""
    moved = np.moveaxis(x, axis, 0)
    total = np.zeros(moved.shape[1:])
    for element in moved:
        total = total + element
    return total


def lane_sum_stages(name: str, rows: tuple[int, ...], n: int, element: Callable[..., ex.Expr]) -> Any:
    """TE: the sum over ``n`` channels of ``element(*row, channel)`` (float64); blocks ``name``_lanes and ``name``."""
    steps = -(-n // LANES)
    step = te.reduce_axis((0, steps), "step")
    lane = te.reduce_axis((0, LANES), "lane")

    def lane_element(*indices: Any) -> ex.Expr:
        *row, column = indices
        channel = step * LANES + column
        value = element(*row, channel)
        if n % LANES:
            value = tirx.if_then_else(channel < n, value, real(0.0))
        return te.sum(value, axis=step)

    lanes = te.compute((*rows, LANES), lane_element, name=f"{name}_lanes")
    return te.compute(rows, lambda *row: te.sum(lanes[(*row, lane)], axis=lane), name=name)
