"""Fake quantization with learned step sizes of weights, word embeddings and activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...compiler.model import Architecture, Quantization
from ..scheme import Granularity, Scheme
from ..structure import embeddings, encoder_linears, head_linears
from ..weights import WeightQuantizer, default_packing
from .fake_quantization import FakeQuantization
from .grid import Grid, least_squares_step
from .learned_activations import Initial, LearnedActivations, Quantize
from .learned_weights import WORDS, LearnedWeights, largest_to_limit, rows_of
from .student import Student

TRAINED_WORD_BITS = 3
"""Word embeddings of more bits are not trained: their rows are close to the float ones, few of them occur in a
task's data, and they are half of a small model's parameters."""


class LearnedQuantization(FakeQuantization):
    """Weights and activations through ``quantize``, which says what moves their step sizes.

    Step sizes of weights begin at the least squared error, those of activations at ``initial``. Heads, position and
    token type embeddings have 8 bits and the range of their values.
    """

    def __init__(self, architecture: Architecture, scheme: Scheme, quantize: Quantize, initial: Initial) -> None:
        super().__init__()
        self._scheme, self._quantize = scheme, quantize
        self._grids = {
            name: Grid.of_packing(default_packing(scheme.bits_of_weight(name)))
            for name in (WORDS, *(linear.name for linear in encoder_linears(architecture)))
        }
        self._fixed = {f"{linear.name}.weight": linear.per_row for linear in head_linears(architecture)}
        self._fixed |= {f"{name}.weight": False for name in embeddings(architecture) if name != WORDS}
        self.observed = LearnedActivations(architecture, scheme, quantize, initial)
        self.logarithms = nn.ParameterDict()

    def prepare(self, student: Student, batch: Mapping[str, Tensor]) -> None:
        """Initialises all step sizes, unless they were."""
        if len(self.logarithms):
            return
        trains_words = self._scheme.bits_of_weight(WORDS) <= TRAINED_WORD_BITS
        student.parameter(f"{WORDS}.weight").requires_grad_(trains_words)
        for name, grid in self._grids.items():
            step = least_squares_step(student.parameter(f"{name}.weight"), grid, self._per_row(name))
            self.logarithms[_key(name)] = nn.Parameter(step.log(), requires_grad=name != WORDS or trains_words)
        self.observed.prepare(student, batch)

    def _per_row(self, name: str) -> bool:
        if name == WORDS:
            return self._scheme.bits_of_weight(WORDS) < 8
        return self._scheme.weight_granularity is Granularity.ROW

    def weight(self, name: str, tensor: Tensor) -> Tensor:
        """Fake-quantized weights and tables; the rest as it is."""
        if name in self._fixed:
            return largest_to_limit(tensor, self._fixed[name])
        owner = name.removesuffix(".weight")
        if owner not in self._grids or owner == name:
            return tensor
        logarithm, grid = self.logarithms[_key(owner)], self._grids[owner]
        if owner != WORDS:
            return self._quantize(tensor, logarithm.exp(), grid)
        return rows_of(tensor, self._look_up(logarithm, grid))

    def _look_up(self, logarithm: Tensor, grid: Grid) -> Callable[[Tensor, Tensor], Tensor]:
        def quantize(rows: Tensor, ids: Tensor) -> Tensor:
            steps = functional.embedding(ids, logarithm) if logarithm.ndim else logarithm
            return self._quantize(rows, steps.exp(), grid)

        return quantize

    def activation(self, name: str, values: Tensor, mask: Tensor | None) -> Tensor:
        """Fake-quantized narrow activations and probabilities."""
        return self.observed.quantize(name, values, mask)

    def activations(self) -> dict[str, Quantization]:
        """Those of the narrow activations."""
        return self.observed.quantizations()

    def weight_quantizer(self) -> WeightQuantizer:
        """The learned step sizes of the encoder and the word embeddings."""
        with torch.no_grad():
            return LearnedWeights({name: self.logarithms[_key(name)].exp() for name in self._grids})


def _key(name: str) -> str:
    return name.replace(".", "__")
