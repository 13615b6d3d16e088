"""Sums of the same contexts that several warps hold, each of its own keys, added up."""

from __future__ import annotations

from string import Template

from .tile import AttentionTile


def combined_bytes(tile: AttentionTile, head_dim: int) -> int:
    """Of shared memory, where warps exchange all of their sums."""
    return 0 if tile.key_warps == 1 else tile.warps * tile.sums(head_dim) * 128


def combine_sums(tile: AttentionTile, head_dim: int, staged: str) -> str:
    """Statements that leave in ``finished`` a warp's share of the ``sums`` of those that share its rows, exchanged at
    ``staged``."""
    return _COMBINE.substitute(key_warps=tile.key_warps, sums=tile.sums(head_dim), staged=staged)


_COMBINE = Template(r"""  if (${key_warps} > 1) {
    __syncthreads();
    int* exchanged = (int*)${staged} + (warp / ${key_warps} * ${key_warps} * kSums * 32 + lane);
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
""")
