"""CUDA device functions of fused attention: what crosses the lanes of a warp, or the warps of a block.

The depth of a product may be in any order that both operands share. Values lie in memory key by key, but the operand on
the right wants four keys of a channel in a register: ``ldmatrix.trans`` gives two keys of two channels, and two of
those are permuted into four keys of one channel each. The four are then those whose probabilities a lane has as well,
so that probabilities go from sums to operands without leaving their lane.

Keys, and then values, lie in shared memory as in global memory, but the 16-byte pieces of a row are exchanged by its
number, so that the eight rows that ``ldmatrix`` reads at once lie in different banks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from ..inline_ptx import ldmatrix, mma
from ..linear.warp_tile import MMA_K16, MMA_K32, Multiplication
from .tile import AttentionTile

BANKS_BYTES = 128
PIECE = 16


@dataclass(frozen=True)
class DeviceFunctions:
    """The functions for heads of ``head_dim`` channels; all threads of a block call each of them, in their order."""

    multiplication: Multiplication
    tile: AttentionTile
    head_dim: int

    def name(self, function: str) -> str:
        """Of one of these; ``rows`` are the queries of a head in the sentence's first token, ``stride`` the bytes from
        one token to the next, ``hidden`` those from queries to keys and from keys to values.

        - ``scores(int* scores, const signed char* rows, int stride, int hidden, int first_row, int length)``: of the
          block's queries, which begin with ``first_row``;
        - ``kept(int* kept, const int* mask, int length)``: bit ``8 i + j`` of a word is the mask's of the lane's key
          ``j`` in the ``i``-th of the word's four steps, 0 beyond ``length``;
        - ``largest(int* largest)``: the maximum over all lanes that have keys of the same row, for both rows;
        - ``values(const signed char* rows, int stride, int hidden, int length)``: begins to copy them;
        - ``total(int* total)``: as ``largest``, the sum;
        - ``context(int* sums, const unsigned* probabilities)``: ``probabilities`` has two registers, of the lane's two
          rows, for each 16 keys; ``sums`` are by 16 channels, then by row, then by the lane's four channels.
        """
        return f"intbert_attention_{function}_{self.multiplication.name}_{self.tile}_{self.head_dim}"

    @property
    def exchange(self) -> tuple[int, int]:
        """(rows, pieces): piece ``p`` of a row is where ``p ^ (row / rows % pieces)`` would be. So many rows begin in
        different banks, so many pieces begin between one and the next."""
        apart = min(self.head_dim & -self.head_dim, BANKS_BYTES)
        return BANKS_BYTES // apart, apart // PIECE

    def source(self) -> str:
        """CUDA source of all."""
        rows, pieces = self.exchange
        return _SOURCE.substitute(
            {name: self.name(name) for name in _NAMES},
            head_dim=self.head_dim,
            row_warps=self.tile.row_warps,
            key_warps=self.tile.key_warps,
            keys=self.tile.keys,
            bytes=self.tile.staged_bytes(self.head_dim),
            pieces=self.head_dim // PIECE,
            swizzle=f"row / {rows} % {pieces}",
            copy=self.multiplication.copy,
            commit=self.multiplication.commit,
            wait=self.multiplication.wait.replace("PENDING", "0"),
            load_keys=ldmatrix([f"key[{i}]" for i in range(4)], "address"),
            load_values=ldmatrix([f"value[{i}]" for i in range(4)], "address", ".trans"),
            score_products=_products(
                self.multiplication, "s8.s8", ("d[0]", "d[1]", "d[2]", "d[3]"), "query[depth]", "w"
            ),
            context_products=_products(self.multiplication, "u8.s8", ("d[0]", "d[2]", "d[4]", "d[6]"), "p", "even")
            + _products(self.multiplication, "u8.s8", ("d[1]", "d[3]", "d[5]", "d[7]"), "p", "odd"),
            reduce_largest=self._reduction("largest", "max(VALUE, OTHER)"),
            reduce_total=self._reduction("total", "VALUE + OTHER"),
        )

    def _reduction(self, name: str, combined: str) -> str:
        def of(other: str) -> str:
            return combined.replace("VALUE", "value").replace("OTHER", other)

        return _REDUCTION.substitute(
            name=self.name(name),
            row_warps=self.tile.row_warps,
            key_warps=self.tile.key_warps,
            next_lane=of("__shfl_xor_sync(0xffffffffu, value, 1)"),
            next_pair=of("__shfl_xor_sync(0xffffffffu, value, 2)"),
            next_warp=of("exchanged[warp][row]"),
        )


_NAMES = ("staged", "copied", "scores", "kept", "largest", "values", "total", "context")


def _products(multiplication: Multiplication, types: str, sums: Sequence[str], left: str, right: str) -> str:
    """Statements that add the products of the registers ``left[4]`` and ``right[2]`` to ``sums``, two of each row."""
    if multiplication is MMA_K32:
        return mma("m16n8k32", types, sums, [f"{left}[{i}]" for i in range(4)], [f"{right}[0]", f"{right}[1]"])
    assert multiplication is MMA_K16
    return "".join(
        mma("m8n8k16", types, sums[2 * half : 2 * half + 2], [f"{left}[{2 * step + half}]"], [f"{right}[{step}]"])
        for step in range(2)
        for half in range(2)
    )


_REDUCTION = Template(r"""
__device__ __forceinline__ void ${name}(int* rows) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    int value = rows[half];
    value = ${next_lane};
    rows[half] = ${next_pair};
  }
  if (${key_warps} > 1) {
    __shared__ int exchanged[${key_warps}][${row_warps} * 16];
    const int lane = (int)threadIdx.x, first = (int)threadIdx.y / ${key_warps} * 16 + lane / 4;
    const int own = lane % 4 == 0 ? rows[0] : rows[1];
    if (lane % 4 < 2) exchanged[(int)threadIdx.y % ${key_warps}][first + lane % 4 * 8] = own;
    __syncthreads();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first + half * 8;
      int value = exchanged[0][row];
#pragma unroll
      for (int warp = 1; warp < ${key_warps}; ++warp) value = ${next_warp};
      rows[half] = value;
    }
  }
}
""")

_SOURCE = Template(r"""
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
__device__ __forceinline__ void ${kept}(int* kept, const int* mask, int length) {
  const int lane = (int)threadIdx.x, first = (int)threadIdx.y % ${key_warps} * ${keys} + lane;
#pragma unroll
  for (int word = 0; word < ${keys} / 32; ++word) {
    const int key = first + word * 32;
    kept[word] = (int)(__ballot_sync(0xffffffffu, key < length && mask[key < length ? key : 0] != 0) >> (lane % 4 * 2));
  }
}
${reduce_largest}
${reduce_total}
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
  if (${key_warps} > 1) {
    __syncthreads();
    int* exchanged = (int*)${staged}() + (warp / ${key_warps} * ${key_warps} * kSums * 32 + lane);
#pragma unroll
    for (int i = 0; i < kSums; ++i) exchanged[(warp % ${key_warps} * kSums + i) * 32] = sums[i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kFinished; ++i) {
      finished[i] = 0;
#pragma unroll
      for (int other = 0; other < ${key_warps}; ++other)
        finished[i] += exchanged[(other * kSums + warp % ${key_warps} * kFinished + i) * 32];
    }
  } else {
#pragma unroll
    for (int i = 0; i < kSums; ++i) finished[i] = sums[i];
  }
}
""")
