"""Interval arithmetic over integers: the proof that no intermediate of an operator overflows its type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import BoundsError


@dataclass(frozen=True)
class Interval:
    """All integers from ``low`` to ``high``, both included. Arithmetic is exact (Python integers)."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise BoundsError(f"empty interval [{self.low}, {self.high}]")

    @classmethod
    def symmetric(cls, limit: int) -> Interval:
        """``[-limit, limit]``."""
        return cls(-limit, limit)

    @property
    def magnitude(self) -> int:
        """The largest absolute value."""
        return max(abs(self.low), abs(self.high))

    def __add__(self, other: Interval | int) -> Interval:
        other = as_interval(other)
        return Interval(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Interval | int) -> Interval:
        other = as_interval(other)
        return Interval(self.low - other.high, self.high - other.low)

    def __mul__(self, other: Interval | int) -> Interval:
        other = as_interval(other)
        products = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(min(products), max(products))

    def __rshift__(self, bits: int) -> Interval:
        return Interval(self.low >> bits, self.high >> bits)

    def clamp(self, limit: Interval) -> Interval:
        """Every value moved to the nearest one in ``limit``."""
        return Interval(
            min(max(self.low, limit.low), limit.high),
            min(max(self.high, limit.low), limit.high),
        )

    def union(self, other: Interval) -> Interval:
        """The smallest interval that holds both."""
        return Interval(min(self.low, other.low), max(self.high, other.high))

    def require(self, dtype: str, operator: str, what: str) -> Interval:
        """Itself, when every value fits ``dtype``; else raises BoundsError that names the operator and the value."""
        info = np.iinfo(dtype)
        if self.low < info.min or self.high > info.max:
            raise BoundsError(
                f"{operator}: {what} spans [{self.low}, {self.high}], which overflows {dtype}; "
                "quantize with a coarser scale or fewer bits for this layer"
            )
        return self


def as_interval(value: Interval | int) -> Interval:
    """An integer as the interval that holds only it."""
    return value if isinstance(value, Interval) else Interval(int(value), int(value))


def multiply_high(a: Interval, b: Interval | int, operator: str, what: str) -> Interval:
    """Bounds of ``(a * b + 2^14) >> 15``; both factors must fit int16 and not both be -32768."""
    b = as_interval(b)
    a.require("int16", operator, what)
    b.require("int16", operator, f"multiplier of {what}")
    return ((a * b + 2**14) >> 15).require("int16", operator, what)
