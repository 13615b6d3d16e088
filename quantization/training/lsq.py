"""Learned step size quantization: the loss itself moves the step sizes.

Esser et al., "Learned Step Size Quantization", ICLR 2020, section 2; Jin et al., "KDLSQ-BERT: A Quantized BERT
Combining Knowledge Distillation with Learned Step Size Quantization", 2021.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .grid import LEAST_STEP, Grid


def learned_step(values: Tensor, step: Tensor, grid: Grid) -> Tensor:
    """``round(values / step)``, clamped to the ``grid``, times ``step``.

    ``step`` is positive: a scalar, or broadcastable to ``values``. The gradient of ``values`` passes where nothing
    is clamped. That of ``step`` is ``round(values / step) - values / step`` there, and the grid's end that was
    clamped to elsewhere (Esser et al., equation 3); summed over what shares a step, and scaled with
    :func:`gradient_scale`.
    """
    return _LearnedStep.apply(values, step, grid)  # type: ignore[no-any-return]


def gradient_scale(values: int, grid: Grid) -> float:
    """``1 / sqrt(N Qp)`` for N ``values`` that share a step (Esser et al., section 2.2)."""
    return 1 / math.sqrt(max(values, 1) * max(grid.high, 1))


def initial_step(values: Tensor, grid: Grid) -> Tensor:
    """``2 mean|x| / sqrt(Qp)`` for a symmetric grid, ``4 mean|x| / sqrt(Qp)`` for another: a scalar.

    Esser et al., section 2.1; the asymmetric one is that of Jin et al. A mid-rise grid counts its codes, half the
    distance of its integers.
    """
    factor = 2 if grid.low == -grid.high else 4
    mean = values.detach().abs().mean()
    return (factor * mean / math.sqrt(max(grid.high // grid.stride, 1)) / grid.stride).clamp(min=LEAST_STEP)


def learned_clip(values: Tensor, step: Tensor, grid: Grid) -> Tensor:
    """As :func:`learned_step`, but only what is clamped moves the ``step``, and so the range that it spans.

    The gradient of a clipping value is that of what lies beyond it (Choi et al., "PACT: Parameterized Clipping
    Activation for Quantized Neural Networks", 2018, section 3).
    """
    return _LearnedStep.apply(values, step, grid, True)  # type: ignore[no-any-return]


def sum_to(gradient: Tensor, shape: torch.Size) -> Tensor:
    """``gradient`` summed over the axes along which ``shape`` was broadcast."""
    return gradient.sum_to_size(shape) if shape else gradient.sum()


class _LearnedStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, step: Tensor, grid: Grid, clamped_only: bool = False) -> Tensor:
        quotient = values / step
        integers = grid.round(quotient)
        ctx.save_for_backward(quotient, integers)
        ctx.grid, ctx.shape, ctx.clamped_only = grid, step.shape, clamped_only
        return integers * step

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        gradient, (quotient, integers), grid = gradients[0], ctx.saved_tensors, ctx.grid
        inside = grid.inside(quotient)
        derivative = torch.where(inside, 0 if ctx.clamped_only else integers - quotient, integers)
        scale = gradient_scale(quotient.numel() // max(math.prod(ctx.shape), 1), grid)
        return gradient * inside, sum_to(gradient * derivative, ctx.shape) * scale, None, None
