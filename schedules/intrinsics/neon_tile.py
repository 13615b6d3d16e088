"""Arm NEON: what the register tiles of all its instructions share.

A tile of int8 x int8 into int32 is one intrinsic, the loop over the inputs inside, so that the order of the
instructions is ours: a tile that is unrolled row by row needs more registers than there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T

from ..layout import ROW_MAJOR, PackedLayout
from .regions import whole

VECTOR_BYTES = 16
LANES = 4
"""int32 lanes of a vector."""


@dataclass(frozen=True)
class Tile:
    """``C[rows, n_block * blocks] += A[rows, inputs] * B``, the weights B and maybe the activations A packed."""

    instruction: str
    rows: int
    blocks: int
    inputs: int
    weights: PackedLayout
    activations: PackedLayout = ROW_MAJOR

    @property
    def channels(self) -> int:
        """Columns of C."""
        return self.blocks * self.weights.n_block

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Of B."""
        return self.weights.shape(self.channels, self.inputs)

    @property
    def activation_shape(self) -> tuple[int, ...]:
        """Of A."""
        if self.activations == ROW_MAJOR:
            return self.rows, self.inputs
        return self.activations.shape(self.rows, self.inputs)

    @property
    def weight_strides(self) -> list[int]:
        """Of B, but for its first dimension: a block of the whole matrix is more."""
        return _inner_strides(self.weights)

    @property
    def activation_strides(self) -> list[int]:
        """Of A, but for its first dimension."""
        return [1] if self.activations == ROW_MAJOR else _inner_strides(self.activations)

    @property
    def name(self) -> str:
        """The tensor intrinsic's."""
        layouts = f"{self.weights.n_block}_{self.weights.k_block}_{self.activations.n_block}"
        return f"intbert.neon_{self.instruction}_{layouts}_{self.rows}x{self.blocks}x{self.inputs}"


def _inner_strides(layout: PackedLayout) -> list[int]:
    return [layout.n_block * layout.k_block, layout.k_block, 1]


def register(tile: Tile, implementation: Callable[..., Any]) -> str:
    """Registers the intrinsic of ``tile``; its name."""
    if tile.activations != ROW_MAJOR:
        description = _of_packed_rows(tile)
    else:
        # A schedule leaves out the loop over a single row.
        description = _of_one_row(tile) if tile.rows == 1 else _of_rows(tile)
    TensorIntrin.register(tile.name, description, implementation, override=True)
    return tile.name


def _of_rows(tile: Tile) -> Any:
    rows, channels, inputs = tile.rows, tile.channels, tile.inputs
    n_block, k_block = tile.weights.n_block, tile.weights.k_block

    @T.prim_func(s_tir=True)
    def description(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (rows, inputs), "int8", offset_factor=1, strides=["stride_a", 1])
        B = T.match_buffer(
            b, tile.weight_shape, "int8", offset_factor=1, strides=["stride_b", n_block * k_block, k_block, 1]
        )
        C = T.match_buffer(c, (rows, channels), "int32", offset_factor=1, strides=["stride_c", 1])
        with T.sblock("root"):
            T.reads(whole(C), whole(A), whole(B))
            T.writes(whole(C))
            for i, j, k in T.grid(rows, channels, inputs):
                with T.sblock("update"):
                    vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                    C[vi, vj] = C[vi, vj] + T.cast(A[vi, vk], "int32") * T.cast(
                        B[vj // n_block, vk // k_block, vj % n_block, vk % k_block], "int32"
                    )

    return description


def _of_one_row(tile: Tile) -> Any:
    channels, inputs = tile.channels, tile.inputs
    n_block, k_block = tile.weights.n_block, tile.weights.k_block

    @T.prim_func(s_tir=True)
    def description(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (1, inputs), "int8", offset_factor=1, strides=["stride_a", 1])
        B = T.match_buffer(
            b, tile.weight_shape, "int8", offset_factor=1, strides=["stride_b", n_block * k_block, k_block, 1]
        )
        C = T.match_buffer(c, (1, channels), "int32", offset_factor=1, strides=["stride_c", 1])
        with T.sblock("root"):
            T.reads(whole(C), whole(A), whole(B))
            T.writes(whole(C))
            for j, k in T.grid(channels, inputs):
                with T.sblock("update"):
                    vj, vk = T.axis.remap("SR", [j, k])
                    C[0, vj] = C[0, vj] + T.cast(A[0, vk], "int32") * T.cast(
                        B[vj // n_block, vk // k_block, vj % n_block, vk % k_block], "int32"
                    )

    return description


def _of_packed_rows(tile: Tile) -> Any:
    rows, channels, inputs = tile.rows, tile.channels, tile.inputs
    n_block, k_block = tile.weights.n_block, tile.weights.k_block
    m_block = tile.activations.n_block

    @T.prim_func(s_tir=True)
    def description(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(
            a, tile.activation_shape, "int8", offset_factor=1, strides=["stride_a", m_block * k_block, k_block, 1]
        )
        B = T.match_buffer(
            b, tile.weight_shape, "int8", offset_factor=1, strides=["stride_b", n_block * k_block, k_block, 1]
        )
        C = T.match_buffer(c, (rows, channels), "int32", offset_factor=1, strides=["stride_c", 1])
        with T.sblock("root"):
            T.reads(whole(C), whole(A), whole(B))
            T.writes(whole(C))
            for i, j, k in T.grid(rows, channels, inputs):
                with T.sblock("update"):
                    vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                    C[vi, vj] = C[vi, vj] + T.cast(
                        A[vi // m_block, vk // k_block, vi % m_block, vk % k_block], "int32"
                    ) * T.cast(B[vj // n_block, vk // k_block, vj % n_block, vk % k_block], "int32")

    return description
