"""Linear layers of int8 weights: a block's tile staged in shared memory, multiplied by its warps."""

from .dot_products import DP4A
from .fragments import MMA_K16, MMA_K32
from .strategy import WarpTileLinear
from .wmma import WMMA

__all__ = ["DP4A", "MMA_K16", "MMA_K32", "WMMA", "WarpTileLinear"]
