"""The TIR intrinsic ``saturating_add_int16``: LLVM's own, which is one instruction (sqadd, vpaddsw)."""

from __future__ import annotations

from typing import Any

from tvm import tirx

from .registration import register_elementwise

NAME = "intbert.saturating_add_int16"


def saturating_add_int16(a: Any, b: Any) -> Any:
    """TIR: the sum of two int16 values (or vectors), clamped to int16."""
    return tirx.call_intrin("int16", NAME, a, b)


def _lower(call: Any) -> Any:
    return tirx.call_llvm_pure_intrin(str(call.ty.dtype), "llvm.sadd.sat", *call.args)


register_elementwise(NAME, "int16 sum with saturation", _lower)
