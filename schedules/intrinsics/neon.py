"""Arm NEON: a register tile of int8 x int8 into int32, its whole reduction as one intrinsic.

The loop over the inputs is inside, so that the order of the instructions is ours: what LLVM gets to see of a tile
unrolled row by row needs more registers than there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import tirx
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T

VECTOR_BYTES = 16
LANES = 4
"""int32 lanes of a vector."""
SDOT = "llvm.aarch64.neon.sdot"
SMULL = "llvm.aarch64.neon.smull"
SADDLP = "llvm.aarch64.neon.saddlp"
ADDP = "llvm.aarch64.neon.addp"


def register_sdot(rows: int, blocks: int, inputs: int) -> str:
    """Registers ``C[rows, 4 * blocks] += A[rows, inputs] * B[blocks, inputs / 4, 4, 4]`` with sdot; its name.

    Armv8.2's sdot multiplies by four bytes that are one of the four lanes of a vector: a row's 16 activations are one
    load, and no instruction broadcasts them. ``inputs`` is a multiple of 16.
    """

    def lane(vector: Any, index: Any) -> Any:
        return tirx.Shuffle([vector], [index] * LANES)

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        stride_a = T.int32()
        stride_b = T.int32()
        stride_c = T.int32()
        A = T.match_buffer(a, (rows, inputs), "int8", offset_factor=1, strides=[stride_a, 1])
        B = T.match_buffer(
            b, (blocks, inputs // 4, LANES, 4), "int8", offset_factor=1, strides=[stride_b, 16, 4, 1]
        )
        C = T.match_buffer(c, (rows, blocks * LANES), "int32", offset_factor=1, strides=[stride_c, 1])
        with T.sblock("root"):
            T.reads(
                C[0:rows, 0 : blocks * LANES], A[0:rows, 0:inputs], B[0:blocks, 0 : inputs // 4, 0:LANES, 0:4]
            )
            T.writes(C[0:rows, 0 : blocks * LANES])
            for step in T.serial(inputs // VECTOR_BYTES):
                for group in T.unroll(4):
                    for block in T.unroll(blocks):
                        for row in T.unroll(rows):
                            C[row, T.ramp(block * LANES, 1, LANES)] = tirx.call_llvm_pure_intrin(
                                "int32x4",
                                SDOT,
                                C.vload([row, block * LANES], dtype="int32x4"),
                                B.vload([block, step * 4 + group, 0, 0], dtype="int8x16"),
                                T.reinterpret(
                                    "int8x16",
                                    lane(
                                        T.reinterpret(
                                            "int32x4", A.vload([row, step * VECTOR_BYTES], dtype="int8x16")
                                        ),
                                        group,
                                    ),
                                ),
                            )

    return _register(f"intbert.neon_sdot_{rows}x{blocks}x{inputs}", 4, rows, blocks, inputs, implementation)


def register_smull(rows: int, blocks: int, inputs: int) -> str:
    """Registers ``C[rows, 4 * blocks] += A[rows, inputs] * B[blocks, inputs / 16, 4, 16]`` with smull; its name.

    Armv8.0 has no dot product. smull and smlal2 add two products of bytes within [-127, 127] in each of eight int16
    lanes: at most 2 * 127^2 = 32258, exact. sadalp adds those to four int32 lanes of one output channel; they are
    added up at the end (the scheme of ruy's NEON kernels). ``inputs`` is a multiple of 16.
    """
    outputs = rows * blocks * LANES

    def products(a: Any, b: Any) -> Any:
        low, high = (
            tirx.call_llvm_pure_intrin("int16x8", SMULL, half(a), half(b)) for half in (_low_half, _high_half)
        )
        return tirx.call_llvm_pure_intrin("int32x4", SADDLP, low + high)

    def pairwise(a: Any, b: Any) -> Any:
        return tirx.call_llvm_pure_intrin("int32x4", ADDP, a, b)

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        stride_a = T.int32()
        stride_b = T.int32()
        stride_c = T.int32()
        A = T.match_buffer(a, (rows, inputs), "int8", offset_factor=1, strides=[stride_a, 1])
        B = T.match_buffer(
            b,
            (blocks, inputs // VECTOR_BYTES, LANES, VECTOR_BYTES),
            "int8",
            offset_factor=1,
            strides=[stride_b, LANES * VECTOR_BYTES, VECTOR_BYTES, 1],
        )
        C = T.match_buffer(c, (rows, blocks * LANES), "int32", offset_factor=1, strides=[stride_c, 1])
        with T.sblock("root"):
            T.reads(
                C[0:rows, 0 : blocks * LANES],
                A[0:rows, 0:inputs],
                B[0:blocks, 0 : inputs // VECTOR_BYTES, 0:LANES, 0:VECTOR_BYTES],
            )
            T.writes(C[0:rows, 0 : blocks * LANES])
            partial = T.alloc_buffer((outputs, LANES), "int32", scope="local")
            for output in T.unroll(outputs):
                partial[output, T.ramp(0, 1, LANES)] = T.broadcast(T.int32(0), LANES)
            for step in T.serial(inputs // VECTOR_BYTES):
                for block in T.unroll(blocks):
                    for channel in T.unroll(LANES):
                        for row in T.unroll(rows):
                            partial[(row * blocks + block) * LANES + channel, T.ramp(0, 1, LANES)] = partial.vload(
                                [(row * blocks + block) * LANES + channel, 0], dtype="int32x4"
                            ) + products(
                                A.vload([row, step * VECTOR_BYTES], dtype="int8x16"),
                                B.vload([block, step, channel, 0], dtype="int8x16"),
                            )
            for row in T.unroll(rows):
                for block in T.unroll(blocks):
                    C[row, T.ramp(block * LANES, 1, LANES)] = C.vload(
                        [row, block * LANES], dtype="int32x4"
                    ) + pairwise(
                        pairwise(
                            partial.vload([(row * blocks + block) * LANES, 0], dtype="int32x4"),
                            partial.vload([(row * blocks + block) * LANES + 1, 0], dtype="int32x4"),
                        ),
                        pairwise(
                            partial.vload([(row * blocks + block) * LANES + 2, 0], dtype="int32x4"),
                            partial.vload([(row * blocks + block) * LANES + 3, 0], dtype="int32x4"),
                        ),
                    )

    return _register(
        f"intbert.neon_smull_{rows}x{blocks}x{inputs}", VECTOR_BYTES, rows, blocks, inputs, implementation
    )


def _low_half(vector: Any) -> Any:
    return tirx.Shuffle([vector], list(range(8)))


def _high_half(vector: Any) -> Any:
    return tirx.Shuffle([vector], list(range(8, 16)))


def _register(
    name: str, k_block: int, rows: int, blocks: int, inputs: int, implementation: Callable[..., Any]
) -> str:
    channels = blocks * LANES

    @T.prim_func(s_tir=True)
    def description(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (rows, inputs), "int8", offset_factor=1, strides=["stride_a", 1])
        B = T.match_buffer(
            b,
            (blocks, inputs // k_block, LANES, k_block),
            "int8",
            offset_factor=1,
            strides=["stride_b", LANES * k_block, k_block, 1],
        )
        C = T.match_buffer(c, (rows, channels), "int32", offset_factor=1, strides=["stride_c", 1])
        with T.sblock("root"):
            T.reads(C[0:rows, 0:channels], A[0:rows, 0:inputs], B[0:blocks, 0 : inputs // k_block, 0:LANES, 0:k_block])
            T.writes(C[0:rows, 0:channels])
            for i, j, k in T.grid(rows, channels, inputs):
                with T.sblock("update"):
                    vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                    C[vi, vj] = C[vi, vj] + T.cast(A[vi, vk], "int32") * T.cast(
                        B[vj // LANES, vk // k_block, vj % LANES, vk % k_block], "int32"
                    )

    TensorIntrin.register(name, description, implementation, override=True)
    return name
