"""The tensor intrinsic of a dot-product instruction: four inputs for every channel of a vector register."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T

K_BLOCK = 4


def register_dot_product(
    name: str, n_block: int, dtypes: tuple[str, str], multiply_add: Callable[[Any, Any, Any], Any]
) -> str:
    """Registers ``C[n_block] += A[4] * B[n_block, 4]``, A and B of ``dtypes``; returns ``name``.

    ``multiply_add`` gets the vectors: int32 accumulators, the four activations once a channel, and the weights, both
    of the latter as int8 of the register's width; it returns the new accumulators.
    """
    left_dtype, right_dtype = dtypes
    bytes_type, words_type = f"int8x{n_block * K_BLOCK}", f"int32x{n_block}"
    group_type = f"{left_dtype}x{K_BLOCK}"

    def weights(vector: Any) -> Any:
        return vector if right_dtype == "int8" else T.reinterpret(bytes_type, vector)

    @T.prim_func(s_tir=True)
    def description(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (K_BLOCK,), left_dtype, offset_factor=1)
        B = T.match_buffer(b, (n_block, K_BLOCK), right_dtype, offset_factor=1)
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
        A = T.match_buffer(a, (K_BLOCK,), left_dtype, offset_factor=1)
        B = T.match_buffer(b, (n_block, K_BLOCK), right_dtype, offset_factor=1)
        C = T.match_buffer(c, (n_block,), "int32", offset_factor=1)
        with T.sblock("root"):
            T.reads(C[0:n_block], A[0:K_BLOCK], B[0:n_block, 0:K_BLOCK])
            T.writes(C[0:n_block])
            C[T.ramp(T.int32(0), 1, n_block)] = multiply_add(
                C.vload([0], dtype=words_type),
                T.reinterpret(bytes_type, T.broadcast(T.reinterpret("int32", A.vload([0], dtype=group_type)), n_block)),
                weights(B.vload([0, 0], dtype=f"{right_dtype}x{n_block * K_BLOCK}")),
            )

    TensorIntrin.register(name, description, implementation, override=True)
    return name
