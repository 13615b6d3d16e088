"""The TIR intrinsic ``saturate_int16``: int32 lanes to int16 with saturation.

LLVM finds the saturating instructions in a clamp and a cast, but on x86 it takes vpmovsdw, two micro-operations for
half a register; vpackssdw packs two whole registers, and one permutation puts them in order.
"""

from __future__ import annotations

from typing import Any

from tvm import ir, tirx
from tvm.ir import _ffi_api as ir_ffi
from tvm.tirx.op import register_intrin_lowering

from .lowering import features_of_the_cpu

NAME = "intbert.saturate_int16"
LOW, HIGH = -(2**15), 2**15 - 1
PACKS = {("avx512", 32): "llvm.x86.avx512.packssdw.512", ("avx2", 16): "llvm.x86.avx2.packssdw"}
"""By feature and int16 lanes."""
QUADWORD = 4
"""int16 lanes of a quadword."""


def saturate_int16(value: Any) -> Any:
    """TIR: int32 ``value`` clamped to int16."""
    return tirx.call_intrin("int16", NAME, value)


def _lower(call: Any) -> Any:
    dtype = str(call.ty.dtype)
    lanes = int(dtype.partition("x")[2] or 1)
    (value,) = call.args
    for (feature, width), instruction in PACKS.items():
        if feature in features_of_the_cpu() and lanes == width:
            return _packed(value, dtype, lanes, instruction)

    def wide(limit: int) -> Any:
        scalar = tirx.const(limit, "int32")
        return scalar if lanes == 1 else tirx.Broadcast(scalar, lanes)

    return tirx.max(tirx.min(value, wide(HIGH)), wide(LOW)).astype(dtype)


def _packed(value: Any, dtype: str, lanes: int, instruction: str) -> Any:
    low, high = (tirx.Shuffle([value], list(range(start, start + lanes // 2))) for start in (0, lanes // 2))
    packed = tirx.call_llvm_pure_intrin(dtype, instruction, low, high)
    quadwords = lanes // QUADWORD
    # Each 128-bit lane holds a quadword of the low half and one of the high half.
    order = [*range(0, quadwords, 2), *range(1, quadwords, 2)]
    return tirx.reinterpret(dtype, tirx.Shuffle([tirx.reinterpret(f"int64x{quadwords}", packed)], order))


def _register() -> None:
    ir_ffi.RegisterOp(NAME, "int32 to int16 with saturation")
    ir.register_op_attr(NAME, "TVectorizable", True)
    ir.register_op_attr(NAME, "TCallEffectKind", tirx.CallEffectKind.Pure.value)
    ir.register_op_attr(NAME, "TScriptPrinterName", "saturate_int16")
    register_intrin_lowering(NAME, "llvm", f=_lower)


_register()
