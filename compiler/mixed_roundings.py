"""The roundings of a mixed model: where its activations are quantized and dequantized between float operators.

A value that is rounded several times in a row has the names ``NAME``, ``NAME.2``, ``NAME.3``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, takewhile

from ..errors import QuantizedModelError
from .model import QuantizedModel, repeated
from .operators.real.quantize import ChannelGrid, Quantize, Roundings
from .operators.real.rounded_accumulators import RoundedAccumulators
from .operators.real.sources import Accumulators, DynamicAccumulators, Source

PARTIAL_SUMS = {"embeddings.word_position": False, "embeddings.word_token_type": True}
"""The sum of two embeddings, and whether the second is the token type's."""


def roundings(model: QuantizedModel, name: str) -> Roundings:
    """How the value ``name`` is quantized and dequantized, one after the other; mostly not at all."""
    names = takewhile(lambda found: found in model.activations, (repeated(name, number) for number in count()))
    return tuple(Quantize.of(found, model.activations[found]) for found in names)


def partial_sum(model: QuantizedModel) -> tuple[Roundings, bool]:
    """How the sum of the first two embeddings is rounded, and whether the second is the token type's."""
    for name, is_token_type in PARTIAL_SUMS.items():
        if found := roundings(model, name):
            return found, is_token_type
    return (), False


def _side_by_side(model: QuantizedModel, parts: Sequence[str], value: str) -> tuple[ChannelGrid, ...]:
    """The roundings of the linears ``parts``, whose channels lie side by side."""
    found = [roundings(model, f"{part}.{value}") for part in parts]
    lengths = {len(grids) for grids in found}
    if len(lengths) > 1:
        raise QuantizedModelError(
            f"{parts[0]}.{value} and its neighbours {', '.join(parts[1:])} must be rounded equally often; "
            "quantize all of them, or none"
        )
    widths = [len(model.weight(f"{part}.weight").values) for part in parts]
    return tuple(ChannelGrid.of(list(zip(grids, widths, strict=True))) for grids in zip(*found, strict=True))


def product_is_rounded(model: QuantizedModel, part: str) -> bool:
    """Whether the linear's product is rounded before its bias is added, so that the bias is no integer of it."""
    return f"{part}.product" in model.activations


def rounded_source(model: QuantizedModel, parts: Sequence[str], source: Accumulators | DynamicAccumulators) -> Source:
    """The float output of the linears ``parts``, rounded before and after the bias where the model says so."""
    product, output = (_side_by_side(model, parts, value) for value in ("product", "output"))
    if not product and not output:
        return source
    if isinstance(source, DynamicAccumulators):
        raise QuantizedModelError(
            f"{parts[0]}: its output is rounded to a fixed grid, but its input is quantized dynamically; "
            "quantize both statically"
        )
    return RoundedAccumulators(source, product, output)
