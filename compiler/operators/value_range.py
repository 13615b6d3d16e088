"""The integers that an activation may have: where its producer clamps it, and which one stands for real zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import expressions as ex
from .fixed_point import NARROW_LIMIT, WIDE_LIMIT, Int64Array
from .interval import Interval


@dataclass(frozen=True)
class Range:
    """Integers from ``low`` to ``limit``; ``zero_point`` stands for real zero.

    The limits are compiled into kernels, the zero point is read at run time: imported models have many.
    """

    low: int
    limit: int
    zero_point: int = 0

    def __post_init__(self) -> None:
        assert -WIDE_LIMIT <= self.low <= self.zero_point <= self.limit <= WIDE_LIMIT

    @property
    def is_narrow(self) -> bool:
        """Whether 8 bits hold every integer."""
        return self.low >= -NARROW_LIMIT - 1 and self.limit <= NARROW_LIMIT

    @property
    def reach(self) -> int:
        """The largest distance to the zero point."""
        return max(self.limit - self.zero_point, self.zero_point - self.low)

    @property
    def interval(self) -> Interval:
        """All its integers."""
        return Interval(self.low, self.limit)

    @property
    def kind(self) -> str:
        """What is compiled into a kernel that clamps to it."""
        if not self.zero_point:
            return f"{self.low}_{self.limit}"
        return f"{'zero' if self._from_zero else self.low}_{self.limit}_offset"

    @property
    def _from_zero(self) -> bool:
        return self.low == self.zero_point

    def from_zero(self) -> Range:
        """The range of non-negative reals: what a ReLU leaves."""
        return Range(self.zero_point, self.limit, self.zero_point)

    def scalars(self) -> list[int]:
        """int32 constants that :meth:`expression` reads at run time."""
        return [self.zero_point] if self.zero_point else []

    def clamp(self, q: Int64Array) -> Int64Array:
        """Symmetric integers ``q`` of this range's scale, moved by the zero point and clamped."""
        return np.clip(q + self.zero_point, self.low, self.limit)

    def expression(self, q: ex.Expr, *scalars: ex.Expr) -> ex.Expr:
        """TE of :meth:`clamp` for int16 ``q``: clamped before it is moved, so that the sum cannot overflow."""
        if not scalars:
            return ex.clamp(q, self.low, self.limit)
        zero = scalars[0].astype("int16")
        low = ex.constant(0, "int16") if self._from_zero else ex.constant(self.low, "int16") - zero
        high = ex.constant(self.limit, "int16") - zero
        return ex.maximum(ex.minimum(q, high), low) + zero


NARROW = Range(-NARROW_LIMIT, NARROW_LIMIT)
WIDE = Range(-WIDE_LIMIT, WIDE_LIMIT)
