"""How far activations lie from their rounded selves, on the calibration sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...compiler.model import Quantization
from ..float_model import FloatModel
from ..progress import Progress, silent
from ..tokenization import Batch
from .simulation import rounded


def measure_rounding(
    model: FloatModel,
    batches: Sequence[Batch],
    candidates: Mapping[str, Sequence[Quantization]],
    progress: Progress = silent,
) -> dict[str, NDArray[np.float64]]:
    """The sum of squared errors of every activation under each of its ``candidates``."""
    errors = {name: np.zeros(len(choices)) for name, choices in candidates.items()}

    def measure(name: str, values: Tensor, mask: Tensor | None) -> Tensor:
        if name in candidates:
            rows = values if mask is None else values[mask != 0]
            for index, quantization in enumerate(candidates[name]):
                errors[name][index] += (rounded(rows, quantization) - rows).square().sum(dtype=torch.float64).item()
        return values

    for batch in progress(batches, "rounding errors", len(batches)):
        model.forward(batch, measure)
    return errors
