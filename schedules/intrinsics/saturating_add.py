"""The TIR intrinsic ``saturating_add_int16``: LLVM's own, which is one instruction (sqadd, vpaddsw)."""

from __future__ import annotations

from typing import Any

from tvm import ir, tirx
from tvm.ir import _ffi_api as ir_ffi
from tvm.tirx.op import register_intrin_lowering

NAME = "intbert.saturating_add_int16"


def saturating_add_int16(a: Any, b: Any) -> Any:
    """TIR: the sum of two int16 values (or vectors), clamped to int16."""
    return tirx.call_intrin("int16", NAME, a, b)


def _lower(call: Any) -> Any:
    return tirx.call_llvm_pure_intrin(str(call.ty.dtype), "llvm.sadd.sat", *call.args)


def _register() -> None:
    ir_ffi.RegisterOp(NAME, "int16 sum with saturation")
    ir.register_op_attr(NAME, "TVectorizable", True)
    ir.register_op_attr(NAME, "TCallEffectKind", tirx.CallEffectKind.Pure.value)
    ir.register_op_attr(NAME, "TScriptPrinterName", "saturating_add_int16")
    register_intrin_lowering(NAME, "llvm", f=_lower)


_register()
