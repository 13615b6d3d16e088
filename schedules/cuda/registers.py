"""Integer expressions as a GPU computes them: in registers of 32 bits, whatever their type.

There a cast to 16 bits and a clamp cost an instruction each. The ranges of the operands show which of them change
nothing, and those are left out; the CUDA compiler does not know the ranges.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tvm import ir, tirx

from ..intrinsics import fixed_point, rounding_shift, saturating_add, saturation

_LIMITS = {
    "int8": (-(2**7), 2**7 - 1),
    "uint8": (0, 2**8 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
}
_REGISTER_BITS = 32


@dataclass(frozen=True)
class Register:
    """An int32 expression, whose value is in ``low..high``."""

    value: Any
    low: int
    high: int

    def __add__(self, other: Register) -> Register:
        return Register(self.value + other.value, self.low + other.low, self.high + other.high)

    def __sub__(self, other: Register) -> Register:
        return Register(self.value - other.value, self.low - other.high, self.high - other.low)

    def __mul__(self, other: Register) -> Register:
        corners = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Register(self.value * other.value, min(corners), max(corners))

    def __and__(self, other: Register) -> Register:
        bounds = [each.high for each in (self, other) if each.low >= 0]
        low, high = (0, min(bounds)) if bounds else _LIMITS["int32"]
        return Register(self.value & other.value, low, high)

    def __rshift__(self, other: Register) -> Register:
        fewest, most = (other.low, other.high) if other.is_shift else (0, _REGISTER_BITS - 1)
        corners = [a >> b for a in (self.low, self.high) for b in (fewest, most)]
        return Register(self.value >> other.value, min(corners), max(corners))

    def __lshift__(self, other: Register) -> Register:
        fewest, most = (other.low, other.high) if other.is_shift else (0, _REGISTER_BITS - 1)
        corners = [a << b for a in (self.low, self.high) for b in (fewest, most)]
        return Register(self.value << other.value, min(corners), max(corners))

    @property
    def is_shift(self) -> bool:
        """Whether it may be the count of a shift, whatever its value."""
        return self.low >= 0 and self.high < _REGISTER_BITS

    def minimum(self, other: Register) -> Register:
        """The smaller one."""
        if self.high <= other.low:
            return self
        if other.high <= self.low:
            return other
        value = _without_limit(self.value, other.high)
        return Register(tirx.min(value, other.value), min(self.low, other.low), min(self.high, other.high))

    def maximum(self, other: Register) -> Register:
        """The larger one."""
        if self.low >= other.high:
            return self
        if other.low >= self.high:
            return other
        return Register(tirx.max(self.value, other.value), max(self.low, other.low), max(self.high, other.high))

    def saturated(self) -> Register:
        """Clamped to int16."""
        low, high = (constant(limit) for limit in _LIMITS["int16"])
        return self.minimum(high).maximum(low)

    def wrapped(self, dtype: str) -> Register:
        """As ``dtype`` holds it, which takes the lowest bits."""
        low, high = _LIMITS[dtype]
        if low <= self.low and self.high <= high:
            return self
        value = self.value if dtype == "int32" else self.value.astype(dtype).astype("int32")
        return Register(value, low, high)

    def within(self, dtype: str) -> Register:
        """The same value, which is known to fit ``dtype``."""
        low, high = _LIMITS[dtype]
        return Register(self.value, max(self.low, low), min(self.high, high))


def constant(value: int) -> Register:
    """A literal."""
    return Register(tirx.const(value, "int32"), value, value)


@dataclass(frozen=True)
class Registers:
    """Expressions in registers; ``ranges``: what is known of the values in buffers, by the buffers' names."""

    ranges: Mapping[str, tuple[int, int]]

    def value(self, expression: Any) -> Any:
        """An int32 expression of the same value as ``expression``, of any integer type of up to 32 bits but uint32.

        A shift to the left must not leave its type, nor may the sum of a rounding shift: operators prove that.
        """
        return self._register(expression).value

    def _register(self, expression: Any) -> Register:
        dtype = str(expression.ty.dtype)
        match expression:
            case tirx.IntImm():
                return constant(int(expression))
            case tirx.Cast():
                return self._register(expression.value).wrapped(dtype)
            case tirx.Select():
                yes, no = self._register(expression.true_value), self._register(expression.false_value)
                value = tirx.Select(expression.condition, yes.value, no.value)
                return Register(value, min(yes.low, no.low), max(yes.high, no.high))
            case ir.Call() if str(expression.op.name) in _CALLS:
                operation = _CALLS[str(expression.op.name)]
                return operation(*map(self._register, expression.args)).wrapped(dtype)
            case ir.expr.TensorLoad():
                low, high = self.ranges.get(str(expression.source.name), _LIMITS[dtype])
                return Register(expression.astype("int32"), low, high)
            case tirx.LShift():
                return (self._register(expression.a) << self._register(expression.b)).within(dtype)
        if type(expression) in _OPERATIONS:
            operation = _OPERATIONS[type(expression)]
            return operation(self._register(expression.a), self._register(expression.b)).wrapped(dtype)
        return Register(expression.astype("int32"), *_LIMITS[dtype])


def _without_limit(value: Any, lowest: int) -> Any:
    """``value``, the smaller of two, where it is not limited to a literal that is at least ``lowest``."""
    limited = isinstance(value, tirx.Min) and isinstance(value.b, tirx.IntImm) and int(value.b) >= lowest
    return value.a if limited else value


def _rounding_multiply_high(a: Register, b: Register) -> Register:
    return (a * b + constant(2**14)) >> constant(15)


def _rounding_shift_right(value: Register, bits: Register) -> Register:
    return (value + (constant(1) << (bits - constant(1)))) >> bits


_OPERATIONS: Mapping[type, Callable[[Register, Register], Register]] = {
    tirx.Add: operator.add,
    tirx.Sub: operator.sub,
    tirx.Mul: operator.mul,
    tirx.BitwiseAnd: operator.and_,
    tirx.RShift: operator.rshift,
    tirx.Min: Register.minimum,
    tirx.Max: Register.maximum,
}
_CALLS: Mapping[str, Callable[..., Register]] = {
    fixed_point.NAME: _rounding_multiply_high,
    rounding_shift.NAME: _rounding_shift_right,
    saturation.NAME: Register.saturated,
    saturating_add.NAME: lambda a, b: (a + b).saturated(),
}
