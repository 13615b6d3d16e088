"""The TIR intrinsic ``quotient``: CPUs divide; on a GPU it is multiplications of integers.

GPUs have no integer division. NVIDIA's compiler makes one of floats, by their approximate reciprocal. Here it is taken
in fixed point, by Newton's method:

1. The divisor ``d`` is shifted left into [2^30, 2^31). ``1 / x`` on [1/2, 1) is within ``1/17`` of ``48/17 - 32/17 x``,
   the best line; two steps leave ``17^-4``. Every rounding is downwards: the reciprocal is never too large, and at most
   1.2e-5 of it too small.
2. The estimate of ``n / d`` falls short of it by at most ``1.2e-5 n / d + 1``. That of ``remainder / d``, 25 771 at
   most for an int32, falls short by less than 1.31: then one more makes the quotient exact, if anything does.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx

from .registration import device_function, register_elementwise

NAME = "intbert.quotient"
FUNCTION = "intbert_quotient"


def quotient(dividend: Any, divisor: Any) -> Any:
    """TIR: ``floor(dividend / divisor)`` of int32 values (or vectors): a dividend >= 0, a divisor > 0."""
    return tirx.call_intrin(str(dividend.ty.dtype), NAME, dividend, divisor)


def _lower(call: Any) -> Any:
    return tirx.truncdiv(*call.args)


SOURCE = rf"""
__device__ __forceinline__ int {FUNCTION}(int dividend, int divisor) {{
  const int highest = 31 - __clz(divisor), normalized = divisor << (30 - highest);
  // 2^61 / normalized: 2^30 (48/17 - 32/17 x), modulo 2^32.
  int inverse = (int)0xb4b4b4b4u - normalized + __mulhi(normalized, 0x0f0f0f0f);
#pragma unroll
  for (int step = 0; step < 2; ++step) {{
    // By how much of 2^32 it falls short.
    const unsigned error = ~(unsigned)__mulhi(normalized, inverse) * 8u;
    inverse += __mulhi(inverse, (int)error);
  }}
  const unsigned reciprocal = (unsigned)inverse * 2u;
  const unsigned first = __umulhi((unsigned)dividend, reciprocal) >> highest;
  const unsigned remainder = (unsigned)dividend - first * (unsigned)divisor;
  const unsigned second = __umulhi(remainder, reciprocal) >> highest;
  const bool one_more = remainder - second * (unsigned)divisor >= (unsigned)divisor;
  return (int)(first + second + (one_more ? 1u : 0u));
}}
"""
"""CUDA."""

register_elementwise(NAME, "quotient of integers that are not negative", _lower, device_function(FUNCTION, SOURCE))
