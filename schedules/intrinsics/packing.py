"""Copies that lay 8-bit rows out for dot products, four at a time, without a scalar byte access."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from tvm import tirx
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T

from ..layout import PackedLayout

K_BLOCK = 4


@dataclass(frozen=True)
class PackingCopies:
    """Tensor intrinsics that pack attention's operands in a layout; each of them is registered for it, by name."""

    step: int
    """Channels of a key that are copied together."""
    keys: Callable[[PackedLayout], str]
    """``packed[step / k_block, n_block, k_block]`` from ``rows[n_block, step]``."""
    values: Callable[[PackedLayout], str]
    """``packed[n_block, k_block]`` from ``rows[k_block, n_block]``."""


OFFSET = 128
OFFSET_WORD = 0x80808080 - 2**32
"""It adds :data:`OFFSET` to each of four bytes when their signs are flipped."""


@cache
def register_key_packing(keys: int, offset: bool = False) -> str:
    """Registers ``packed[keys, 4] = rows[keys, 4]``: four consecutive bytes of each row, as one word.

    ``offset``: the packed keys are uint8, 128 more than the int8 ones.
    """
    name = f"intbert.pack_{'offset_' if offset else ''}keys_{keys}"
    dtype = "uint8" if offset else "int8"

    def stored(key: Any) -> Any:
        return (key.astype("int16") + tirx.const(OFFSET, "int16")).astype("uint8") if offset else key

    def stored_words(key: Any) -> Any:
        if not offset:
            return key
        return tirx.reinterpret("uint8x4", tirx.reinterpret("int32", key) ^ tirx.const(OFFSET_WORD, "int32"))

    @T.prim_func(s_tir=True)
    def description(a: T.handle, p: T.handle) -> None:
        A = T.match_buffer(a, (keys, K_BLOCK), "int8", offset_factor=1, strides=["stride_a", 1])
        P = T.match_buffer(p, (keys, K_BLOCK), dtype, offset_factor=1)
        with T.sblock("root"):
            T.reads(A[0:keys, 0:K_BLOCK])
            T.writes(P[0:keys, 0:K_BLOCK])
            for i, k in T.grid(keys, K_BLOCK):
                with T.sblock("copy"):
                    vi, vk = T.axis.remap("SS", [i, k])
                    P[vi, vk] = stored(A[vi, vk])

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, p: T.handle) -> None:
        stride_a = T.int32()
        A = T.match_buffer(a, (keys, K_BLOCK), "int8", offset_factor=1, strides=[stride_a, 1])
        P = T.match_buffer(p, (keys, K_BLOCK), dtype, offset_factor=1)
        with T.sblock("root"):
            T.reads(A[0:keys, 0:K_BLOCK])
            T.writes(P[0:keys, 0:K_BLOCK])
            for i in T.unroll(keys):
                P[i, T.ramp(0, 1, K_BLOCK)] = stored_words(A.vload([i, 0], dtype="int8x4"))

    TensorIntrin.register(name, description, implementation, override=True)
    return name


@cache
def register_value_packing(channels: int) -> str:
    """Registers ``packed[channels, 4] = rows[4, channels]`` transposed: zero-extended rows, shifted and or-ed."""
    name = f"intbert.pack_values_{channels}"
    bytes_type, words_type, packed_type = (
        f"uint8x{channels}",
        f"int32x{channels}",
        f"int8x{channels * K_BLOCK}",
    )

    def words(buffer: Any, row: int) -> Any:
        row_bytes = tirx.reinterpret(bytes_type, buffer.vload([row, 0], dtype=f"int8x{channels}"))
        return row_bytes.astype(words_type) << tirx.Broadcast(tirx.const(8 * row, "int32"), channels)

    @T.prim_func(s_tir=True)
    def description(a: T.handle, p: T.handle) -> None:
        A = T.match_buffer(a, (K_BLOCK, channels), "int8", offset_factor=1, strides=["stride_a", 1])
        P = T.match_buffer(p, (channels, K_BLOCK), "int8", offset_factor=1)
        with T.sblock("root"):
            T.reads(A[0:K_BLOCK, 0:channels])
            T.writes(P[0:channels, 0:K_BLOCK])
            for k, i in T.grid(K_BLOCK, channels):
                with T.sblock("copy"):
                    vk, vi = T.axis.remap("SS", [k, i])
                    P[vi, vk] = A[vk, vi]

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, p: T.handle) -> None:
        stride_a = T.int32()
        A = T.match_buffer(a, (K_BLOCK, channels), "int8", offset_factor=1, strides=[stride_a, 1])
        P = T.match_buffer(p, (channels, K_BLOCK), "int8", offset_factor=1)
        with T.sblock("root"):
            T.reads(A[0:K_BLOCK, 0:channels])
            T.writes(P[0:channels, 0:K_BLOCK])
            P.vstore(
                [0, 0],
                T.reinterpret(packed_type, words(A, 0) | words(A, 1) | words(A, 2) | words(A, 3)),
            )

    TensorIntrin.register(name, description, implementation, override=True)
    return name


WORDS = PackingCopies(
    K_BLOCK,
    lambda layout: register_key_packing(layout.n_block),
    lambda layout: register_value_packing(layout.n_block),
)
"""Four bytes at a time, for layouts that group four inputs."""
OFFSET_WORDS = replace(WORDS, keys=lambda layout: register_key_packing(layout.n_block, offset=True))
"""The same where dot products read keys as uint8."""
