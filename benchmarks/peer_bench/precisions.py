"""This project's models at fewer bits: for their time alone, which does not depend on how well they were quantized."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from intbert.compiler.model import QuantizedModel
from intbert.compiler.packing import Packing
from intbert.quantization import quantize, read_sentences

from .repository import SENTENCES

# isort: split
from tests.compiler.low_bits import with_linears

CALIBRATION_SENTENCES = 64
ONE_BIT = Packing(1, mid_rise=True)


@dataclass(frozen=True)
class Precision:
    """Bits of the linears' weights, and of what they read."""

    weight_bits: int
    activation_bits: int

    @property
    def name(self) -> str:
        return f"W{self.weight_bits}A{self.activation_bits}"


PRECISIONS: Mapping[str, Precision] = {
    precision.name: precision
    for precision in (
        *(Precision(8, 8), Precision(4, 8), Precision(4, 4), Precision(2, 8)),
        *(Precision(2, 4), Precision(1, 8), Precision(1, 4)),
    )
}


def quantized(checkpoint: Path, precision: Precision) -> QuantizedModel:
    """The checkpoint by the method that is the simplest at so many bits.

    The methods that reach 1 bit train for hours. Theirs is the format, one scale a matrix; the signs here are those
    of the float weights.
    """
    texts = read_sentences(SENTENCES)[:CALIBRATION_SENTENCES]
    if precision.weight_bits == 8 and precision.activation_bits == 8:
        return quantize(checkpoint, sentences=texts)
    bits = precision.activation_bits
    if precision.weight_bits > 1:
        return quantize(
            checkpoint, method="lq", sentences=texts, weight_bits=precision.weight_bits, activation_bits=bits
        )
    model = quantize(checkpoint, method="lq", sentences=texts, activation_bits=bits, granularity="tensor")
    return with_linears(model, ONE_BIT)
