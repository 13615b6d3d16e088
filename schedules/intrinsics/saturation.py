"""The TIR intrinsic ``saturate_int16``: int32 lanes to int16 with saturation.

LLVM finds the saturating instructions in a clamp and a cast, but on x86 it takes vpmovsdw, two micro-operations for
half a register; vpackssdw packs two whole registers, and one permutation puts them in order.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx

from .lowering import features_of_the_cpu
from .registration import constant_of, lanes_of, register_elementwise

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
    lanes = lanes_of(dtype)
    (value,) = call.args
    for (feature, width), instruction in PACKS.items():
        if feature in features_of_the_cpu() and lanes == width:
            return _packed(value, dtype, lanes, instruction)
    low, high = (constant_of(limit, "int32", lanes) for limit in (LOW, HIGH))
    return tirx.max(tirx.min(value, high), low).astype(dtype)


def _packed(value: Any, dtype: str, lanes: int, instruction: str) -> Any:
    low, high = (tirx.Shuffle([value], list(range(start, start + lanes // 2))) for start in (0, lanes // 2))
    packed = tirx.call_llvm_pure_intrin(dtype, instruction, low, high)
    quadwords = lanes // QUADWORD
    # Each 128-bit lane holds a quadword of the low half and one of the high half.
    order = [*range(0, quadwords, 2), *range(1, quadwords, 2)]
    return tirx.reinterpret(dtype, tirx.Shuffle([tirx.reinterpret(f"int64x{quadwords}", packed)], order))


register_elementwise(NAME, "int32 to int16 with saturation", _lower)
