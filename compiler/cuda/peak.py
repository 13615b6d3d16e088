"""A GPU's peak: a kernel of the chip's best int8 multiply-add, operands and sums in registers, and one that copies.

The products are one wave of blocks, the copy is many. Both are compiled for the chip that an artifact was compiled for,
as its kernels are, and timed on the board: peaks are measured, not looked up.

Every warp multiplies the same left tile [rows, depth] with the same right one [columns, depth], again and again, and
writes its sums [rows, columns]: what they must be is known, so a GPU that computes something else is found out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import tirx
from tvm.script import tirx as T

from ...schedules.cuda.inline_ptx import mma, wmma, wmma_load, wmma_store
from ...targets.cuda import WARP, Cuda
from ..peak import PeakKernel

THREADS = 256
"""Of a block."""
BLOCKS = 4
"""Of a multiprocessor: 32 warps, which every chip has room for, eight for each of its schedulers."""
REGISTERS = 32
"""Of a lane for its sums: four independent ones at least, to hide the latency of the products."""
UNROLLED = 64
"""Products between two branches."""
ROUNDS = 64
"""A warp multiplies ROUNDS * UNROLLED times: some tenths of a millisecond, many times what a launch takes."""

COPIED_TOGETHER = 4
"""Vectors of 16 bytes that a thread reads before it writes them."""
BLOCK_BYTES = 16 * COPIED_TOGETHER * THREADS
LEAST_COPIED = 32 << 20
CACHES = 8
"""Times the second-level cache that is copied: then hardly anything of it is still there for the next copy."""


@dataclass(frozen=True)
class Multiplication:
    """The multiply-add of chips that have ``feature``, of a warp: [rows, depth] by [columns, depth].

    CUDA C++: ``load`` declares a lane's operands, from the tiles ``left`` and ``right``; ``multiply`` adds the product
    to its sums, the ``registers`` integers ``d``, by volatile PTX: a compiler would see that all are the same;
    ``store`` writes the sums to the tile ``output``.
    """

    name: str
    feature: str
    rows: int
    columns: int
    depth: int
    registers: int
    load: str
    multiply: str
    store: str

    @property
    def macs(self) -> int:
        """Multiply-adds of a warp at once."""
        return self.rows * self.columns * self.depth


_MMA_K32 = Multiplication(
    name="mma.sync.m16n8k32",
    feature="mma_k32",
    rows=16,
    columns=8,
    depth=32,
    registers=4,
    load=r"""
  const unsigned* row = (const unsigned*)(left + lane / 4 * 32) + lane % 4;
  const unsigned* column = (const unsigned*)(right + lane / 4 * 32) + lane % 4;
  const unsigned a[4] = {row[0], row[8 * 8], row[4], row[8 * 8 + 4]}, b[2] = {column[0], column[4]};
""",
    multiply=mma(
        "m16n8k32", "s8.s8", ("d[0]", "d[1]", "d[2]", "d[3]"), ("a[0]", "a[1]", "a[2]", "a[3]"), ("b[0]", "b[1]")
    ),
    store=r"""
  int* to = output + lane / 4 * 8 + lane % 4 * 2;
  to[0] = d[0], to[1] = d[1], to[8 * 8] = d[2], to[8 * 8 + 1] = d[3];
""",
)
_MMA_K16 = Multiplication(
    name="mma.sync.m8n8k16",
    feature="ldmatrix",
    rows=8,
    columns=8,
    depth=16,
    registers=2,
    load=r"""
  const unsigned a = ((const unsigned*)left)[lane], b = ((const unsigned*)right)[lane];
""",
    multiply=mma("m8n8k16", "s8.s8", ("d[0]", "d[1]"), ("a",), ("b",)),
    store=r"""
  output[lane * 2] = d[0], output[lane * 2 + 1] = d[1];
