"""Q8BERT's fake quantization: 8-bit linears and embedding tables, float operators between them.

Zafrir et al., "Q8BERT: Quantized 8Bit BERT", 2019, section 3: ``clamp(round(x * 127 / threshold), -127, 127)``; a
weight's threshold is its largest magnitude, an activation's a moving average of the batches' largest magnitudes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...compiler.model import Architecture, Quantization
from .. import integers, structure
from .fake_quantization import FakeQuantization, MovingRanges, fake_quantize

DECAY = 0.9999
"""Of the activations' thresholds."""
BITS = 8


class EightBit(FakeQuantization):
    """Every linear's weight and input, and every embedding table, in 8 bits with one scale each."""

    def __init__(self, architecture: Architecture, decay: float = DECAY) -> None:
        super().__init__()
        linears = structure.linears(architecture)
        tables = structure.embeddings(architecture)
        self._weights = {f"{name}.weight" for name in (*tables, *(linear.name for linear in linears))}
        self.ranges = MovingRanges(dict.fromkeys(linear.input for linear in linears), decay)

    def weight(self, name: str, tensor: Tensor) -> Tensor:
        """Weights and tables with the scale of their largest magnitude, which nothing exceeds."""
        if name not in self._weights:
            return tensor
        return fake_quantize(tensor, _scale(tensor), BITS)

    def rows(self, name: str, table: Tensor, ids: Tensor) -> Tensor:
        """The rows, with the scale of the whole table."""
        return fake_quantize(table[ids], _scale(table), BITS)

    def activation(self, name: str, values: Tensor, mask: Tensor | None) -> Tensor:
        """What the linears read, with the scale of the moving average, which takes this batch in first."""
        if name not in self.ranges:
            return values
        if self.training:
            self.ranges.update(name, values, mask)
        return fake_quantize(values, integers.activation(self.ranges.range(name), BITS).scale, BITS)

    def activations(self) -> dict[str, Quantization]:
        """The moving averages."""
        return {name: integers.activation(value, BITS) for name, value in self.ranges.as_dict().items()}


def _scale(tensor: Tensor) -> float:
    low, high = torch.aminmax(tensor.detach())
    return integers.activation(max(-low.item(), high.item()), BITS).scale
