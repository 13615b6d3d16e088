"""Products without tensor cores: four of int8 an instruction."""

from __future__ import annotations

from ..copies import COPY_THROUGH_REGISTERS
from .multiplication import Multiplication

_DOT_PRODUCTS = r"""
#pragma unroll 1
      for (int turn = 0; turn < kLinePieces / kSlices; ++turn) {
        const int piece = turn * kSlices + slice;
        int4 a[kRowSteps * 2];
#pragma unroll
        for (int i = 0; i < kRowSteps * 2; ++i) {
          a[i] = *(const int4*)(left + place_of(warp_row + lane / 4, piece) + i * (8 * kLine));
        }
#pragma unroll
        for (int j = 0; j < kColumnSteps * 2; ++j) {
          const int column = warp_column + lane % 4 * 2 + j % 2;
          const int4 b = *(const int4*)(right + place_of(column, piece) + j / 2 * (8 * kLine));
#pragma unroll
          for (int i = 0; i < kRowSteps * 2; ++i) {
            int* d = sums + i * kColumnSteps * 2 + j;
            *d = __dp4a(a[i].x, b.x, *d);
            *d = __dp4a(a[i].y, b.y, *d);
            *d = __dp4a(a[i].z, b.z, *d);
            *d = __dp4a(a[i].w, b.w, *d);
          }
        }
      }
"""
DP4A = Multiplication("dp4a", COPY_THROUGH_REGISTERS, _DOT_PRODUCTS, most_sums=64)
"""sm_61 and later."""
