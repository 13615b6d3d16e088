"""AdaRound: whether each weight is rounded up or down is learned.

Nagel, Amjad, van Baalen, Louizos, Blankevoort, "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML
2020: a weight between two levels is ``floor + h(alpha)`` with a rectified sigmoid ``h``, and a regularizer drives h to
0 or 1.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...compiler.packing import Packing
from ..weights import grid_limit

STRETCH = 1.2
"""The sigmoid is stretched to -0.1..1.1 before it is clamped, so that h reaches 0 and 1."""


class AdaptiveRounding:
    """The rounding of one weight [N, K] on the grid of ``packing`` with the scale [N], or one for all."""

    def __init__(self, weight: Tensor, scale: NDArray[np.float64], packing: Packing | None) -> None:
        self._limit = grid_limit(packing)
        self._step = 1 if packing is None else packing.step
        self._scale = torch.from_numpy(scale.astype(np.float32)).reshape(-1, 1)
        code = (weight / self._scale + self._limit) / self._step
        self._floor = code.floor().clamp(0, self._highest)
        # A weight beyond the last level stays on it: its fraction does not matter.
        fraction = (code - self._floor).clamp(0, 1)
        self.alpha = (-torch.log(STRETCH / (fraction + (STRETCH - 1) / 2) - 1)).requires_grad_()

    @property
    def _highest(self) -> int:
        """The largest code."""
        return 2 * self._limit // self._step

    def up(self) -> Tensor:
        """h: how far up each weight is rounded, 0 to 1."""
        return (torch.sigmoid(self.alpha) * STRETCH - (STRETCH - 1) / 2).clamp(0, 1)

    def soft(self, up: Tensor) -> Tensor:
        """The weight whose rounding is undecided: ``up`` between 0 and 1."""
        return self._real(self._floor + up)

    def hard(self) -> Tensor:
        """The weight, rounded."""
        return self._real(self._floor + (self.alpha >= 0))

    def integers(self) -> NDArray[np.int8]:
        """The integers, rounded."""
        with torch.no_grad():
            code = (self._floor + (self.alpha >= 0)).clamp(max=self._highest)
            return (code * self._step - self._limit).to(torch.int8).numpy()

    def _real(self, code: Tensor) -> Tensor:
        return (code.clamp(max=self._highest) * self._step - self._limit) * self._scale


def undecidedness(up: Tensor, beta: float) -> Tensor:
    """``sum(1 - |2h - 1|^beta)``: 0 when every h is 0 or 1; a large ``beta`` leaves those in the middle alone."""
    return up.numel() - (2 * up - 1).abs().pow(beta).sum()


def annealed_beta(progress: float, warm_up: float = 0.2, first: float = 20.0, last: float = 2.0) -> float | None:
    """The regularizer's exponent at ``progress`` (0 to 1) of the schedule; None during the warm-up, without any."""
    if progress < warm_up:
        return None
    return last + (first - last) * (1 - (progress - warm_up) / (1 - warm_up))
