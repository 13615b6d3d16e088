"""CUDA device functions of fused attention: what crosses the lanes of a warp, or the warps of a block."""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

from .products import Products
from .tile import AttentionTile


@dataclass(frozen=True)
class DeviceFunctions:
    """The functions for heads of ``head_dim`` channels; all threads of a block call each of them, in their order."""

    products: Products
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
        return self.products.function_name(function, self.tile, self.head_dim)

    def source(self) -> str:
        """CUDA source of all."""
        return _SOURCE.substitute(
            kept=self.name("kept"),
            key_warps=self.tile.key_warps,
            keys=self.tile.keys,
            scores=self.products.scores_source(self.tile, self.head_dim),
            context=self.products.context_source(self.tile, self.head_dim),
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

_SOURCE = Template(r"""${scores}__device__ __forceinline__ void ${kept}(int* kept, const int* mask, int length) {
  const int lane = (int)threadIdx.x, first = (int)threadIdx.y % ${key_warps} * ${keys} + lane;
#pragma unroll
  for (int word = 0; word < ${keys} / 32; ++word) {
    const int key = first + word * 32;
    kept[word] = (int)(__ballot_sync(0xffffffffu, key < length && mask[key < length ? key : 0] != 0) >> (lane % 4 * 2));
  }
}
${reduce_largest}
${reduce_total}${context}""")
