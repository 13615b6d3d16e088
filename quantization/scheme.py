"""Scheme: what a quantization method turns into integers, and the registry of all that work."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from ..errors import SchemeError


class Granularity(str, Enum):
    """How many scales a weight matrix has."""

    TENSOR = "tensor"
    ROW = "row"
    """One scale per output channel."""


class Operator(str, Enum):
    """The operators of an encoder that a scheme can make integer."""

    EMBEDDING = "embedding"
    LINEAR = "linear"
    ATTENTION = "attention"
    SOFTMAX = "softmax"
    ACTIVATION = "activation"
    RESIDUAL = "residual"
    LAYER_NORM = "layer_norm"
    POOLING = "pooling"
    HEAD = "head"


@dataclass(frozen=True)
class Scheme:
    """A frozen, validated description of a quantization.

    Bits are those of signed symmetric integers. ``stream_bits`` is the residual stream: the inputs of the
    layer normalizations and of the non-linear functions, and what the residual additions read.
    """

    name: str
    description: str
    source: str
    """The paper that defines the method."""
    weight_bits: int
    activation_bits: int
    embedding_bits: int
    stream_bits: int
    weight_granularity: Granularity
    integer_operators: frozenset[Operator]

    def __post_init__(self) -> None:
        for field in ("weight_bits", "activation_bits", "embedding_bits"):
            if not 1 <= getattr(self, field) <= 8:
                raise SchemeError(f"scheme '{self.name}': {field} is {getattr(self, field)}, it must be 1 to 8")
        if not self.activation_bits <= self.stream_bits <= 16:
            raise SchemeError(
                f"scheme '{self.name}': stream_bits is {self.stream_bits}, "
                f"it must lie between activation_bits ({self.activation_bits}) and 16"
            )
        if Operator.LINEAR not in self.integer_operators:
            raise SchemeError(f"scheme '{self.name}': the linear operators must be integer")

    @property
    def integer_only(self) -> bool:
        """Whether no operator between the token ids and the head's output is left in floating point."""
        return self.integer_operators == frozenset(Operator)


_REGISTERED = (
    Scheme(
        name="ibert",
        description="integer-only W8A8 after training: int8 weights per channel, 15-bit residual stream",
        source="Kim et al., I-BERT: Integer-only BERT Quantization, ICML 2021",
        weight_bits=8,
        activation_bits=8,
        embedding_bits=8,
        stream_bits=15,
        weight_granularity=Granularity.ROW,
        integer_operators=frozenset(Operator),
    ),
)

SCHEMES: Mapping[str, Scheme] = MappingProxyType({scheme.name: scheme for scheme in _REGISTERED})
"""Every scheme that works, by name."""


def get_scheme(name: str) -> Scheme:
    """The scheme called ``name``; raises SchemeError that names the near ones when there is none."""
    try:
        return SCHEMES[name]
    except KeyError:
        near = difflib.get_close_matches(name, SCHEMES, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(sorted(SCHEMES))}"
        raise SchemeError(f"there is no quantization scheme '{name}'; {hint}") from None
