"""Slices of the depth: warps that have the same outputs, each of which multiplies a part of every stage.

Its sums are of all columns of the tile. At the end a slice gets those of some of the columns from all others, in shared
memory, and finishes them; integers may be added in any order. So a warp may have many outputs, for which a load from
shared memory is good, where a block has few.
"""

from __future__ import annotations

KEEP = r"""
#pragma unroll
  for (int i = 0; i < kSums; ++i) finished[i] = sums[i];
"""
"""Of one slice: it has all."""
EXCHANGE = r"""
  constexpr int kFinishedSteps = kColumnSteps / kSlices, kHalves = kRowSteps * 2;
  // What slice `from` has summed for `to`: there is nothing from a slice for itself.
  int2* const parts = (int2*)staged + warp * (kHalves * kFinishedSteps * 32) + lane;
  const auto passed = [&](int from, int to) {
    return parts + (to * (kSlices - 1) + (from < to ? from : from - 1)) * (kWarps * kHalves * kFinishedSteps * 32);
  };
  __syncthreads();
#pragma unroll
  for (int to = 0; to < kSlices; ++to) {
    if (to != slice) {
#pragma unroll
      for (int i = 0; i < kHalves * kFinishedSteps; ++i) {
        const int* d = sums + (i / kFinishedSteps * kColumnSteps + to * kFinishedSteps + i % kFinishedSteps) * 2;
        passed(slice, to)[i * 32] = make_int2(d[0], d[1]);
      }
    }
  }
  __syncthreads();
#pragma unroll
  for (int to = 0; to < kSlices; ++to) {
    if (to == slice) {
#pragma unroll
      for (int i = 0; i < kHalves * kFinishedSteps; ++i) {
        const int* d = sums + (i / kFinishedSteps * kColumnSteps + to * kFinishedSteps + i % kFinishedSteps) * 2;
        int2 total = make_int2(d[0], d[1]);
#pragma unroll
        for (int from = 0; from < kSlices; ++from) {
          if (from != to) {
            const int2 part = passed(from, to)[i * 32];
            total = make_int2(total.x + part.x, total.y + part.y);
          }
        }
        finished[i * 2] = total.x;
        finished[i * 2 + 1] = total.y;
      }
    }
  }
"""
"""A lane has two sums of every half of a row step and column step. ``finished``: those of this slice's columns, in the
same order as ``sums``."""
