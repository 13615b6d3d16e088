"""Attention without ``ldmatrix``: operands in shared memory as plain loads, and those of wmma, want them.

A piece is 16 bytes of an operand's depth; piece ``p`` of all lines is together, and line ``l`` is the ``l``-th of them.
So lines of a piece lie in different banks, and wmma finds them equally far apart. Lines that nobody reads lie between
one piece and the next, so that what a warp writes at once lies in different banks too.

Queries and keys are copied as they are. Values lie in memory key by key, but products want the keys of a channel side
by side: they are transposed on the way, channel ``4 i + j`` of 16 to line ``4 j + i``, for a lane has four neighbouring
channels, and reads the ``j``-th of them when the others of its group do. Probabilities go through shared memory to the
lanes that multiply them. The order of 16 keys is free, as long as both operands share it: a lane of a group has the
keys ``2 i``, ``2 i + 1``, ``2 i + 8`` and ``2 i + 9``, and those are neighbours here.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from string import Template

from .products import Products
from .tile import ROWS, AttentionTile

PIECE = 16
BANK_PIECES = 8
"""Pieces side by side that lie in different banks."""
SIGNS = 0x80808080
"""The highest bits of four bytes."""


@dataclass(frozen=True)
class Staging:
    """Where a block's operands lie; ``head_dim`` is a multiple of 32."""

    tile: AttentionTile
    head_dim: int

    @property
    def keys(self) -> int:
        """Of the block."""
        return self.tile.key_warps * self.tile.keys

    @property
    def pieces(self) -> int:
        """Of the channels of a head."""
        return self.head_dim // PIECE

    @property
    def key_lines(self) -> int:
        """From one piece of keys to the next."""
        return self.keys + self._apart

    @property
    def query_lines(self) -> int:
        """From one piece of queries to the next."""
        return self.tile.rows + self._apart

    @property
    def _apart(self) -> int:
        """Neighbouring pieces of a line, and of the lines next to it, are written at once."""
        return max(1, BANK_PIECES // self.pieces)

    @property
    def value_lines(self) -> int:
        """From one piece of values to the next: a warp writes four bytes of a line in each of eight pieces."""
        return self.head_dim + 1

    @property
    def query_offset(self) -> int:
        """Bytes of the keys."""
        return self.pieces * self.key_lines * PIECE

    @property
    def scores_bytes(self) -> int:
        """Of keys and queries."""
        return self.query_offset + self.pieces * self.query_lines * PIECE

    @property
    def probability_offset(self) -> int:
        """Bytes of the values."""
        return self.keys // PIECE * self.value_lines * PIECE

    @property
    def context_bytes(self) -> int:
        """Of values and probabilities."""
        return self.probability_offset + self.tile.rows * self.keys


class PieceProducts(Products):
    """Products that read pieces."""

    flipped_bits: int
    """Of four bytes of values, on their way to shared memory."""

    @abstractmethod
    def scores_body(self, staging: Staging) -> str:
        """Statements that fill ``scores`` from pieces of keys and queries at ``keys`` and ``queries``, those of the
        warp's first ones."""

    @abstractmethod
    def context_body(self, staging: Staging) -> str:
        """Statements that fill ``finished`` from pieces of values and probabilities at ``values`` and ``rows``, of the
        warp's first keys and queries. ``ones``: partial sums of the probabilities of a lane's two rows."""

    def scores_source(self, tile: AttentionTile, head_dim: int) -> str:
        staging = Staging(tile, head_dim)
        return self._substitute(_SCORES, staging, body=self.scores_body(staging))

    def context_source(self, tile: AttentionTile, head_dim: int) -> str:
        staging = Staging(tile, head_dim)
        return self._substitute(_CONTEXT, staging, body=self.context_body(staging))

    def _substitute(self, template: Template, staging: Staging, **others: str) -> str:
        tile = staging.tile
        names = ("staged", "copied", "scores", "values", "context")
        return template.substitute(
            {name: self.function_name(name, tile, staging.head_dim) for name in names},
            threads=tile.warps * 32,
            key_warps=tile.key_warps,
            row_tile=ROWS,
            rows=tile.rows,
            warp_keys=tile.keys,
            keys=staging.keys,
            pieces=staging.pieces,
            bytes=self.staged_bytes(tile, staging.head_dim),
            key_lines=staging.key_lines,
            query_lines=staging.query_lines,
            value_lines=staging.value_lines,
            query_offset=staging.query_offset,
            probability_offset=staging.probability_offset,
            flipped=f"{self.flipped_bits:#010x}u",
            **others,
        )


_SCORES = Template(r"""
__device__ __forceinline__ signed char* ${staged}() {
  __shared__ __align__(128) signed char staged[${bytes}];
  return staged;
}
template <int kLines, int kLinesOfPiece>
__device__ __forceinline__ void ${copied}(signed char* target, const signed char* rows, int stride, int length) {
#pragma unroll
  for (int first = 0; first < kLines * ${pieces}; first += ${threads}) {
    const int copy = first + (int)threadIdx.y * 32 + (int)threadIdx.x;
    if (kLines * ${pieces} % ${threads} == 0 || copy < kLines * ${pieces}) {
      const int line = copy / ${pieces}, piece = copy % ${pieces};
      *(int4*)(target + (piece * kLinesOfPiece + line) * 16) =
          line < length ? *(const int4*)(rows + line * stride + piece * 16) : make_int4(0, 0, 0, 0);
    }
  }
}
__device__ __forceinline__ void ${scores}(int* scores, const signed char* rows, int stride, int hidden,
                                          int first_row, int length) {
  const int lane = (int)threadIdx.x, warp = (int)threadIdx.y;
  ${copied}<${keys}, ${key_lines}>(${staged}(), rows + hidden, stride, length);
  ${copied}<${rows}, ${query_lines}>(${staged}() + ${query_offset}, rows + first_row * stride, stride,
                                     length - first_row);
  __syncthreads();
  const signed char* keys = ${staged}() + warp % ${key_warps} * (${warp_keys} * 16);
  const signed char* queries = ${staged}() + ${query_offset} + warp / ${key_warps} * (${row_tile} * 16);
  ${body}
}
""")
_CONTEXT = Template(r"""
__device__ __forceinline__ void ${values}(const signed char* rows, int stride, int hidden, int length) {
  constexpr int kQuads = ${keys} / 4, kCopies = kQuads * ${pieces};
  // All warps have read the keys, which values replace; those that share a row have met at its maximum since.
  if (${key_warps} == 1) __syncthreads();
#pragma unroll
  for (int first = 0; first < kCopies; first += ${threads}) {
    const int copy = first + (int)threadIdx.y * 32 + (int)threadIdx.x;
    if (kCopies % ${threads} == 0 || copy < kCopies) {
      const int quad = copy % kQuads, column = copy / kQuads;
      unsigned key[4][4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = quad / 4 * 16 + quad % 4 * 2 + i / 2 * 8 + i % 2;
        const signed char* source = rows + hidden * 2 + row * stride + column * 16;
        const uint4 piece = row < length ? *(const uint4*)source : make_uint4(0, 0, 0, 0);
        key[i][0] = piece.x;
        key[i][1] = piece.y;
        key[i][2] = piece.z;
        key[i][3] = piece.w;
      }
      signed char* target = ${staged}() + (quad / 4 * ${value_lines} + column * 16) * 16 + quad % 4 * 4;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        unsigned low[2], high[2];
#pragma unroll
        for (int pair = 0; pair < 2; ++pair) {
          low[pair] = __byte_perm(key[pair * 2][i], key[pair * 2 + 1][i], 0x5140);
          high[pair] = __byte_perm(key[pair * 2][i], key[pair * 2 + 1][i], 0x7362);
        }
        *(unsigned*)(target + i * 16) = __byte_perm(low[0], low[1], 0x5410) ^ ${flipped};
        *(unsigned*)(target + (4 + i) * 16) = __byte_perm(low[0], low[1], 0x7632) ^ ${flipped};
        *(unsigned*)(target + (8 + i) * 16) = __byte_perm(high[0], high[1], 0x5410) ^ ${flipped};
        *(unsigned*)(target + (12 + i) * 16) = __byte_perm(high[0], high[1], 0x7632) ^ ${flipped};
      }
    }
  }
}
__device__ __forceinline__ void ${context}(int* finished, const unsigned* probabilities) {
  const int lane = (int)threadIdx.x, warp = (int)threadIdx.y, row_warp = warp / ${key_warps};
  signed char* rows = ${staged}() + ${probability_offset} +
                      (warp % ${key_warps} * (${warp_keys} / 16) * ${rows} + row_warp * ${row_tile}) * 16;
#pragma unroll
  for (int i = 0; i < ${warp_keys} / 8; ++i)
    *(unsigned*)(rows + (i / 2 * ${rows} + i % 2 * 8) * 16 + lane * 4) = probabilities[i];
  __syncthreads();
  const signed char* values = ${staged}() + warp % ${key_warps} * (${warp_keys} / 16 * ${value_lines} * 16);
  ${body}
}
""")
