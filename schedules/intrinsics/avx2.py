"""AVX2 without VNNI: int8 activations times int8 weights into int32, four at a time, exactly."""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm import tirx

from .dot_product import K_BLOCK, register_dot_product

CHANNELS = 8


@cache
def register_sign_multiply() -> str:
    """Registers ``C[8] += A[4] * B[8, 4]``, A int8 and |B| <= 127; the intrinsic's name.

    vpmaddubsw multiplies unsigned by signed bytes and saturates the sum of two products to int16. With A's signs moved
    to B (vpabsb, vpsignb) its operands are at most 128 and 127, and 2 * 128 * 127 = 32512 cannot saturate. vpmaddwd
    with ones adds the pairs.
    """

    def multiply_add(accumulators: Any, activations: Any, weights: Any) -> Any:
        magnitude = tirx.call_llvm_pure_intrin("int8x32", "llvm.abs", activations, tirx.const(False, "bool"))
        signed = tirx.call_llvm_pure_intrin("int8x32", "llvm.x86.avx2.psign.b", weights, activations)
        pairs = tirx.call_llvm_pure_intrin("int16x16", "llvm.x86.avx2.pmadd.ub.sw", magnitude, signed)
        ones = tirx.Broadcast(tirx.const(1, "int16"), 16)
        return accumulators + tirx.call_llvm_pure_intrin("int32x8", "llvm.x86.avx2.pmadd.wd", pairs, ones)

    return register_dot_product(f"intbert.avx2_{CHANNELS}x{K_BLOCK}", CHANNELS, ("int8", "int8"), multiply_add)
