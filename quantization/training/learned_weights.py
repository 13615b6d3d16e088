"""Weights whose step sizes were learned: in training, and for the export with the same integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ...compiler.packing import Packing
from ..scheme import Granularity
from ..weights import default_packing, round_to_grid
from .fake_quantization import fake_quantize
from .grid import LEAST_STEP, Grid

WORDS = "embeddings.word"
"""The table of which a step reads a few rows only."""


class LearnedWeights:
    """The weight quantizer of the step sizes ``steps``: float32, [N, 1] or without axis, by the linear's name."""

    def __init__(self, steps: Mapping[str, Tensor]) -> None:
        self._steps = steps

    def split(self, name: str, weight: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32] | None]:
        return weight, None

    def packing(self, name: str, bits: int) -> Packing | None:
        return default_packing(bits)

    def scale(self, name: str, weight: NDArray[np.float32], bits: int, granularity: Granularity) -> NDArray[np.float64]:
        step = self._steps[name].numpy().astype(np.float64)
        return step[:, 0] if step.ndim else step

    def integers(
        self, name: str, weight: NDArray[np.float32], scale: NDArray[np.float64], bits: int
    ) -> NDArray[np.int8]:
        step = self._steps[name]
        if not np.array_equal(scale, self.scale(name, weight, bits, Granularity.ROW)):
            return round_to_grid(weight, scale, self.packing(name, bits))
        # As in training, where a quotient in float64 could round to another integer.
        integers = Grid.of_packing(self.packing(name, bits)).round(torch.from_numpy(weight) / step)
        return integers.numpy().astype(np.int8)


class RowsOf:
    """Stands for a table [V, H] whose rows are only looked up, and quantizes no others."""

    def __init__(self, table: Tensor, quantize: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._table, self._quantize = table, quantize

    def __getitem__(self, ids: Tensor) -> Tensor:
        return self._quantize(functional.embedding(ids, self._table), ids)


def rows_of(table: Tensor, quantize: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """``table`` [V, H], of which ``quantize(rows [..., H], ids [...])`` is what a look-up finds."""
    return cast(Tensor, RowsOf(table, quantize))


def largest_to_limit(weight: Tensor, per_row: bool) -> Tensor:
    """8 bits, the largest magnitude gets the largest integer: what the exporter does with heads and small tables."""
    magnitude = weight.detach().abs()
    if not per_row:
        return fake_quantize(weight, max(magnitude.max().item() / 127, LEAST_STEP), 8)
    step = (magnitude.amax(1) / 127).clamp(min=LEAST_STEP)
    zeros = torch.zeros(len(step), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, step, zeros, 0, -127, 127)
