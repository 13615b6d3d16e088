"""Attention on the tensor cores of sm_72: wmma of 16 x 16 sums, which go through shared memory to the lanes of
:mod:`.tile`, for what a lane holds of them is left open (PTX ISA, "Matrix Fragments for WMMA").

Both operands of wmma have the same sign, but probabilities reach 255, and values are signed. Values are therefore
multiplied as ``value + 128``, which is their bits with the highest one flipped, and 128 times the sum of a row's
probabilities is subtracted. Of all keys that a block may have, both are far from an int32's limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

from ..inline_ptx import dp4a_unsigned_by_signed, wmma, wmma_load, wmma_store
from .pieces import SIGNS, PieceProducts, Staging
from .tile import MOST_KEYS_OF_BLOCK, ROWS, AttentionTile

assert MOST_KEYS_OF_BLOCK * 255 * (255 + 128) < 2**31, "the sums of a row fit an int32"

_SCORE_LINE = 24
"""Words from one row of 16 sums to the next: those that are written, and read, at once lie in different banks."""
_APART = 8
"""Words between the rows of a head's sums, for the same."""
_SUMS = tuple(f"d[{index}]" for index in range(8))


@dataclass(frozen=True)
class WmmaProducts(PieceProducts):
    """Scores are exchanged 16 keys at a time, the context all at once, among the warps that share its rows."""

    name = "wmma"
    flipped_bits = SIGNS

    def staged_bytes(self, tile: AttentionTile, head_dim: int) -> int:
        staging = Staging(tile, head_dim)
        scores = staging.scores_bytes + tile.warps * ROWS * _SCORE_LINE * 4
        return max(scores, staging.context_bytes, tile.warps * ROWS * (head_dim + _APART) * 4)

    def scores_body(self, staging: Staging) -> str:
        tile = staging.tile
        return _SCORES.substitute(
            staged=self.function_name("staged", tile, staging.head_dim),
            offset=staging.scores_bytes,
            line=_SCORE_LINE,
            warp_keys=tile.keys,
            pieces=staging.pieces,
            key_lines=staging.key_lines,
            query_lines=staging.query_lines,
            load_query=wmma_load("a", "row", "s8", ("query[piece][0]", "query[piece][1]"), "address", "16"),
            load_key=wmma_load("b", "col", "s8", ("key[0]", "key[1]"), "address", "16"),
            multiply=wmma("s8", _SUMS, ("query[piece][0]", "query[piece][1]"), ("key[0]", "key[1]")),
            store=wmma_store(_SUMS, "exchanged", str(_SCORE_LINE)),
        )

    def context_body(self, staging: Staging) -> str:
        tile, head_dim = staging.tile, staging.head_dim
        return _CONTEXT.substitute(
            staged=self.function_name("staged", tile, head_dim),
            total=self.function_name("total", tile, head_dim),
            line=head_dim + _APART,
            warp_keys=tile.keys,
            pieces=staging.pieces,
            rows=tile.rows,
            key_warps=tile.key_warps,
            value_lines=staging.value_lines,
            sums=tile.sums(head_dim),
            add_probabilities=dp4a_unsigned_by_signed("ones[i % 2]", "probabilities[i]", "0x01010101"),
            load_row=wmma_load("a", "row", "u8", ("row[0]", "row[1]"), "address", "16"),
            load_value=wmma_load("b", "col", "u8", ("value[0]", "value[1]"), "address", "16"),
            multiply=wmma("u8", _SUMS, ("row[0]", "row[1]"), ("value[0]", "value[1]")),
            store=wmma_store(_SUMS, "target", str(head_dim + _APART)),
        )


_SCORES = Template(r"""
  unsigned query[${pieces}][2];
#pragma unroll
  for (int piece = 0; piece < ${pieces}; ++piece) {
    const signed char* address = queries + piece * (${query_lines} * 16);
    ${load_query}
  }
  int* exchanged = (int*)(${staged}() + ${offset}) + warp * (16 * ${line});
#pragma unroll
  for (int step = 0; step < ${warp_keys} / 16; ++step) {
    int d[8] = {};
#pragma unroll
    for (int piece = 0; piece < ${pieces}; ++piece) {
      const signed char* address = keys + (piece * ${key_lines} + step * 16) * 16;
      unsigned key[2];
      ${load_key}
      ${multiply}
    }
    ${store}
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int2 pair = *(const int2*)(exchanged + (i % 2 * 8 + lane / 4) * ${line} + i / 2 * 8 + lane % 4 * 2);
      scores[step * 8 + i * 2] = pair.x;
      scores[step * 8 + i * 2 + 1] = pair.y;
    }
    __syncwarp();
  }
""")
_CONTEXT = Template(r"""
  constexpr int kFinished = ${sums} / ${key_warps};
  int ones[2] = {};
#pragma unroll
  for (int i = 0; i < ${warp_keys} / 8; ++i) {
    ${add_probabilities}
  }
  ${total}(ones);
  int sums[${pieces}][8] = {};
#pragma unroll
  for (int step = 0; step < ${warp_keys} / 16; ++step) {
    unsigned row[2];
    const signed char* address = rows + step * (${rows} * 16);
    ${load_row}
#pragma unroll
    for (int piece = 0; piece < ${pieces}; ++piece) {
      const signed char* address = values + (step * ${value_lines} + piece * 16) * 16;
      unsigned value[2];
      ${load_value}
      int* d = sums[piece];
      ${multiply}
    }
  }
  __syncthreads();
  int* exchanged = (int*)${staged}() + row_warp * (${key_warps} * 16 * ${line});
#pragma unroll
  for (int piece = 0; piece < ${pieces}; ++piece) {
    int* d = sums[piece];
    int* target = exchanged + warp % ${key_warps} * (16 * ${line}) + piece * 16;
    ${store}
  }
  if (${key_warps} > 1) __syncthreads();
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kFinished; ++i) {
    const int group = warp % ${key_warps} * (kFinished / 4) + i / 4, half = group % 2;
    const int* source = exchanged + (half * 8 + lane / 4) * ${line} + group / 2 * 16 + i % 4 * 4 + lane % 4;
    finished[i] = -128 * (half == 0 ? ones[0] : ones[1]);
#pragma unroll
    for (int other = 0; other < ${key_warps}; ++other) finished[i] += source[other * (16 * ${line})];
  }
""")

WMMA = WmmaProducts()
"""wmma.mma.m16n16k16: sm_72 and later."""
