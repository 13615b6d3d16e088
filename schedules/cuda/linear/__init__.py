"""Linear layers of int8 weights: a block's tile staged in shared memory, multiplied by its warps."""

from .strategy import WarpTileLinear
from .warp_tile import DP4A, MMA_K16, MMA_K32
from .wmma import WMMA

__all__ = ["DP4A", "MMA_K16", "MMA_K32", "WMMA", "WarpTileLinear"]
