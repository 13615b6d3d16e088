"""AVX2 without VNNI: int8 activations times int8 weights into int32, four at a time, exactly."""

from __future__ import annotations

from typing import Any

from tvm import tirx
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T

CHANNELS = 8
K_BLOCK = 4


def register_sign_multiply() -> str:
    """Registers ``C[8] += A[4] * B[8, 4]``, A int8 and |B| <= 127; the intrinsic's name.

    vpmaddubsw multiplies unsigned by signed bytes and saturates the sum of two products to int16. With A's signs moved
    to B (vpabsb, vpsignb) its operands are at most 128 and 127, and 2 * 128 * 127 = 32512 cannot saturate. vpmaddwd
    with ones adds the pairs.
    """
    name = f"intbert.avx2_{CHANNELS}x{K_BLOCK}"

    def dot_product(a: Any, b: Any) -> Any:
        magnitude = tirx.call_llvm_pure_intrin("int8x32", "llvm.abs", a, tirx.const(False, "bool"))
        signed = tirx.call_llvm_pure_intrin("int8x32", "llvm.x86.avx2.psign.b", b, a)
        pairs = tirx.call_llvm_pure_intrin("int16x16", "llvm.x86.avx2.pmadd.ub.sw", magnitude, signed)
        ones = tirx.Broadcast(tirx.const(1, "int16"), 16)
        return tirx.call_llvm_pure_intrin("int32x8", "llvm.x86.avx2.pmadd.wd", pairs, ones)

    @T.prim_func(s_tir=True)
    def description(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (K_BLOCK,), "int8", offset_factor=1)
        B = T.match_buffer(b, (CHANNELS, K_BLOCK), "int8", offset_factor=1)
        C = T.match_buffer(c, (CHANNELS,), "int32", offset_factor=1)
        with T.sblock("root"):
            T.reads(C[0:CHANNELS], A[0:K_BLOCK], B[0:CHANNELS, 0:K_BLOCK])
            T.writes(C[0:CHANNELS])
            for i in T.serial(0, CHANNELS):
                for k in T.serial(0, K_BLOCK):
                    with T.sblock("update"):
                        vi, vk = T.axis.remap("SR", [i, k])
                        C[vi] = C[vi] + T.cast(A[vk], "int32") * T.cast(B[vi, vk], "int32")

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (K_BLOCK,), "int8", offset_factor=1)
        B = T.match_buffer(b, (CHANNELS, K_BLOCK), "int8", offset_factor=1)
        C = T.match_buffer(c, (CHANNELS,), "int32", offset_factor=1)
        with T.sblock("root"):
            T.reads(C[0:CHANNELS], A[0:K_BLOCK], B[0:CHANNELS, 0:K_BLOCK])
            T.writes(C[0:CHANNELS])
            C[T.ramp(T.int32(0), 1, CHANNELS)] = C.vload([0], dtype="int32x8") + dot_product(
                T.reinterpret("int8x32", T.broadcast(T.reinterpret("int32", A.vload([0], dtype="int8x4")), CHANNELS)),
                B.vload([0, 0], dtype="int8x32"),
            )

    TensorIntrin.register(name, description, implementation, override=True)
    return name
