"""Activations whose step sizes are learned, one for each; and the ranges of the wide ones after training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from ...compiler.model import Activation, Architecture, Quantization
from .. import integers
from ..export import HEADROOM, LEAST_GELU
from ..scheme import Scheme
from ..structure import wide_activations
from .fake_quantization import magnitude, straight_through
from .grid import Grid, least_squares_step
from .student import Capture, Student

Quantize = Callable[[Tensor, Tensor, Grid], Tensor]
"""Values, a positive step size that broadcasts to them, and the integers -> the fake-quantized values."""

Initial = Callable[[Tensor, Grid], Tensor]
"""Values and the integers -> the step size to begin with."""

PROBABILITY_LEVELS = 255
"""The integer softmax has unsigned 8-bit probabilities of the scale 1 / 255."""


class LearnedActivations(nn.Module):
    """A step size for every narrow activation: what linears read, queries, keys, values, what heads read.

    Below 8 bits, what follows a GELU or a ReLU has a zero point: no integer stands for what cannot occur. The
    parameters are the logarithms of the step sizes: these stay positive, and a learning rate is relative to them. Wide
    activations stay as they are; their ranges are for :func:`observe`.
    """

    def __init__(self, architecture: Architecture, scheme: Scheme, quantize: Quantize, initial: Initial) -> None:
        super().__init__()
        self._quantize, self._initial = quantize, initial
        self._bits = {
            name: scheme.bits_of_activation(architecture, name)
            for name, wide in wide_activations(architecture).items()
            if not wide
        }
        self._one_sided = {
            name for name, bits in self._bits.items() if bits < 8 and name.endswith(".activation_output")
        }
        self._lowest = LEAST_GELU if architecture.activation is Activation.GELU else 0.0
        self._zero_points: dict[str, int] = {}
        self.logarithms = nn.ParameterDict()

    def prepare(self, student: Student, batch: Mapping[str, Tensor]) -> None:
        """Initialises the step sizes on a batch, each on what the ones before it let through."""
        with torch.no_grad():
            student.encode(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])

    def quantize(self, name: str, values: Tensor, mask: Tensor | None) -> Tensor:
        """A hook, see :data:`intbert.quantization.forward.Hook`."""
        if name.endswith(".probabilities"):
            return straight_through(values, torch.round(values * PROBABILITY_LEVELS) / PROBABILITY_LEVELS)
        if name not in self._bits:
            return values
        if _key(name) not in self.logarithms:
            self._begin(name, values if mask is None else values[mask != 0])
        return self._quantize(values, self.logarithms[_key(name)].exp(), self._grid(name))

    def _grid(self, name: str) -> Grid:
        return Grid.of_activation(self._bits[name], self._zero_points.get(name, 0))

    def _begin(self, name: str, values: Tensor) -> None:
        if name in self._one_sided:
            highest = max(values.max().item(), -self._lowest)
            self._zero_points[name] = integers.one_sided_activation(highest, self._lowest, self._bits[name]).zero_point
        step = self._initial(values, self._grid(name))
        self.logarithms[_key(name)] = nn.Parameter(step.detach().float().log())

    def quantizations(self) -> dict[str, Quantization]:
        """The step sizes as they are now, for the export."""
        return {
            name: Quantization(self.logarithms[_key(name)].exp().item(), bits, self._zero_points.get(name, 0))
            for name, bits in self._bits.items()
        }


def _key(name: str) -> str:
    return name.replace(".", "__")


def least_squares(values: Tensor, grid: Grid) -> Tensor:
    """The step size of the least squared error."""
    return least_squares_step(values, grid)


def at_least(clip: float) -> Initial:
    """The step size whose largest integer is ``clip``, or that of the least squared error where that is larger."""

    def initial(values: Tensor, grid: Grid) -> Tensor:
        return least_squares_step(values, grid).clamp(min=clip / grid.largest)

    return initial


def observe(student: Student, batches: Iterable[Mapping[str, Tensor]], scheme: Scheme) -> dict[str, Quantization]:
    """The quantization of the wide activations: the largest magnitudes on ``batches``, and headroom above them."""
    architecture = student.architecture
    largest = {name: 0.0 for name, wide in wide_activations(architecture).items() if wide}
    for batch in batches:
        mask = batch["attention_mask"]
        capture = Capture(largest.keys())
        with torch.no_grad():
            student.encode(batch["input_ids"], mask, batch["token_type_ids"], capture)
        for name, values in capture.values.items():
            found = magnitude(values, mask if values.ndim == 3 else None).item()
            largest[name] = max(largest[name], found)
    return {
        name: integers.activation(value * HEADROOM, scheme.bits_of_activation(architecture, name))
        for name, value in largest.items()
    }
