"""Attention without tensor cores: four products an instruction."""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

from ..inline_ptx import dp4a_unsigned_by_signed
from .combination import combine_sums, combined_bytes
from .pieces import PieceProducts, Staging
from .tile import AttentionTile


@dataclass(frozen=True)
class DotProducts(PieceProducts):
    """A lane multiplies its two queries by its two keys of eight, and their probabilities by its four channels of
    16."""

    name = "dp4a"
    flipped_bits = 0

    def staged_bytes(self, tile: AttentionTile, head_dim: int) -> int:
        staging = Staging(tile, head_dim)
        return max(staging.scores_bytes, staging.context_bytes, combined_bytes(tile, head_dim))

    def scores_body(self, staging: Staging) -> str:
        return _SCORES.substitute(
            warp_keys=staging.tile.keys,
            pieces=staging.pieces,
            key_lines=staging.key_lines,
            query_lines=staging.query_lines,
        )

    def context_body(self, staging: Staging) -> str:
        tile, head_dim = staging.tile, staging.head_dim
        words = ("x", "y", "z", "w")
        return _CONTEXT.substitute(
            warp_keys=tile.keys,
            pieces=staging.pieces,
            rows=tile.rows,
            value_lines=staging.value_lines,
            sums=tile.sums(head_dim),
            key_warps=tile.key_warps,
            products="".join(dp4a_unsigned_by_signed("*d", f"row[half].{word}", f"value.{word}") for word in words),
            combine=combine_sums(tile, head_dim, f"{self.function_name('staged', tile, head_dim)}()"),
        )


# Scores of a piece of the depth, and context of a piece of the keys, are unrolled: registers have no index.
_SCORES = Template(r"""
#pragma unroll
  for (int i = 0; i < ${warp_keys} / 2; ++i) scores[i] = 0;
#pragma unroll 1
  for (int piece = 0; piece < ${pieces}; ++piece) {
    int4 query[2];
#pragma unroll
    for (int half = 0; half < 2; ++half)
      query[half] = *(const int4*)(queries + (piece * ${query_lines} + half * 8 + lane / 4) * 16);
#pragma unroll
    for (int i = 0; i < ${warp_keys} / 4; ++i) {
      const int4 key = *(const int4*)(keys + (piece * ${key_lines} + i / 2 * 8 + lane % 4 * 2 + i % 2) * 16);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        int* d = scores + i / 2 * 4 + half * 2 + i % 2;
        *d = __dp4a(query[half].x, key.x, *d);
        *d = __dp4a(query[half].y, key.y, *d);
        *d = __dp4a(query[half].z, key.z, *d);
        *d = __dp4a(query[half].w, key.w, *d);
      }
    }
  }
""")
_CONTEXT = Template(r"""
  constexpr int kSums = ${sums}, kFinished = kSums / ${key_warps};
  int sums[kSums];
#pragma unroll
  for (int i = 0; i < kSums; ++i) sums[i] = 0;
#pragma unroll 1
  for (int piece = 0; piece < ${warp_keys} / 16; ++piece) {
    uint4 row[2];
#pragma unroll
    for (int half = 0; half < 2; ++half)
      row[half] = *(const uint4*)(rows + (piece * ${rows} + half * 8 + lane / 4) * 16);
#pragma unroll
    for (int i = 0; i < ${pieces} * 4; ++i) {
      const int4 value = *(const int4*)(values + (piece * ${value_lines} + i * 4 + lane % 4) * 16);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        int* d = sums + i / 4 * 8 + half * 4 + i % 4;
        ${products}
      }
    }
  }
${combine}""")

DP4A = DotProducts()
"""sm_61 and later."""
