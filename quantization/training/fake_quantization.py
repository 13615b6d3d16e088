"""Fake quantization: what training sees of the integers to come, and how gradients pass through the rounding.

A method derives from :class:`FakeQuantization`, which does nothing. Its learnt scales are parameters, its observed
ranges buffers, so that a checkpoint of the trainer holds them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...compiler.model import Quantization
from ..weights import MinMaxWeights, WeightQuantizer

if TYPE_CHECKING:
    from .student import Student


class FakeQuantization(nn.Module):
    """Leaves weights and activations as they are: training in floating point."""

    def prepare(self, student: Student, batch: Mapping[str, Tensor]) -> None:
        """Initialises scales before the first step, on the first batch. Must be deterministic: a run that goes on
        from a checkpoint calls it too, before the checkpoint's state is loaded. Parameters made here are trained."""

    def begin(self, student: Student, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> None:
        """Called before each forward, with what it will read."""

    def weight(self, name: str, tensor: Tensor) -> Tensor:
        """What the forward computes with instead of the parameter ``name`` (canonical: weights, biases, gammas)."""
        return tensor

    def rows(self, name: str, table: Tensor, ids: Tensor) -> Tensor:
        """The rows ``ids`` of what the forward computes with instead of the embedding table ``name``.

        A method whose scales do not need the whole table quantizes these rows alone: most of a model's parameters
        are words that a batch does not have.
        """
        return self.weight(name, table)[ids]

    def activation(self, name: str, values: Tensor, mask: Tensor | None) -> Tensor:
        """What the forward goes on with instead of ``values``: a hook, see :data:`..forward.Hook`."""
        return values

    def activations(self) -> dict[str, Quantization]:
        """For the export: the quantization of the activations that training found one for."""
        return {}

    def weight_quantizer(self) -> WeightQuantizer:
        """For the export: the scales and integers that :meth:`weight` trained with."""
        return MinMaxWeights()

    def quantizer_parameters(self) -> list[nn.Parameter]:
        """The parameters that have a learning rate of their own: all of this module's."""
        return list(self.parameters())


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, replacement: Tensor, inside: Tensor | None) -> Tensor:
        ctx.inside = inside
        return replacement

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        gradient = gradients[0]
        return gradient if ctx.inside is None else gradient * ctx.inside, None, None


def straight_through(values: Tensor, replacement: Tensor, inside: Tensor | None = None) -> Tensor:
    """Exactly ``replacement``, with the gradient of ``values`` (where ``inside``, a mask; None: everywhere).

    The straight-through estimator: Bengio, Léonard, Courville, "Estimating or Propagating Gradients Through
    Stochastic Neurons", 2013.
    """
    return _StraightThrough.apply(values, replacement.detach(), inside)  # type: ignore[no-any-return]


def rounded(values: Tensor) -> Tensor:
    """``round(values)``, halves to even, with the gradient of ``values``."""
    return straight_through(values, torch.round(values))


def fake_quantize(values: Tensor, scale: float, bits: int) -> Tensor:
    """``clamp(round(values / scale), -limit, limit) * scale``: symmetric, one scale, no gradient where it saturates."""
    limit = 2 ** (bits - 1) - 1
    return torch.fake_quantize_per_tensor_affine(values, scale, 0, -limit, limit)


def magnitude(values: Tensor, mask: Tensor | None) -> Tensor:
    """The largest magnitude of ``values`` [B, T, C] where ``mask`` [B, T] is not 0, or of all: a scalar."""
    low, high = torch.aminmax(values.detach(), dim=-1)  # half the memory of abs().max()
    largest = torch.maximum(-low, high)
    return (largest if mask is None else largest.masked_fill(mask == 0, 0)).max()


class MovingRanges(nn.Module):
    """The exponential moving average of each activation's largest magnitude, initialised on what is seen first."""

    ranges: Tensor

    def __init__(self, names: Iterable[str], decay: float) -> None:
        super().__init__()
        self.decay = decay
        self._index = {name: index for index, name in enumerate(names)}
        self.register_buffer("ranges", torch.full((len(self._index),), math.nan, dtype=torch.float64))

    def __contains__(self, name: str) -> bool:
        return name in self._index

    def update(self, name: str, values: Tensor, mask: Tensor | None) -> None:
        """Takes a batch's values into the average."""
        index, largest = self._index[name], magnitude(values, mask).item()
        previous = self.ranges[index].item()
        self.ranges[index] = largest if math.isnan(previous) else self.decay * previous + (1 - self.decay) * largest

    def range(self, name: str) -> float:
        """The average; 0 before anything was seen."""
        value = self.ranges[self._index[name]].item()
        return 0.0 if math.isnan(value) else value

    def as_dict(self) -> dict[str, float]:
        """Every range by its activation's name."""
        return {name: self.range(name) for name in self._index}
