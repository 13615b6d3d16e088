"""Intel AMX: 8-bit tiles of 16 rows by 16 columns into int32, up to two by two at once.

The accumulator tiles (registers 0 to 3) stay in registers over a whole reduction. A weight tile's rows are groups of
four inputs for 16 columns: the packed layout (16, 4) that vpdpbusd reads as well. The schedule's local accumulator
buffers stand for tile registers and are never in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from tvm import tirx
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T

from ..layout import PackedLayout

STRATEGY = "amx"
"""The name of every strategy that runs these instructions: an artifact demands AMX only where one was chosen."""
TILE = 16
MAX_DEPTH = 64
"""Bytes of a tile's row: the inputs that one instruction reduces."""
K_BLOCK = 4
LAYOUT = PackedLayout(TILE, K_BLOCK)
SCOPE = "local"


@dataclass(frozen=True)
class Operands:
    """The product of a schedule's one reduction: its instruction, depth, and tile registers."""

    instruction: str
    """tdpbusd (uint8 x int8) or tdpbssd (int8 x int8)."""
    depth: int
    """Inputs a step reduces, a multiple of 4 up to 64."""
    left: tuple[int, ...]
    """Tile registers of the left operand: one a tile row, or one for all in turn."""
    right: tuple[int, ...]
    """Tile registers of the right operand."""
    prefetch: bool = False
    """Whether the next columns are brought to the second-level cache: for weights that come from memory."""

    @property
    def left_dtype(self) -> str:
        """What the instruction reads on its left."""
        return "uint8" if self.instruction == "tdpbusd" else "int8"


@dataclass(frozen=True)
class TileIntrinsics:
    """Names of the intrinsics for one block of accumulator tiles."""

    zero: str
    dot: str
    store: str


def call(instruction: str, *arguments: Any) -> Any:
    """An AMX instruction without a result."""
    return tirx.call_llvm_intrin("void", f"llvm.x86.{instruction}", *arguments)


def _prefetch(address: Any) -> Any:
    """A cache line to the second-level cache (prefetcht1)."""
    read, locality, data = T.int32(0), T.int32(2), T.int32(1)
    return tirx.call_llvm_intrin("void", "llvm.prefetch", address, read, locality, data)


@cache
def register(rows: int, columns: int, operands: Operands) -> TileIntrinsics:
    """Registers the intrinsics for ``rows`` x ``columns`` accumulator tiles, each 1 or 2."""
    tiles = f"intbert.amx_{rows}x{columns}"
    registers = "_".join(map(str, (*operands.left, *operands.right)))
    names = TileIntrinsics(
        f"{tiles}.zero",
        f"{tiles}.{operands.instruction}_{operands.depth}_{registers}_{operands.prefetch}",
        f"{tiles}.store",
    )
    TensorIntrin.register(names.zero, *_zero(rows, columns), override=True)
    TensorIntrin.register(names.dot, *_dot(rows, columns, operands), override=True)
    TensorIntrin.register(names.store, *_store(rows, columns), override=True)
    return names


def with_tiles(products: Sequence[Operands]) -> Callable[[Any], Any]:
    """Wraps a statement: tiles configured for ``products`` before it, and released after it."""
    rows, row_bytes = [TILE] * 8, [MAX_DEPTH] * 8
    for operands in products:
        for tile in operands.left:
            row_bytes[tile] = operands.depth
        for tile in operands.right:
            rows[tile] = operands.depth // K_BLOCK
    return partial(_configure, rows=rows, row_bytes=row_bytes)


def _configure(body: Any, rows: Sequence[int], row_bytes: Sequence[int]) -> Any:
    """Intel's palette 1: byte 0 the palette, 16-bit row lengths from byte 16 on, numbers of rows from byte 48 on."""
    image = bytearray(64)
    image[0] = 1
    for tile in range(8):
        image[16 + 2 * tile] = row_bytes[tile]
        image[48 + tile] = rows[tile]
    words = [int.from_bytes(image[start : start + 8], "little") for start in range(0, 64, 8)]
    configuration = tirx.decl_buffer((len(words),), "int64", name="tile_configuration", scope="local")
    stores = [tirx.BufferStore(configuration, tirx.const(word, "int64"), [i]) for i, word in enumerate(words)]
    load = tirx.Evaluate(call("ldtilecfg", configuration.access_ptr("r")))
    release = tirx.Evaluate(call("tilerelease"))
    return tirx.SeqStmt([tirx.AllocBuffer(configuration), *stores, load, body, release])


def _zero(rows: int, columns: int) -> tuple[Any, Any]:
    m, n = rows * TILE, columns * TILE

    @T.prim_func(s_tir=True)
    def description(c: T.handle) -> None:
        C = T.match_buffer(c, (m, n), "int32", offset_factor=1, scope=SCOPE)
        with T.sblock("root"):
            T.reads()
            T.writes(C[0:m, 0:n])
            for i, j in T.grid(m, n):
                with T.sblock("zero"):
                    vi, vj = T.axis.remap("SS", [i, j])
                    C[vi, vj] = T.int32(0)

    @T.prim_func(s_tir=True)
    def implementation(c: T.handle) -> None:
        C = T.match_buffer(c, (m, n), "int32", offset_factor=1, scope=SCOPE)
        with T.sblock("root"):
            T.reads()
            T.writes(C[0:m, 0:n])
            for tile in T.unroll(rows * columns):
                T.evaluate(call("tilezero", T.cast(tile, "int8")))

    return description, implementation