""",
)
_EIGHT = tuple(f"d[{index}]" for index in range(8))
_WMMA = Multiplication(
    name="wmma.m16n16k16",
    feature="imma",
    rows=16,
    columns=16,
    depth=16,
    registers=8,
    load=rf"""
  __shared__ alignas(32) signed char staged[2][256];
  __shared__ alignas(32) int exchanged[{THREADS // WARP}][256];
  staged[0][thread] = left[thread], staged[1][thread] = right[thread];
  __syncthreads();
  unsigned a[2], b[2];
  {wmma_load("a", "row", "s8", ("a[0]", "a[1]"), "staged[0]", "16")}
  {wmma_load("b", "col", "s8", ("b[0]", "b[1]"), "staged[1]", "16")}
""",
    multiply=wmma("s8", _EIGHT, ("a[0]", "a[1]"), ("b[0]", "b[1]")),
    store=rf"""
  {wmma_store(_EIGHT, "exchanged[thread / 32]", "16")}
  __syncwarp();
  for (int i = lane; i < 256; i += 32) output[i] = exchanged[thread / 32][i];
""",
)
_DP4A = Multiplication(
    name="dp4a",
    feature="dp4a",
    rows=32,
    columns=1,
    depth=4,
    registers=1,
    load="const int a = ((const int*)left)[lane], b = *(const int*)right;\n",
    multiply='asm volatile("dp4a.s32.s32 %0, %1, %2, %0;" : "+r"(d[0]) : "r"(a), "r"(b));\n',
    store="output[lane] = d[0];\n",
)
_MAD = Multiplication(
    name="mad.wide.s16",
    feature="cuda",
    rows=32,
    columns=1,
    depth=1,
    registers=1,
    load="const short a = left[lane], b = right[0];\n",
    multiply='asm volatile("mad.wide.s16 %0, %1, %2, %0;" : "+r"(d[0]) : "h"(a), "h"(b));\n',
    store="output[lane] = d[0];\n",
)
MULTIPLICATIONS: tuple[Multiplication, ...] = (_MMA_K32, _MMA_K16, _WMMA, _DP4A, _MAD)
"""The best first (PTX ISA, "Matrix Fragments" of mma and wmma, "dp4a", "mad")."""

_MULTIPLYING = Template(r"""
__device__ __forceinline__ void intbert_peak(int* output, const signed char* left, const signed char* right, int block,
                                             int thread) {
  const int lane = thread % 32;
  output += (block * (${threads} / 32) + thread / 32) * ${outputs};
  ${load}
  int sums[${sums}][${registers}] = {};
#pragma unroll 1
  for (int round = 0; round < ${rounds}; ++round) {
#pragma unroll
    for (int i = 0; i < ${unrolled}; ++i) {
      int* d = sums[i % ${sums}];
      ${multiply}
    }
  }
  int* d = sums[0];
#pragma unroll
  for (int i = 1; i < ${sums}; ++i) {
#pragma unroll
    for (int j = 0; j < ${registers}; ++j) d[j] += sums[i][j];
  }
  ${store}
}
""")
_COPYING = Template(r"""
__device__ __forceinline__ void intbert_copy(int* output, const int* input, int block, int thread) {
  const int4* from = (const int4*)input + (long long)block * ${vectors} + thread;
  int4* to = (int4*)output + (long long)block * ${vectors} + thread;
  int4 copied[${together}];
#pragma unroll
  for (int i = 0; i < ${together}; ++i) copied[i] = from[i * ${threads}];
#pragma unroll
  for (int i = 0; i < ${together}; ++i) to[i * ${threads}] = copied[i];
}
""")


def multiplications(gpu: Cuda) -> Sequence[Multiplication]:
    """Those among which the chip's best one is: that of its tensor cores, or all that it has without any."""
    found = [each for each in MULTIPLICATIONS if each.feature in gpu.features]
    return found[:1] if "imma" in gpu.features else found


def multiplying(multiplication: Multiplication, multiprocessors: int) -> PeakKernel:
    """The kernel that multiplies on all multiprocessors; its work is multiply-adds."""
    times, blocks = ROUNDS * UNROLLED, multiprocessors * BLOCKS
    warps = blocks * THREADS // WARP
    rng = np.random.default_rng(0)
    # No sum overflows: products are at most 64.
    left = rng.integers(-8, 8, (multiplication.rows, multiplication.depth)).astype(np.int8)
    right = rng.integers(-8, 8, (multiplication.columns, multiplication.depth)).astype(np.int8)
    sums = times * (left.astype(np.int32) @ right.T.astype(np.int32))
    source = _MULTIPLYING.substitute(
        threads=THREADS,
        outputs=multiplication.rows * multiplication.columns,
        sums=REGISTERS // multiplication.registers,
        registers=multiplication.registers,
        rounds=ROUNDS,
        unrolled=UNROLLED,
        load=multiplication.load,
        multiply=multiplication.multiply,
        store=multiplication.store,
    )
    expected = np.broadcast_to(sums, (warps, *sums.shape))
    return PeakKernel(
        name=multiplication.name,
        function=_kernel("intbert_peak", source, [left, right], expected, blocks),
        arguments=(left, right, np.zeros_like(expected)),
        work=warps * times * multiplication.macs,
        expected=expected,
    )


def copying(cache_bytes: int) -> PeakKernel:
    """The kernel that copies memory, more than a second-level cache of ``cache_bytes`` holds; its work is the bytes
    that are read and written."""
    blocks = -(-max(LEAST_COPIED, CACHES * cache_bytes) // BLOCK_BYTES)
    numbers = np.resize(np.arange(1021, dtype=np.int32), blocks * BLOCK_BYTES // 4)
    source = _COPYING.substitute(vectors=COPIED_TOGETHER * THREADS, together=COPIED_TOGETHER, threads=THREADS)
    return PeakKernel(
        name="copy",
        function=_kernel("intbert_copy", source, [numbers], numbers, blocks),
        arguments=(numbers, np.zeros_like(numbers)),
        work=2 * numbers.nbytes,
        expected=numbers,
    )


def _kernel(name: str, source: str, inputs: Sequence[NDArray[Any]], output: NDArray[Any], blocks: int) -> Any:
    """The PrimFunc whose threads call the device function ``name``; its arguments are the inputs, then the output."""
    *read, written = (
        tirx.decl_buffer(array.shape, str(array.dtype), name=f"argument_{index}")
        for index, array in enumerate([*inputs, output])
    )

    @T.prim_func(s_tir=True, private=True, check_well_formed=False)
    def kernel() -> None:
        for block in T.thread_binding(blocks, thread="blockIdx.x"):
            for thread in T.thread_binding(THREADS, thread="threadIdx.x"):
                T.evaluate(
                    tirx.call_intrin(
                        "",
                        "tirx.cuda.func_call",
                        name,
                        written.access_ptr("w"),
                        *[buffer.access_ptr("r") for buffer in read],
                        block,
                        thread,
                        source,
                    )
                )

    return tirx.PrimFunc([*read, written], kernel.body).with_attr({"tirx.noalias": True, "s_tir": True})
