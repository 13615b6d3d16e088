"""Moments of activations over the calibration sentences, without their padding."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import CalibrationError
from ..float_model import FloatModel
from ..progress import Progress, silent
from ..tokenization import Batch
from .clipping import Spread


@dataclass(frozen=True)
class ChannelMoments:
    """E[x] and E[x^2] of every channel of an activation, float64 [K]."""

    mean: NDArray[np.float64]
    square: NDArray[np.float64]


class _Recorder:
    """Adds up powers of the named activations' channels; of distances from ``centres``, where these are given."""

    def __init__(self, names: Collection[str], centres: Mapping[str, float] | None = None) -> None:
        self.names = frozenset(names)
        self.centres = centres
        self.count: dict[str, int] = {}
        self.first: dict[str, Tensor] = {}
        self.second: dict[str, Tensor] = {}

    def __call__(self, name: str, values: Tensor, mask: Tensor | None) -> Tensor:
        if name in self.names:
            rows = (values if mask is None else values[mask != 0]).to(torch.float64)
            if not torch.isfinite(rows).all():
                raise CalibrationError(
                    f"activation '{name}' is NaN or infinite on the calibration sentences; mend the model"
                )
            if self.centres is not None:
                rows = (rows - self.centres[name]).abs()
            self.count[name] = self.count.get(name, 0) + len(rows)
            self.first[name] = self.first.get(name, torch.zeros(())) + rows.sum(0)
            self.second[name] = self.second.get(name, torch.zeros(())) + rows.square().sum(0)
        return values

    def channels(self, name: str) -> ChannelMoments:
        count = self.count[name]
        return ChannelMoments((self.first[name] / count).numpy(), (self.second[name] / count).numpy())


def observe_channels(
    model: FloatModel, batches: Sequence[Batch], names: Collection[str], progress: Progress = silent
) -> dict[str, ChannelMoments]:
    """The channels' moments of the activations ``names``; CalibrationError where one is not finite."""
    recorder = _Recorder(names)
    for batch in progress(batches, "channels' moments", len(batches)):
        model.forward(batch, recorder)
    return {name: recorder.channels(name) for name in names}


def observe_spreads(
    model: FloatModel, batches: Sequence[Batch], names: Collection[str], progress: Progress = silent
) -> dict[str, Spread]:
    """Mean, mean absolute deviation and standard deviation of the activations ``names``, each over all its channels.

    Reads the sentences twice: deviations are from the mean of all of them.
    """
    means = {
        name: float(moments.mean.mean()) for name, moments in observe_channels(model, batches, names, progress).items()
    }
    recorder = _Recorder(names, means)
    for batch in progress(batches, "deviations", len(batches)):
        model.forward(batch, recorder)
    spreads = {}
    for name in names:
        moments = recorder.channels(name)
        sigma = np.sqrt(moments.square.mean())
        spreads[name] = Spread(np.asarray(means[name]), np.asarray(moments.mean.mean()), np.asarray(sigma))
    return spreads
