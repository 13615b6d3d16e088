"""Grids of integers, in torch: what a step size multiplies, and the step size of the least squared error."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...compiler.packing import Packing

CANDIDATES = 32
"""Step sizes that :func:`least_squares_step` compares."""
LEAST_FRACTION = 0.15
"""The smallest range that it tries, of the largest magnitude."""
LEAST_STEP = 1e-8
"""Step sizes are no smaller: that of a tensor of zeros."""
_CHUNK = 2**20


@dataclass(frozen=True)
class Grid:
    """The integers ``low``, ``low + stride``, ..., ``high``."""

    low: int
    high: int
    stride: int = 1

    @classmethod
    def of_packing(cls, packing: Packing | None) -> Grid:
        """The integers of weights; without a packing those of 8 bits."""
        if packing is None:
            return cls(-127, 127)
        return cls(-packing.limit, packing.limit, packing.step)

    @classmethod
    def of_activation(cls, bits: int, zero_point: int = 0) -> Grid:
        """``integer - zero_point`` of an activation of ``bits`` bits."""
        limit = 2 ** (bits - 1) - 1
        return cls(-limit - zero_point, limit - zero_point)

    @property
    def largest(self) -> int:
        """The largest magnitude."""
        return max(-self.low, self.high)

    def round(self, quotient: Tensor) -> Tensor:
        """The nearest of the integers, halves to even codes, as floats."""
        if self.stride == 1:
            return torch.round(quotient).clamp_(self.low, self.high)
        offset = self.stride - 1
        nearest = torch.round((quotient - offset) / self.stride) * self.stride + offset
        return nearest.clamp_(self.low, self.high)

    def inside(self, quotient: Tensor) -> Tensor:
        """Where nothing is clamped."""
        return (quotient >= self.low) & (quotient <= self.high)


def least_squares_step(values: Tensor, grid: Grid, per_row: bool = False) -> Tensor:
    """The step size of the least squared error among fractions of the largest: a scalar, or [N, 1] for ``per_row``."""
    rows = values.detach().reshape(values.shape[0], -1) if per_row else values.detach().reshape(1, -1)
    size = max(1, _CHUNK // rows.shape[1])
    step = torch.cat([_least_squares_rows(part, grid) for part in rows.split(size)])
    return step if per_row else step.reshape(())


def _least_squares_rows(rows: Tensor, grid: Grid) -> Tensor:
    reach = torch.maximum(rows.amax(1) / max(grid.high, 1), rows.amin(1) / min(grid.low, -1))
    widest = reach.clamp(min=LEAST_STEP)[:, None]
    best, least = widest, torch.full_like(widest, torch.inf)
    for fraction in torch.linspace(LEAST_FRACTION, 1.0, CANDIDATES).tolist():
        step = widest * fraction
        error = (grid.round(rows / step) * step - rows).square().sum(1, keepdim=True)
        best, least = torch.where(error < least, step, best), torch.minimum(error, least)
    return best
