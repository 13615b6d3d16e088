"""The TIR intrinsic ``square_root`` of integers: CPUs take Newton's method with divisions, GPUs without.

GPUs have no integer division. There ``1 / sqrt(x)`` is taken in fixed point, for ``x`` the value divided by 2^30: the
best parabola on [1/2, 2) is within 2.5 %, and two steps of Newton's method, ``y + y (1 - x y^2) / 2``, leave 1.2e-6.
Every rounding is downwards, so the root is never too large, and one more makes it exact, if anything does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import tirx

from .registration import constant_of, device_function, lanes_of, register_elementwise

NAME = "intbert.square_root"
FUNCTION = "intbert_square_root"
NEWTON_STEPS = 5
"""From 2^15.5, above every root that can occur, five steps reach floor(sqrt): checked for all of [2^29, 2^31)."""
NEWTON_START = 46341


def square_root(value: Any) -> Any:
    """TIR: ``floor(sqrt(value))`` of int32 values (or vectors) in [2^29, 2^31); for 0, something in [0, 2^14]."""
    return tirx.call_intrin(str(value.ty.dtype), NAME, value)


def _lower(call: Any) -> Any:
    dtype = str(call.ty.dtype)
    start, one = (constant_of(value, "int32", lanes_of(dtype)) for value in (NEWTON_START, 1))
    return _let(call.args[0], lambda value: _newton(value, start, one, NEWTON_STEPS))


def _newton(value: Any, x: Any, one: Any, remaining: int) -> Any:
    nearer = (x + tirx.truncdiv(value, x)) >> one
    if remaining == 1:
        # One below a square, a step from the root leads one above it again.
        return tirx.min(x, nearer)
    return _let(nearer, lambda found: _newton(value, found, one, remaining - 1))


def _let(value: Any, body: Callable[[Any], Any]) -> Any:
    name = tirx.Var("value", str(value.ty.dtype))
    return tirx.Let(name, value, body(name))


SOURCE = rf"""
__device__ __forceinline__ int {FUNCTION}(int value) {{
  const unsigned x = (unsigned)value;
  // 2^29 (1.888572 - 1.161558 x + 0.289664 x^2)
  int inverse = (int)(0x3c6f2f88u - __umulhi(x, 0x94adf180u - __umulhi(x, 0x944ec992u)));
#pragma unroll
  for (int step = 0; step < 2; ++step) {{
    // 2^31 (1 - x y^2), and so much less that no rounding makes it too large.
    const int error = (int)(0x7ffffe80u - (unsigned)__mulhi(value, __mulhi(inverse, inverse)) * 128u);
    inverse += __mulhi(inverse, error);
  }}
  const unsigned root = (unsigned)__mulhi(value, inverse) >> 12;
  return (int)(root + ((root + 1u) * (root + 1u) <= x ? 1u : 0u));
}}
"""
"""CUDA."""

register_elementwise(NAME, "square root of an int32, rounded down", _lower, device_function(FUNCTION, SOURCE))
