"""Calibration: the symmetric range of every activation, observed on real sentences without their padding."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import torch

from ..errors import CalibrationError
from .progress import Progress, silent
from .structure import wide_activations
from .tokenization import Batch

if TYPE_CHECKING:
    from .float_model import FloatModel


class Observer(Protocol):
    """Collects magnitudes, batch after batch."""

    def update(self, magnitudes: torch.Tensor) -> None:
        """Takes the finite, non-negative magnitudes of one batch, float32 [n], n > 0."""
        ...

    def range(self) -> float:
        """The largest magnitude to represent."""
        ...


class MinMax:
    """The largest magnitude ever seen."""

    def __init__(self) -> None:
        self._range = 0.0

    def update(self, magnitudes: torch.Tensor) -> None:
        self._range = max(self._range, magnitudes.max().item())

    def range(self) -> float:
        return self._range


class ExponentialMovingAverage:
    """A moving average of the largest magnitude of each batch (I-BERT, Kim et al. 2021: momentum 0.95)."""

    def __init__(self, momentum: float = 0.95) -> None:
        self._momentum = momentum
        self._range: float | None = None

    def update(self, magnitudes: torch.Tensor) -> None:
        largest = magnitudes.max().item()
        previous = largest if self._range is None else self._range
        self._range = self._momentum * previous + (1 - self._momentum) * largest

    def range(self) -> float:
        return 0.0 if self._range is None else self._range


class Percentile:
    """The magnitude that ``percentile`` per cent of all values do not exceed, from a histogram.

    When a value lies beyond the histogram, its range doubles and neighbouring bins merge, so memory stays
    constant and the error is at most one bin: between 1/``bins`` and 2/``bins`` of the largest magnitude.
    """

    # histc counts in float32, which is exact up to 2^24.
    _CHUNK = 2**23

    def __init__(self, percentile: float = 99.99, bins: int = 8192) -> None:
        self._fraction = percentile / 100
        self._counts = torch.zeros(bins, dtype=torch.float64)
        self._limit = 0.0

    def update(self, magnitudes: torch.Tensor) -> None:
        self._widen(magnitudes.max().item())
        # Before anything but zeros was seen there is no range, and any positive one counts zeros rightly.
        limit = self._limit or 1.0
        for chunk in magnitudes.split(self._CHUNK):
            self._counts += torch.histc(chunk / limit, len(self._counts), min=0, max=1).to(torch.float64)

    def _widen(self, largest: float) -> None:
        if self._limit == 0.0:
            self._limit = largest
        while largest > self._limit:
            merged = self._counts.view(-1, 2).sum(1)
            self._counts = torch.cat([merged, torch.zeros_like(merged)])
            self._limit *= 2

    def range(self) -> float:
        cumulative = self._counts.cumsum(0)
        target = self._fraction * cumulative[-1]
        index = int(torch.searchsorted(cumulative, target))
        below = cumulative[index - 1].item() if index else 0.0
        inside = self._counts[index].item()
        part = (target.item() - below) / inside if inside else 0.0
        return (index + part) * self._limit / len(self._counts)


OBSERVERS: Mapping[str, Callable[[], Observer]] = MappingProxyType(
    {"min-max": MinMax, "percentile": Percentile, "ema": ExponentialMovingAverage}
)
"""Every calibration method, by name."""


def get_observer(name: str) -> Callable[[], Observer]:
    """The calibration method called ``name``; raises CalibrationError that names the near ones."""
    try:
        return OBSERVERS[name]
    except KeyError:
        near = difflib.get_close_matches(name, OBSERVERS, n=1) or sorted(OBSERVERS)
        raise CalibrationError(f"there is no calibration '{name}'; did you mean {' or '.join(near)}?") from None


class Recorder:
    """The hook that feeds the observers of the activations that have one."""

    def __init__(self, observers: Mapping[str, Observer]) -> None:
        self._observers = observers

    def __call__(self, name: str, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if name not in self._observers:
            return values
        magnitudes = (values if mask is None else values[mask != 0]).abs().flatten()
        if not torch.isfinite(magnitudes).all():
            raise CalibrationError(
                f"activation '{name}' is NaN or infinite on the calibration sentences; mend the model"
            )
        self._observers[name].update(magnitudes)
        return values


def calibrate(
    model: FloatModel, batches: Sequence[Batch], calibration: str = "percentile", progress: Progress = silent
) -> dict[str, float]:
    """The range of every activation of ``model``: by ``calibration``; min-max for the wide (15-bit) ones.

    Raises CalibrationError when ``calibration`` is unknown, there is nothing to calibrate on, or an
    activation is not finite.
    """
    narrow = get_observer(calibration)
    if not any(batch.attention_mask.any() for batch in batches):
        raise CalibrationError("no sentences to calibrate on; give some that are like those the model will see")
    observers = {name: MinMax() if wide else narrow() for name, wide in wide_activations(model.architecture).items()}
    recorder = Recorder(observers)
    for batch in progress(batches, "calibrating", len(batches)):
        model.forward(batch, recorder)
    return {name: observer.range() for name, observer in observers.items()}
