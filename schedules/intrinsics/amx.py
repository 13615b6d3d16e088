"""Intel AMX: tiles of 16 x 64 uint8 by 64 x 16 int8 into 16 x 16 int32 (tdpbusd), up to two by two at once.

The accumulator tiles (registers 0 to 3) stay in registers over the whole reduction; 4 and 5 hold activations, 6 and
7 weights. A weight tile's rows are groups of four inputs for 16 channels: the packed layout (16, 4) that vpdpbusd
reads as well. The schedule's local accumulator buffers stand for tile registers and are never in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T

TILE = 16
TILE_BYTES = 64
SCOPE = "local"
ACCUMULATOR, ACTIVATION, WEIGHT = 0, 4, 6
"""The first tile register of each operand."""


@dataclass(frozen=True)
class TileIntrinsics:
    """Names of the intrinsics for one block of ``rows`` x ``columns`` tiles."""

    zero: str
    dot: str
    store: str


def call(instruction: str, *arguments: Any) -> Any:
    """An AMX instruction without a result."""
    return tirx.call_llvm_intrin("void", f"llvm.x86.{instruction}", *arguments)


def register(rows: int, columns: int) -> TileIntrinsics:
    """Registers the intrinsics for ``rows`` x ``columns`` accumulator tiles, each 1 or 2."""
    prefix = f"intbert.amx_{rows}x{columns}"
    names = TileIntrinsics(f"{prefix}.zero", f"{prefix}.dot", f"{prefix}.store")
    TensorIntrin.register(names.zero, *_zero(rows, columns), override=True)
    TensorIntrin.register(names.dot, *_dot(rows, columns), override=True)
    TensorIntrin.register(names.store, *_store(rows, columns), override=True)
    return names


def configure_tiles(body: Any) -> Any:
    """``body`` with all eight tiles configured as 16 rows of 64 bytes before it, and released after it.

    Intel's palette 1: byte 0 the palette, 16-bit row lengths from byte 16 on, numbers of rows from byte 48 on.
    """
    image = bytearray(64)
    image[0] = 1
    for tile in range(8):
        image[16 + 2 * tile] = TILE_BYTES
        image[48 + tile] = TILE
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
                T.evaluate(call("tilezero", T.cast(tile + ACCUMULATOR, "int8")))

    return description, implementation


def _dot(rows: int, columns: int) -> tuple[Any, Any]:
    m, n = rows * TILE, columns * TILE

    @T.prim_func(s_tir=True)
    def description(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (m, TILE_BYTES), "uint8", offset_factor=1, strides=["stride_a", 1])
        B = T.match_buffer(b, (columns, TILE, TILE, 4), "int8", offset_factor=1, strides=["stride_b", 64, 4, 1])
        C = T.match_buffer(c, (m, n), "int32", offset_factor=1, scope=SCOPE)
        with T.sblock("root"):
            T.reads(C[0:m, 0:n], A[0:m, 0:TILE_BYTES], B[0:columns, 0:TILE, 0:TILE, 0:4])
            T.writes(C[0:m, 0:n])
            for i, j, k in T.grid(m, n, TILE_BYTES):
                with T.sblock("update"):
                    vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                    C[vi, vj] = C[vi, vj] + T.cast(A[vi, vk], "int32") * T.cast(
                        B[vj // 16, vk // 4, vj % 16, vk % 4], "int32"
                    )

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        stride_a = T.int32()
        stride_b = T.int32()
        A = T.match_buffer(a, (m, TILE_BYTES), "uint8", offset_factor=1, strides=[stride_a, 1])
        B = T.match_buffer(b, (columns, TILE, TILE, 4), "int8", offset_factor=1, strides=[stride_b, 64, 4, 1])
        C = T.match_buffer(c, (m, n), "int32", offset_factor=1, scope=SCOPE)
        with T.sblock("root"):
            T.reads(C[0:m, 0:n], A[0:m, 0:TILE_BYTES], B[0:columns, 0:TILE, 0:TILE, 0:4])
            T.writes(C[0:m, 0:n])
            for j in T.unroll(columns):
                T.evaluate(
                    call(
                        "tileloadd64",
                        T.cast(j + WEIGHT, "int8"),
                        B.access_ptr("r", offset=j * stride_b),
                        T.int64(TILE_BYTES),
                    )
                )
            for i in T.unroll(rows):
                T.evaluate(
                    call(
                        "tileloadd64",
                        T.cast(i + ACTIVATION, "int8"),
                        A.access_ptr("r", offset=i * TILE * stride_a),
                        T.cast(stride_a, "int64"),
                    )
                )
                for j in T.unroll(columns):
                    T.evaluate(
                        call(
                            "tdpbusd",
                            T.cast(i * columns + j + ACCUMULATOR, "int8"),
                            T.cast(i + ACTIVATION, "int8"),
                            T.cast(j + WEIGHT, "int8"),
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
                            T.cast(i * columns + j + ACCUMULATOR, "int8"),
                            D.access_ptr("w", offset=i * TILE * stride_d + j * TILE),
                            T.cast(stride_d * 4, "int64"),
                        )
                    )

    return description, implementation
