"""Attention by ``mma.sync``, whose fragments ``ldmatrix`` brings from shared memory.

The depth of a product may be in any order that both operands share. Values lie in memory key by key, but the operand on
the right wants four keys of a channel in a register: ``ldmatrix.trans`` gives two keys of two channels, and two of
those are permuted into four keys of one channel each. The four are then those whose probabilities a lane has as well,
so that probabilities go from sums to operands without leaving their lane.

Keys, and then values, lie in shared memory as in global memory, but the 16-byte pieces of a row are exchanged by its
number, so that the eight rows that ``ldmatrix`` reads at once lie in different banks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import Template

from ..copies import ASYNC_COPY, COPY_THROUGH_REGISTERS, Copy
from ..inline_ptx import ldmatrix, mma
from .combination import combine_sums, combined_bytes
from .products import Products
from .tile import AttentionTile

BANKS_BYTES = 128
PIECE = 16


def exchange(head_dim: int) -> tuple[int, int]:
    """(rows, pieces): piece ``p`` of a row is where ``p ^ (row / rows % pieces)`` would be. So many rows begin in
    different banks, so many pieces begin between one and the next."""
    apart = min(head_dim & -head_dim, BANKS_BYTES)
    return BANKS_BYTES // apart, apart // PIECE


@dataclass(frozen=True)
class FragmentProducts(Products):
    """``copy``: how 16 bytes are brought to shared memory; ``products``: see :func:`_deep_products`."""

    name: str
    copy: Copy
    products: Callable[[str, Sequence[str], str, str], str]

    def staged_bytes(self, tile: AttentionTile, head_dim: int) -> int:
        return max(tile.key_warps * tile.keys * head_dim, combined_bytes(tile, head_dim))

    def scores_source(self, tile: AttentionTile, head_dim: int) -> str:
        sums = ("d[0]", "d[1]", "d[2]", "d[3]")
        return self._substitute(
            _SCORES,
            tile,
            head_dim,
            load_keys=ldmatrix([f"key[{i}]" for i in range(4)], "address"),
            score_products=self.products("s8.s8", sums, "query[depth]", "w"),
        )

    def context_source(self, tile: AttentionTile, head_dim: int) -> str:
        even, odd = ("d[0]", "d[2]", "d[4]", "d[6]"), ("d[1]", "d[3]", "d[5]", "d[7]")
        staged = self.function_name("staged", tile, head_dim)
        return self._substitute(
            _CONTEXT,
            tile,
            head_dim,
            load_values=ldmatrix([f"value[{i}]" for i in range(4)], "address", ".trans"),
            context_products=self.products("u8.s8", even, "p", "even") + self.products("u8.s8", odd, "p", "odd"),
            combine=combine_sums(tile, head_dim, f"{staged}()"),
        )

    def _substitute(self, template: Template, tile: AttentionTile, head_dim: int, **others: str) -> str:
        rows, pieces = exchange(head_dim)
        names = ("staged", "copied", "scores", "values", "context")
        return template.substitute(
            {name: self.function_name(name, tile, head_dim) for name in names},
            head_dim=head_dim,
            row_warps=tile.row_warps,
            key_warps=tile.key_warps,
            keys=tile.keys,
            bytes=self.staged_bytes(tile, head_dim),
            pieces=head_dim // PIECE,
            swizzle=f"row / {rows} % {pieces}",
            copy=self.copy.piece,
            commit=self.copy.commit,
            wait=self.copy.wait.replace("PENDING", "0"),
            **others,
        )


def _deep_products(types: str, sums: Sequence[str], left: str, right: str) -> str:
    """Statements that add the products of the registers ``left[4]`` and ``right[2]`` to ``sums``, two of each row."""
    return mma("m16n8k32", types, sums, [f"{left}[{i}]" for i in range(4)], [f"{right}[0]", f"{right}[1]"])


def _shallow_products(types: str, sums: Sequence[str], left: str, right: str) -> str:
    """The same, by instructions for 8 rows and half of the depth."""
    return "".join(
        mma("m8n8k16", types, sums[2 * half : 2 * half + 2], [f"{left}[{2 * step + half}]"], [f"{right}[{step}]"])
        for step in range(2)
        for half in range(2)
    )


_SCORES = Template(r"""
__device__ __forceinline__ signed char* ${staged}() {
  __shared__ __align__(128) signed char staged[${bytes}];
  return staged;
}
__device__ __forceinline__ void ${copied}(const signed char* rows, int stride, int length) {
  constexpr int kThreads = ${row_warps} * ${key_warps} * 32, kPieces = ${key_warps} * ${keys} * ${pieces};
  signed char* staged = ${staged}();
#pragma unroll
  for (int first = 0; first < kPieces; first += kThreads) {
    const int piece = first + (int)threadIdx.y * 32 + (int)threadIdx.x;
    if (kPieces % kThreads == 0 || piece < kPieces) {
      const int row = piece / ${pieces}, column = piece % ${pieces};
      const bool inside = row < length;
      const signed char* source = rows + (inside ? row * stride + column * 16 : 0);
      signed char* target = staged + row * ${head_dim} + (column ^ (${swizzle})) * 16;
      ${copy}
    }
  }
  ${commit}
}
__device__ __forceinline__ void ${scores}(int* scores, const signed char* rows, int stride, int hidden,
                                          int first_row, int length) {
  ${copied}(rows + hidden, stride, length);
  const int lane = (int)threadIdx.x, warp = (int)threadIdx.y;
  unsigned query[${head_dim} / 32][4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = first_row + warp / ${key_warps} * 16 + lane / 4 + i % 2 * 8;
#pragma unroll
    for (int depth = 0; depth < ${head_dim} / 32; ++depth) {
      const signed char* source = rows + row * stride + depth * 32 + i / 2 * 16 + lane % 4 * 4;
      query[depth][i] = row < length ? *(const unsigned*)source : 0;
    }
  }
#pragma unroll
  for (int i = 0; i < ${keys} / 2; ++i) scores[i] = 0;
  ${wait}
  __syncthreads();
#pragma unroll
  for (int step = 0; step < ${keys} / 8; step += 2) {
    const int row = warp % ${key_warps} * ${keys} + step * 8 + lane / 16 * 8 + lane % 8;
#pragma unroll
    for (int depth = 0; depth < ${head_dim} / 32; ++depth) {
      const int column = depth * 2 + lane / 8 % 2;
      const signed char* address = ${staged}() + row * ${head_dim} + (column ^ (${swizzle})) * 16;
      unsigned key[4];
      ${load_keys}
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        int* d = scores + (step + i) * 4;
        const unsigned* w = key + i * 2;
        ${score_products}
      }
    }
  }
}
""")
_CONTEXT = Template(r"""
__device__ __forceinline__ void ${values}(const signed char* rows, int stride, int hidden, int length) {
  // All warps have read the keys, which values replace; those that share a row have met at its maximum since.
  if (${key_warps} == 1) __syncthreads();
  ${copied}(rows + hidden * 2, stride, length);
}
__device__ __forceinline__ void ${context}(int* finished, const unsigned* probabilities) {
  constexpr int kSums = ${head_dim} / 2, kFinished = kSums / ${key_warps};
  const int lane = (int)threadIdx.x, warp = (int)threadIdx.y;
  int sums[kSums];
#pragma unroll
  for (int i = 0; i < kSums; ++i) sums[i] = 0;
  ${wait}
  __syncthreads();
#pragma unroll
  for (int step = 0; step < ${keys} / 32; ++step) {
    const int row = warp % ${key_warps} * ${keys} + step * 32 + lane;
    const unsigned* p = probabilities + step * 4;
#pragma unroll
    for (int column = 0; column < ${pieces}; ++column) {
      const signed char* address = ${staged}() + row * ${head_dim} + (column ^ (${swizzle})) * 16;
      unsigned value[4];
      ${load_values}
      const unsigned even[2] = {__byte_perm(value[0], value[1], 0x6420), __byte_perm(value[2], value[3], 0x6420)};
      const unsigned odd[2] = {__byte_perm(value[0], value[1], 0x7531), __byte_perm(value[2], value[3], 0x7531)};
      int* d = sums + column * 8;
      ${context_products}
    }
  }
${combine}}
""")

MMA_K32 = FragmentProducts("mma_k32", ASYNC_COPY, _deep_products)
"""mma.sync.m16n8k32 and cp.async: sm_80 and later."""
MMA_K16 = FragmentProducts("mma_k16", COPY_THROUGH_REGISTERS, _shallow_products)
"""mma.sync.m8n8k16: sm_75."""
