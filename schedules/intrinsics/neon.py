"""Arm NEON: a register tile of int8 x int8 into int32, its whole reduction as one intrinsic.

The loop over the inputs is inside, so that the order of the instructions is ours: a tile that is unrolled
row by row needs more registers than there are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from tvm import tirx
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T

from ..layout import PackedLayout

SDOT_LAYOUT = PackedLayout(8, 4)
"""Two vectors side by side, so that one ldp loads them."""
SMULL_LAYOUT = PackedLayout(4, 16)
VECTOR_BYTES = 16
LANES = 4
"""int32 lanes of a vector."""
SDOT = "llvm.aarch64.neon.sdot"
SMULL = "llvm.aarch64.neon.smull"
SADDLP = "llvm.aarch64.neon.saddlp"
ADDP = "llvm.aarch64.neon.addp"


@cache
def register_sdot(rows: int, blocks: int, inputs: int) -> str:
    """Registers ``C[rows, 8 * blocks] += A[rows, inputs] * B[blocks, inputs / 4, 8, 4]``; its name.

    Armv8.2's sdot multiplies by four bytes that are one of the four lanes of a vector: a row's 16 activations
    are one load, and no instruction broadcasts them. ``inputs`` is a multiple of 16.
    """
    channels = blocks * SDOT_LAYOUT.n_block

    def broadcast_lane(vector: Any, index: Any) -> Any:
        words = T.reinterpret("int32x4", vector)
        return T.reinterpret("int8x16", tirx.Shuffle([words], [index] * LANES))

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        stride_a = T.int32()
        stride_b = T.int32()
        stride_c = T.int32()
        A = T.match_buffer(a, (rows, inputs), "int8", offset_factor=1, strides=[stride_a, 1])
        B = T.match_buffer(b, (blocks, inputs // 4, 8, 4), "int8", offset_factor=1, strides=[stride_b, 32, 4, 1])
        C = T.match_buffer(c, (rows, channels), "int32", offset_factor=1, strides=[stride_c, 1])
        with T.sblock("root"):
            T.reads(C[0:rows, 0:channels], A[0:rows, 0:inputs], B[0:blocks, 0 : inputs // 4, 0:8, 0:4])
            T.writes(C[0:rows, 0:channels])
            for step in T.serial(inputs // VECTOR_BYTES):
                for group in T.unroll(4):
                    for block in T.unroll(blocks):
                        for row in T.unroll(rows):
                            for half in T.unroll(2):
                                C[row, T.ramp(block * 8 + half * LANES, 1, LANES)] = tirx.call_llvm_pure_intrin(
                                    "int32x4",
                                    SDOT,
                                    C.vload([row, block * 8 + half * LANES], dtype="int32x4"),
                                    B.vload([block, step * 4 + group, half * LANES, 0], dtype="int8x16"),
                                    broadcast_lane(A.vload([row, step * VECTOR_BYTES], dtype="int8x16"), group),
                                )

    return _register("sdot", SDOT_LAYOUT, rows, blocks, inputs, implementation)


@cache
def register_smull(rows: int, blocks: int, inputs: int) -> str:
    """Registers ``C[rows, 4 * blocks] += A[rows, inputs] * B[blocks, inputs / 16, 4, 16]``; its name.

    Armv8.0 has no dot product. smull and smlal2 add two products of A (int8) and B, |B| <= 127, in each of
    eight int16 lanes: at most 2 * 128 * 127 = 32512, exact. sadalp adds those to four int32 lanes of one output
    channel; they are added up at the end (the scheme of ruy's NEON kernels). ``inputs`` is a multiple of 16.
    """
    channels = blocks * LANES

    def sums_of_four(a: Any, b: Any) -> Any:
        low, high = (tirx.call_llvm_pure_intrin("int16x8", SMULL, half(a), half(b)) for half in (_low_half, _high_half))
        return tirx.call_llvm_pure_intrin("int32x4", SADDLP, low + high)

    def pairwise_sums(a: Any, b: Any) -> Any:
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
        C = T.match_buffer(c, (rows, channels), "int32", offset_factor=1, strides=[stride_c, 1])
        with T.sblock("root"):
            T.reads(
                C[0:rows, 0:channels],
                A[0:rows, 0:inputs],
                B[0:blocks, 0 : inputs // VECTOR_BYTES, 0:LANES, 0:VECTOR_BYTES],
            )
            T.writes(C[0:rows, 0:channels])
            partial = T.alloc_buffer((rows, channels, LANES), "int32", scope="local")
            for row in T.unroll(rows):
                for channel in T.unroll(channels):
                    partial[row, channel, T.ramp(0, 1, LANES)] = T.broadcast(T.int32(0), LANES)
            for step in T.serial(inputs // VECTOR_BYTES):
                for channel in T.unroll(channels):
                    for row in T.unroll(rows):
                        partial[row, channel, T.ramp(0, 1, LANES)] = partial.vload(
                            [row, channel, 0], dtype="int32x4"
                        ) + sums_of_four(
                            A.vload([row, step * VECTOR_BYTES], dtype="int8x16"),
                            B.vload([channel // LANES, step, channel % LANES, 0], dtype="int8x16"),
                        )
            for row in T.unroll(rows):
                for block in T.unroll(blocks):
                    C[row, T.ramp(block * LANES, 1, LANES)] = C.vload(
                        [row, block * LANES], dtype="int32x4"
                    ) + pairwise_sums(
                        pairwise_sums(
                            partial.vload([row, block * LANES, 0], dtype="int32x4"),
                            partial.vload([row, block * LANES + 1, 0], dtype="int32x4"),
                        ),
                        pairwise_sums(
                            partial.vload([row, block * LANES + 2, 0], dtype="int32x4"),
                            partial.vload([row, block * LANES + 3, 0], dtype="int32x4"),
                        ),
                    )

    return _register("smull", SMULL_LAYOUT, rows, blocks, inputs, implementation)


def _low_half(vector: Any) -> Any:
    return tirx.Shuffle([vector], list(range(8)))


def _high_half(vector: Any) -> Any:
    return tirx.Shuffle([vector], list(range(8, 16)))


def _register(
    instruction: str,
    layout: PackedLayout,
    rows: int,
    blocks: int,
    inputs: int,
    implementation: Callable[..., Any],
) -> str:
    n_block, k_block = layout.n_block, layout.k_block
    channels = blocks * n_block

    @T.prim_func(s_tir=True)
    def description(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (rows, inputs), "int8", offset_factor=1, strides=["stride_a", 1])
        B = T.match_buffer(
            b,
            (blocks, inputs // k_block, n_block, k_block),
            "int8",
            offset_factor=1,
            strides=["stride_b", n_block * k_block, k_block, 1],
        )
        C = T.match_buffer(c, (rows, channels), "int32", offset_factor=1, strides=["stride_c", 1])
        with T.sblock("root"):
            T.reads(
                C[0:rows, 0:channels],
                A[0:rows, 0:inputs],
                B[0:blocks, 0 : inputs // k_block, 0:n_block, 0:k_block],
            )
            T.writes(C[0:rows, 0:channels])
            for i, j, k in T.grid(rows, channels, inputs):
                with T.sblock("update"):
                    vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                    C[vi, vj] = C[vi, vj] + T.cast(A[vi, vk], "int32") * T.cast(
                        B[vj // n_block, vk // k_block, vj % n_block, vk % k_block], "int32"
                    )

    # A schedule leaves out the loop over a single row.
    @T.prim_func(s_tir=True)
    def description_of_one_row(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (1, inputs), "int8", offset_factor=1, strides=["stride_a", 1])
        B = T.match_buffer(
            b,
            (blocks, inputs // k_block, n_block, k_block),
            "int8",
            offset_factor=1,
            strides=["stride_b", n_block * k_block, k_block, 1],
        )
        C = T.match_buffer(c, (1, channels), "int32", offset_factor=1, strides=["stride_c", 1])
        with T.sblock("root"):
            T.reads(
                C[0, 0:channels],
                A[0, 0:inputs],
                B[0:blocks, 0 : inputs // k_block, 0:n_block, 0:k_block],
            )
            T.writes(C[0, 0:channels])
            for j, k in T.grid(channels, inputs):
                with T.sblock("update"):
                    vj, vk = T.axis.remap("SR", [j, k])
                    C[0, vj] = C[0, vj] + T.cast(A[0, vk], "int32") * T.cast(
                        B[vj // n_block, vk // k_block, vj % n_block, vk % k_block], "int32"
                    )

    name = f"intbert.neon_{instruction}_{rows}x{blocks}x{inputs}"
    TensorIntrin.register(name, description_of_one_row if rows == 1 else description, implementation, override=True)
    return name