def _dot(rows: int, columns: int, operands: Operands) -> tuple[Any, Any]:
    m, n, depth = rows * TILE, columns * TILE, operands.depth
    groups = depth // K_BLOCK
    left_dtype, instruction = operands.left_dtype, operands.instruction
    # Register number = first + step * index; a step of 0 loads one register in turn.
    left, left_step = operands.left[0], int(len(operands.left) > 1)
    right, right_step = operands.right[0], int(len(operands.right) > 1)

    @T.prim_func(s_tir=True)
    def description(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (m, depth), left_dtype, offset_factor=1, strides=["stride_a", 1])
        B = T.match_buffer(b, (columns, groups, 16, 4), "int8", offset_factor=1, strides=["stride_b", 64, 4, 1])
        C = T.match_buffer(c, (m, n), "int32", offset_factor=1, scope=SCOPE)
        with T.sblock("root"):
            T.reads(C[0:m, 0:n], A[0:m, 0:depth], B[0:columns, 0:groups, 0:16, 0:4])
            T.writes(C[0:m, 0:n])
            for i, j, k in T.grid(m, n, depth):
                with T.sblock("update"):
                    vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                    C[vi, vj] = C[vi, vj] + T.cast(A[vi, vk], "int32") * T.cast(
                        B[vj // 16, vk // 4, vj % 16, vk % 4], "int32"
                    )

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        stride_a = T.int32()
        stride_b = T.int32()
        A = T.match_buffer(a, (m, depth), left_dtype, offset_factor=1, strides=[stride_a, 1])
        B = T.match_buffer(b, (columns, groups, 16, 4), "int8", offset_factor=1, strides=[stride_b, 64, 4, 1])
        C = T.match_buffer(c, (m, n), "int32", offset_factor=1, scope=SCOPE)
        with T.sblock("root"):
            T.reads(C[0:m, 0:n], A[0:m, 0:depth], B[0:columns, 0:groups, 0:16, 0:4])
            T.writes(C[0:m, 0:n])
            for i in T.unroll(rows):
                T.evaluate(
                    call(
                        "tileloadd64",
                        T.cast(left + left_step * i, "int8"),
                        T.address_of(A[i * TILE, 0]),
                        T.cast(stride_a, "int64"),
                    )
                )
                for j in T.unroll(columns):
                    if i == 0 or right_step == 0:
                        T.evaluate(
                            call(
                                "tileloadd64",
                                T.cast(right + right_step * j, "int8"),
                                T.address_of(B[j, 0, 0, 0]),
                                T.int64(64),
                            )
                        )
                    if i == 0 and operands.prefetch:
                        for line in T.unroll(groups):
                            T.evaluate(_prefetch(T.address_of(B[j + columns, line, 0, 0])))
                    T.evaluate(
                        call(
                            instruction,
                            T.cast(i * columns + j, "int8"),
                            T.cast(left + left_step * i, "int8"),
                            T.cast(right + right_step * j, "int8"),
                        )
                    )

    return description, implementation


def _store(rows: int, columns: int) -> tuple[Any, Any]:
    m, n = rows * TILE, columns * TILE

    @T.prim_func(s_tir=True)
    def description(c: T.handle, d: T.handle) -> None:
        C = T.match_buffer(c, (m, n), "int32", offset_factor=1, scope=SCOPE)
        D = T.match_buffer(d, (m, n), "int32", offset_factor=1, strides=["stride_d", 1])
        with T.sblock("root"):
            T.reads(C[0:m, 0:n])
            T.writes(D[0:m, 0:n])
            for i, j in T.grid(m, n):
                with T.sblock("store"):
                    vi, vj = T.axis.remap("SS", [i, j])
                    D[vi, vj] = C[vi, vj]

    @T.prim_func(s_tir=True)
    def implementation(c: T.handle, d: T.handle) -> None:
        stride_d = T.int32()
        C = T.match_buffer(c, (m, n), "int32", offset_factor=1, scope=SCOPE)
        D = T.match_buffer(d, (m, n), "int32", offset_factor=1, strides=[stride_d, 1])
        with T.sblock("root"):
            T.reads(C[0:m, 0:n])
            T.writes(D[0:m, 0:n])
            for i in T.unroll(rows):
                for j in T.unroll(columns):
                    T.evaluate(
                        call(
                            "tilestored64",
                            T.cast(i * columns + j, "int8"),
                            T.address_of(D[i * TILE, j * TILE]),
                            T.cast(stride_d * 4, "int64"),
                        )
                    )

    return description, implementation
