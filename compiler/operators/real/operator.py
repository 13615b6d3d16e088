"""What all float operators share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from numpy.typing import NDArray

from .ranges import Bounded, Range


@dataclass(frozen=True)
class Extents:
    """What a kernel is made for: the bucket, its first input, the memory format."""

    batch: int
    length: int
    rows: int
    """Rows of the first input."""
    channels: int
    """Channels of the first input."""
    output_zero_point: int
    """128 where memory holds 8-bit activations as uint8, else 0."""


class Plan(Enum):
    """How a kernel's blocks hang together: what its schedule must know."""

    ELEMENTS = "elements"
    """One block, ``output``."""
    NORMALIZED_ROWS = "normalized_rows"
    POOLED = "pooled"
    ATTENTION = "attention"
    DYNAMIC = "dynamic"


class RealOperator(ABC):
    """An operator with a float side. A kernel's arguments are its inputs, its constants, its outputs."""

    name: str
    """The layer, for messages and records."""

    @property
    @abstractmethod
    def plan(self) -> Plan:
        """Which schedules suit its kernel."""

    @property
    @abstractmethod
    def structure(self) -> Hashable:
        """What, beside the shapes, two operators must share to run the same kernel."""

    @property
    @abstractmethod
    def inputs(self) -> int:
        """How many values it reads."""

    @property
    def attention_heads(self) -> int:
        """Heads of attention, else 1."""
        return 1

    @property
    def outputs(self) -> int:
        """How many values it writes."""
        return 1

    @abstractmethod
    def parameters(self) -> list[NDArray[Any]]:
        """The kernel's constants in the order of its arguments."""

    @abstractmethod
    def oracle(self, *inputs: Any) -> Any:
        """The definition, in NumPy: floats are float32 arrays, integers int64."""

    @abstractmethod
    def bounds(self, length: int, *inputs: Bounded) -> Range | tuple[Range, ...]:
        """The outputs' ranges for inputs in these, sequences of up to ``length`` tokens."""

    @abstractmethod
    def kernel(self, extents: Extents) -> Any:
        """The unscheduled PrimFunc."""
