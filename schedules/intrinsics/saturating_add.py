"""The TIR intrinsic ``saturating_add_int16``: LLVM's own, which is one instruction (sqadd, vpaddsw).

On a GPU the sum is clamped in the 32 bits that a register has.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx

from ...targets.cuda import CUDA
from .lowering import features_of_the_cpu
from .registration import constant_of, lanes_of, register_elementwise
from .saturation import HIGH, LOW

NAME = "intbert.saturating_add_int16"


def saturating_add_int16(a: Any, b: Any) -> Any:
    """TIR: the sum of two int16 values (or vectors), clamped to int16."""
    return tirx.call_intrin("int16", NAME, a, b)


def _lower(call: Any) -> Any:
    dtype = str(call.ty.dtype)
    if CUDA not in features_of_the_cpu():
        return tirx.call_llvm_pure_intrin(dtype, "llvm.sadd.sat", *call.args)
    lanes = lanes_of(dtype)
    wide = "int32" if lanes == 1 else f"int32x{lanes}"
    a, b = (value.astype(wide) for value in call.args)
    low, high = (constant_of(limit, "int32", lanes) for limit in (LOW, HIGH))
    return tirx.max(tirx.min(a + b, high), low).astype(dtype)


register_elementwise(NAME, "int16 sum with saturation", _lower)
