"""Fake quantization of BinaryBERT: ternary weights first, then each as the sum of two binary ones.

Bai et al., "BinaryBERT: Pushing the Limit of BERT Quantization", ACL 2021, section 3. Word embeddings are binary from
the beginning, one scale a row; activations are learned; heads, position and token type embeddings have 8 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...compiler.model import Architecture, Quantization
from ...compiler.packing import Packing
from ..float_model import FloatModel
from ..scheme import Granularity
from ..structure import embeddings, encoder_linears, head_linears
from ..weights import WeightQuantizer
from .binarization import binarize, binary_scale, binary_signs
from .fake_quantization import FakeQuantization, straight_through
from .learned_activations import LearnedActivations
from .learned_weights import WORDS, largest_to_limit, rows_of
from .splitting import split_ternary
from .student import Student
from .ternary import ternarize

ONE_BIT = Packing(1, mid_rise=True)


class TernaryQuantization(FakeQuantization):
    """Ternary linears with one scale a matrix, or ``per_row``."""

    def __init__(self, architecture: Architecture, observed: LearnedActivations, per_row: bool) -> None:
        super().__init__()
        self._linears = {f"{linear.name}.weight" for linear in encoder_linears(architecture)}
        self._fixed = {f"{linear.name}.weight": linear.per_row for linear in head_linears(architecture)}
        self._fixed |= {f"{name}.weight": False for name in embeddings(architecture) if name != WORDS}
        self.per_row = per_row
        self.observed = observed

    def prepare(self, student: Student, batch: Mapping[str, Tensor]) -> None:
        """Initialises the activations' step sizes, unless they were."""
        if not len(self.observed.logarithms):
            self.observed.prepare(student, batch)

    def weight(self, name: str, tensor: Tensor) -> Tensor:
        """Fake-quantized weights and tables; the rest as it is."""
        if name in self._linears:
            return self.linear(name, tensor)
        if name in self._fixed:
            return largest_to_limit(tensor, self._fixed[name])
        if name == f"{WORDS}.weight":
            return rows_of(tensor, lambda rows, ids: binarize(rows.flatten(0, -2), per_row=True).view_as(rows))
        return tensor

    def linear(self, name: str, weight: Tensor) -> Tensor:
        """What the linear whose weight is called ``name`` multiplies by."""
        return ternarize(weight, self.per_row)

    def activation(self, name: str, values: Tensor, mask: Tensor | None) -> Tensor:
        """Fake-quantized narrow activations and probabilities."""
        return self.observed.quantize(name, values, mask)

    def activations(self) -> dict[str, Quantization]:
        """Those of the narrow activations."""
        return self.observed.quantizations()

    def quantizer_parameters(self) -> list[nn.Parameter]:
        """The activations' step sizes."""
        return list(self.observed.parameters())


class BinaryQuantization(TernaryQuantization):
    """Linears as the sum of two binary ones: the student's own parameter, and one of ``seconds``.

    Both share one scale, ``mean|w|`` of both together: half the ternary scale right after the splitting. So they are
    one binary matrix [N, 2K] that reads every channel of its input twice, and are stored as that.
    """

    def __init__(
        self, architecture: Architecture, observed: LearnedActivations, per_row: bool, seconds: Mapping[str, Tensor]
    ) -> None:
        super().__init__(architecture, observed, per_row)
        self.seconds = nn.ParameterDict({_key(name): nn.Parameter(second) for name, second in seconds.items()})

    def linear(self, name: str, weight: Tensor) -> Tensor:
        second = self.seconds[_key(name)]
        total = summed(weight.detach(), second.detach(), self.per_row)
        return straight_through(weight + second, total)

    def weight_quantizer(self) -> WeightQuantizer:
        """The signs and scales of both halves."""
        return BinaryWeights(
            {name: self.seconds[_key(name)].detach().numpy().copy() for name in self._linears}, self.per_row
        )


class BinaryWeights:
    """The weight quantizer of linears that are two binary matrices, and of binary word embeddings."""

    def __init__(self, seconds: Mapping[str, NDArray[np.float32]], per_row: bool) -> None:
        self._seconds, self._per_row = seconds, per_row

    def split(self, name: str, weight: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32] | None]:
        both = np.concatenate([weight, self._seconds[f"{name}.weight"]], axis=1)
        return both, np.arange(weight.shape[1], dtype=np.int32)

    def packing(self, name: str, bits: int) -> Packing | None:
        return ONE_BIT

    def scale(self, name: str, weight: NDArray[np.float32], bits: int, granularity: Granularity) -> NDArray[np.float64]:
        per_row = granularity is Granularity.ROW
        scale = binary_scale(torch.tensor(weight), per_row).numpy().astype(np.float64)
        return scale[:, 0] if per_row else scale

    def integers(
        self, name: str, weight: NDArray[np.float32], scale: NDArray[np.float64], bits: int
    ) -> NDArray[np.int8]:
        return binary_signs(torch.tensor(weight)).numpy().astype(np.int8)


def summed(first: Tensor, second: Tensor, per_row: bool) -> Tensor:
    """The sum of the binary weights of ``first`` and ``second`` with one scale for both."""
    scale = binary_scale(torch.cat([first, second], dim=1), per_row)
    return (binary_signs(first) + binary_signs(second)) * scale


def split_model(model: FloatModel, per_row: bool) -> tuple[FloatModel, dict[str, Tensor]]:
    """``model`` with the first halves of its encoder's weights, and their second halves by name.

    In float64, so that signs and scales come out as :func:`.splitting.split_ternary` promises. The biases stay as
    they are: the paper's two halves of one, added.
    """
    firsts, seconds = {}, {}
    for linear in encoder_linears(model.architecture):
        name = f"{linear.name}.weight"
        first, second = split_ternary(torch.from_numpy(model.weights[name]).double(), per_row)
        firsts[name], seconds[name] = first.float().numpy(), second.float()
    return replace(model, weights={**model.weights, **firsts}), seconds


def _key(name: str) -> str:
    return name.replace(".", "__")
