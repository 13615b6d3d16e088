"""IntegerGraph: a quantized model as a list of integer operators with names for what flows between them.

The graph knows no shapes of batch and length and no target. The oracle interprets it, the bounds are proven on it,
and every bucket's Relax function is emitted from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from .operators.attention import Attention
from .operators.duplicate_channels import DuplicateChannels
from .operators.embedding import Embedding
from .operators.layer_norm import LayerNorm
from .operators.linear import Linear
from .operators.pooling import FirstToken, MeanPooling
from .operators.real.operator import RealOperator
from .operators.tanh import Tanh
from .packing import stored_bits

Operator: TypeAlias = (
    Attention | DuplicateChannels | Embedding | FirstToken | LayerNorm | Linear | MeanPooling | RealOperator | Tanh
)

INPUT_IDS = "input_ids"
ATTENTION_MASK = "attention_mask"
TOKEN_TYPE_IDS = "token_type_ids"
INPUTS = (INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS)


@dataclass(frozen=True)
class Step:
    """One operator applied to named values."""

    operator: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class IntegerGraph:
    """Steps in the order in which they run; ``output`` is the value that the model returns."""

    steps: tuple[Step, ...]
    output: str
    output_scale: float
    token_level: bool
    """Whether the output has a row a token rather than a row a sentence."""
    scales: Mapping[str, float] = field(default_factory=dict)
    """The scales of the values whose scale is not that of the model's activation of the same name."""

    def __post_init__(self) -> None:
        known = set(INPUTS)
        for step in self.steps:
            missing = set(step.inputs) - known
            assert not missing, f"{step.operator.name} reads {missing} before anything wrote it"
            assert not known & set(step.outputs), f"{step.operator.name} writes a value twice"
            known |= set(step.outputs)
        assert self.output in known

    def weight_bits(self) -> dict[str, int]:
        """Bits of the stored weights, by linear and embedding table."""
        bits: dict[str, int] = {}
        for operator in (step.operator for step in self.steps):
            if isinstance(operator, Linear):
                bits[operator.name] = stored_bits(operator.packing)
            elif isinstance(operator, Embedding):
                bits.update({f"{operator.name}.{name}": stored_bits(p) for name, p in operator.table_packings()})
        return bits

    def consumers(self, value: str) -> Iterator[Step]:
        """The steps that read ``value``."""
        return (step for step in self.steps if value in step.inputs)
