"""What a comparison of two models found."""

from __future__ import annotations

from dataclasses import dataclass

from ..agreement import Agreement


@dataclass(frozen=True)
class LayerDifference:
    """One activation: how far it is from the reference, and how far its operator would be on its own."""

    name: str
    operators: tuple[str, ...]
    """What computes it: the last of them, from values that only the model has, those before."""
    accumulated: Agreement
    """Both models run by themselves."""
    own: Agreement
    """The operators read the reference's values."""
    grid_sqnr_db: float | None
    """What rounding the reference to this activation's integers leaves; None for floats."""


@dataclass(frozen=True)
class WeightDifference:
    """One weight tensor, dequantized, beside the reference's."""

    name: str
    bits: int
    agreement: Agreement


@dataclass(frozen=True)
class FirstBad:
    """The first layer whose own error is large, and what explains it."""

    name: str
    operators: tuple[str, ...]
    sqnr_db: float
    cause: str


@dataclass(frozen=True)
class Difference:
    """Two models compared: activations in the order in which they run, and weights."""

    threshold_db: float
    layers: tuple[LayerDifference, ...]
    weights: tuple[WeightDifference, ...]
    first_bad: FirstBad | None
