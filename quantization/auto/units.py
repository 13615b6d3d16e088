"""The parts of a model that get bits of their own, and what each costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...compiler.model import Architecture
from ..structure import encoder_linears

WORDS = "embeddings.word"


@dataclass(frozen=True)
class Unit:
    """Weights that have the same bits: ``tensors`` by name, each with its rows and columns."""

    name: str
    tensors: tuple[tuple[str, int, int], ...]


def units_of(architecture: Architecture) -> tuple[Unit, ...]:
    """The word embeddings, and of every layer: queries, keys and values, which run as one operator, and the others."""
    found = [Unit(WORDS, ((WORDS, architecture.vocabulary, architecture.hidden),))]
    joint: dict[str, list[tuple[str, int, int]]] = {}
    for linear in encoder_linears(architecture):
        layer, _, part = linear.name.rpartition(".")
        name = f"{layer}.query_key_value" if part in ("query", "key", "value") else linear.name
        joint.setdefault(name, []).append((linear.name, linear.outputs, linear.inputs))
    return (*found, *(Unit(name, tuple(tensors)) for name, tensors in joint.items()))


class Cost(Protocol):
    """What is to be made small."""

    def __call__(self, unit: Unit, bits: int) -> float:
        """The cost of ``unit`` with weights of ``bits``."""
        ...


def weight_bytes(unit: Unit, bits: int) -> float:
    """The bytes of the unit's integers."""
    return sum(math.ceil(rows * columns * bits / 8) for _, rows, columns in unit.tensors)


Bits = Mapping[str, int]
"""Unit -> bits."""


def overrides(units: Sequence[Unit], bits: Bits) -> dict[str, int]:
    """The bits of each tensor, as a scheme takes them."""
    return {tensor: bits[unit.name] for unit in units for tensor, _, _ in unit.tensors}
