"""Ranges of float values: the proof that no float operator makes an infinity or a NaN."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from ....errors import BoundsError

LARGEST = 2.0**120
"""Values beyond it are refused: a sum of a few float32 values, and a difference of two, must stay finite."""
ROUNDING = 1 + 2.0**-20
"""Widens a magnitude by more than the float32 roundings on the way to it can add."""


class Bounded(Protocol):
    """An integer interval or a float range."""

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


@dataclass(frozen=True)
class Range:
    """All real numbers from ``low`` to ``high``."""

    low: float
    high: float

    @classmethod
    def symmetric(cls, magnitude: float) -> Range:
        """``[-magnitude, magnitude]``, widened by the roundings."""
        return cls(-magnitude * ROUNDING, magnitude * ROUNDING)

    @property
    def magnitude(self) -> float:
        """The largest absolute value."""
        return max(abs(self.low), abs(self.high))

    def require(self, operator: str, what: str) -> Range:
        """Itself; BoundsError that names the operator and the value where it could leave the finite floats."""
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.magnitude <= LARGEST):
            raise BoundsError(
                f"{operator}: {what} spans [{self.low:.3g}, {self.high:.3g}], beyond what float32 safely holds; "
                "check the scales and the float weights, and quantize again"
            )
        return self


def magnitude(bounded: Bounded) -> float:
    """The largest absolute value of an interval or a range."""
    return max(abs(bounded.low), abs(bounded.high))
