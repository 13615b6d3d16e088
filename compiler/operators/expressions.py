"""TE expressions of the fixed-point primitives, written so that LLVM finds the saturating instructions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from tvm import te, tirx

from ...schedules.intrinsics.fixed_point import rounding_multiply_high
from ...schedules.intrinsics.quotient import quotient
from ...schedules.intrinsics.rounding_shift import rounding_shift_right
from ...schedules.intrinsics.saturating_add import saturating_add_int16
from ...schedules.intrinsics.saturation import saturate_int16
from ...schedules.intrinsics.square_root import square_root

Expr: TypeAlias = Any
"""A TIR expression; TVM's operators are not typed."""


def constant(value: int, dtype: str) -> Expr:
    """A typed literal."""
    return tirx.const(value, dtype)


def clamp(value: Expr, low: int, high: int) -> Expr:
    """``value`` clamped to ``[low, high]`` in its own dtype."""
    dtype = str(value.ty.dtype)
    return te.max(te.min(value, constant(high, dtype)), constant(low, dtype))


def minimum(a: Expr, b: Expr) -> Expr:
    """The smaller of two values of one dtype."""
    return te.min(a, b)


def maximum(a: Expr, b: Expr) -> Expr:
    """The larger of two values of one dtype."""
    return te.max(a, b)


def select(condition: Expr, when_true: Expr, when_false: Expr) -> Expr:
    """Both values are computed; no branch."""
    return tirx.Select(condition, when_true, when_false)


def let(value: Expr, body: Callable[[Expr], Expr]) -> Expr:
    """``body`` with ``value`` computed once."""
    name = tirx.Var("value", str(value.ty.dtype))
    return tirx.Let(name, value, body(name))


def leading_zeros(value: Expr) -> Expr:
    """The zero bits above the highest one bit of a positive int32 (clz, lzcnt, bsr); undefined for zero."""
    return tirx.clz(value)


def store_narrow(value: Expr, zero_point: int) -> Expr:
    """An int16 within the narrow limit as the 8 bits that memory holds: int8, or uint8 with zero point 128."""
    if zero_point:
        return (value + constant(zero_point, "int16")).astype("uint8")
    return value.astype("int8")


__all__ = [
    "Expr",
    "clamp",
    "constant",
    "leading_zeros",
    "let",
    "maximum",
    "minimum",
    "quotient",
    "rounding_multiply_high",
    "rounding_shift_right",
    "saturate_int16",
    "saturating_add_int16",
    "select",
    "square_root",
    "store_narrow",
]
