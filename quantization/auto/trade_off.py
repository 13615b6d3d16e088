"""The trade-off: every configuration that was judged, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .units import Bits

POINTS = 100


@dataclass
class Judged:
    """A configuration and what became of it."""

    method: str
    bits: Bits
    confirmed: bool
    """Judged as an integer model on ``examples``; else simulated on a slice."""
    value: float
    drop: float
    """Points below the float model on the same examples."""
    bytes: int
    latency_ms: float | None
    chosen: bool = False
    pareto: bool = False

    def cost(self) -> float:
        """What is to be made small."""
        return self.bytes if self.latency_ms is None else self.latency_ms

    def describe(self) -> str:
        """One line for messages."""
        counts = {bits: sum(found == bits for found in self.bits.values()) for bits in sorted(set(self.bits.values()))}
        parts = ", ".join(f"{count} parts at {bits} bits" for bits, count in counts.items())
        return f"{self.method} with {parts}, {self.drop:.2f} points below the float model"


@dataclass
class TradeOff:
    """What was asked, and everything that was judged."""

    task: str
    metric: str
    max_drop: float
    objective: str
    float_value: float = 0.0
    examples: int = 0
    search_examples: int = 0
    sensitivity: dict[str, Mapping[str, Mapping[int, float]]] = field(default_factory=dict)
    configurations: list[Judged] = field(default_factory=list)

    @property
    def confirmed(self) -> list[Judged]:
        """Those that were judged as integer models."""
        return [judged for judged in self.configurations if judged.confirmed]

    def choose(self) -> Judged | None:
        """Marks the cheapest confirmed configuration within the drop, and those that no other beats in both."""
        for judged in self.confirmed:
            judged.pareto = not any(_beats(other, judged) for other in self.confirmed)
        good = [judged for judged in self.confirmed if judged.drop <= self.max_drop]
        if not good:
            return None
        best = min(good, key=lambda judged: (judged.cost(), judged.bytes, judged.drop))
        best.chosen = True
        return best

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "task": self.task,
            "metric": self.metric,
            "float": self.float_value,
            "max_drop": self.max_drop,
            "objective": self.objective,
            "examples": self.examples,
            "search_examples": self.search_examples,
            "configurations": [_document(judged) for judged in self.configurations],
            "sensitivity": {
                method: {unit: {str(bits): error for bits, error in errors.items()} for unit, errors in units.items()}
                for method, units in self.sensitivity.items()
            },
        }


def _beats(one: Judged, other: Judged) -> bool:
    as_good = one.cost() <= other.cost() and one.drop <= other.drop
    return as_good and (one.cost() < other.cost() or one.drop < other.drop)


def _document(judged: Judged) -> dict[str, Any]:
    names = ("method", "confirmed", "value", "drop", "bytes", "latency_ms", "chosen", "pareto")
    return {**{name: getattr(judged, name) for name in names}, "bits": dict(judged.bits)}


def drop_of(original: float, value: float) -> float:
    """Points that ``value`` lies below ``original``; rounding errors are no drop."""
    return round((original - value) * POINTS, 9)


def cheapest(judged: Sequence[Judged]) -> Judged:
    """The one that loses least, for a message."""
    return min(judged, key=lambda one: one.drop)
