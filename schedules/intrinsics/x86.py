"""x86 dot products: uint8 activations times int8 weights into int32, four at a time."""

from __future__ import annotations

from tvm import tirx
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T

K_BLOCK = 4


def register_vnni(n_block: int, instruction: str) -> str:
    """Registers ``C[n_block] += A[4] * B[n_block, 4]`` with one vpdpbusd; the intrinsic's name.

    LLVM 22 takes the operands of vpdpbusd as bytes; TVM 0.27's own intrinsic still passes words, and fails.
    """
    name = f"intbert.vnni_{n_block}x{K_BLOCK}"
    bytes_type, words_type = f"int8x{n_block * K_BLOCK}", f"int32x{n_block}"

    @T.prim_func(s_tir=True)
    def description(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (K_BLOCK,), "uint8", offset_factor=1)
        B = T.match_buffer(b, (n_block, K_BLOCK), "int8", offset_factor=1)
        C = T.match_buffer(c, (n_block,), "int32", offset_factor=1)
        with T.sblock("root"):
            T.reads(C[0:n_block], A[0:K_BLOCK], B[0:n_block, 0:K_BLOCK])
            T.writes(C[0:n_block])
            for i in T.serial(0, n_block):
                for k in T.serial(0, K_BLOCK):
                    with T.sblock("update"):
                        vi, vk = T.axis.remap("SR", [i, k])
                        C[vi] = C[vi] + T.cast(A[vk], "int32") * T.cast(B[vi, vk], "int32")

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (K_BLOCK,), "uint8", offset_factor=1)
        B = T.match_buffer(b, (n_block, K_BLOCK), "int8", offset_factor=1)
        C = T.match_buffer(c, (n_block,), "int32", offset_factor=1)
        with T.sblock("root"):
            T.reads(C[0:n_block], A[0:K_BLOCK], B[0:n_block, 0:K_BLOCK])
            T.writes(C[0:n_block])
            C[T.ramp(T.int32(0), 1, n_block)] = tirx.call_llvm_pure_intrin(
                words_type,
                instruction,
                C.vload([0], dtype=words_type),
                T.reinterpret(bytes_type, T.broadcast(T.reinterpret("int32", A.vload([0], dtype="uint8x4")), n_block)),
                B.vload([0, 0], dtype=bytes_type),
            )

    TensorIntrin.register(name, description, implementation, override=True)
    return name
