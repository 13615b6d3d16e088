"""Scheme: what a quantization method turns into integers, with how many bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from ..compiler.model import Architecture
from ..errors import SchemeError
from .structure import encoder_linears, wide_activations

HEAD_BITS = 8
"""Bits of a head's weights and activations, and of the operands of attention."""


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

    ``weight_bits`` are those of the encoder's linears, ``activation_bits`` those of what they read,
    ``embedding_bits`` those of the word embeddings. Some of the encoder may have others, by name. The head's
    linears, what they read, the position and token type embeddings, and the operands of attention have 8 bits.
    ``stream_bits`` is the residual stream: the inputs of the layer normalizations and of the non-linear functions,
    and what the residual additions read.
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
    weight_overrides: Mapping[str, int] = field(default_factory=dict)
    """Linear or ``embeddings.word`` -> bits."""
    activation_overrides: Mapping[str, int] = field(default_factory=dict)
    """Activation that an encoder's linear reads -> bits."""

    def __post_init__(self) -> None:
        for kind in ("weight_bits", "activation_bits", "embedding_bits"):
            if not 1 <= getattr(self, kind) <= 8:
                raise SchemeError(f"scheme '{self.name}': {kind} is {getattr(self, kind)}, it must be 1 to 8")
        for name, bits in (*self.weight_overrides.items(), *self.activation_overrides.items()):
            if not 1 <= bits <= 8:
                raise SchemeError(f"scheme '{self.name}': {name} has {bits} bits, it must have 1 to 8")
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

    def bits_of_weight(self, name: str) -> int:
        """Bits of the linear or embedding table ``name``."""
        if name.startswith("head.") or name in ("embeddings.position", "embeddings.token_type"):
            return HEAD_BITS
        default = self.embedding_bits if name == "embeddings.word" else self.weight_bits
        return self.weight_overrides.get(name, default)

    def bits_of_activation(self, architecture: Architecture, name: str) -> int:
        """Bits of the activation ``name`` of a model of ``architecture``."""
        if wide_activations(architecture)[name]:
            return self.stream_bits
        if name not in {linear.input for linear in encoder_linears(architecture)}:
            return HEAD_BITS
        return self.activation_overrides.get(name, self.activation_bits)
