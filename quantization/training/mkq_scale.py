"""Scales that follow the quantization error: their gradient is that of the squared error, not of the task's loss.

Tang et al., "MKQ-BERT: Quantized BERT with 4-bits Weights and Activations", 2022, train scales with a gradient of
their own. What is here is our definition of it: the derivative of ``mean((Q(x) - x)^2)`` by the scale, which exists
wherever no value lies halfway between two integers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .grid import Grid
from .lsq import sum_to


def least_squares_scale(values: Tensor, step: Tensor, grid: Grid) -> Tensor:
    """``round(values / step)``, clamped to the ``grid``, times ``step``.

    ``step`` is positive: a scalar, or broadcastable to ``values``. Its gradient is that of the mean squared
    difference of result and ``values`` over what shares a step, whatever gradient arrives. The gradient of
    ``values`` passes where nothing is clamped.
    """
    return _LeastSquaresScale.apply(values, step, grid)  # type: ignore[no-any-return]


class _LeastSquaresScale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, step: Tensor, grid: Grid) -> Tensor:
        quotient = values / step
        integers = grid.round(quotient)
        ctx.save_for_backward(quotient, integers, step)
        ctx.grid = grid
        return integers * step

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (quotient, integers, step), grid = ctx.saved_tensors, ctx.grid
        error = (integers - quotient) * step
        shared = quotient.numel() // max(step.numel(), 1)
        by_step = sum_to(error * integers, step.shape) * (2 / max(shared, 1))
        return gradients[0] * grid.inside(quotient), by_step, None
