"""The TIR intrinsic ``rounding_multiply_high``: one instruction on every ISA.

LLVM does not find ``pmulhrsw`` or ``sqrdmulh`` in the widened multiply-add-shift, so the operation is an intrinsic of
ours: TVM vectorizes it like an addition, and when it lowers intrinsics the rule below picks the instruction.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx

from .lowering import features_of_the_cpu
from .registration import constant_of, lanes_of, register_elementwise

NAME = "intbert.rounding_multiply_high"

X86_BY_LANES = {
    ("avx512", 32): "llvm.x86.avx512.pmul.hr.sw.512",
    ("avx2", 16): "llvm.x86.avx2.pmul.hr.sw",
    ("avx2", 8): "llvm.x86.ssse3.pmul.hr.sw.128",
}
NEON_LANES = (4, 8)


def rounding_multiply_high(a: Any, b: Any) -> Any:
    """TIR: ``(a * b + 2^14) >> 15`` of two int16 values (or vectors), as int16."""
    return tirx.call_intrin("int16", NAME, a, b)


def _instruction(features: frozenset[str], lanes: int) -> str | None:
    for (feature, width), name in X86_BY_LANES.items():
        if feature in features and lanes == width:
            return name
    if "neon" in features and lanes in NEON_LANES:
        return "llvm.aarch64.neon.sqrdmulh"
    return None


def _lower(call: Any) -> Any:
    dtype = str(call.ty.dtype)
    lanes = lanes_of(dtype)
    a, b = call.args
    instruction = _instruction(features_of_the_cpu(), lanes)
    if instruction is not None:
        return tirx.call_llvm_pure_intrin(dtype, instruction, a, b)
    wide = "int32" if lanes == 1 else f"int32x{lanes}"
    product = a.astype(wide) * b.astype(wide)
    return ((product + constant_of(2**14, "int32", lanes)) >> constant_of(15, "int32", lanes)).astype(dtype)


register_elementwise(NAME, "Q15 product of int16 values, halves rounded up", _lower)
