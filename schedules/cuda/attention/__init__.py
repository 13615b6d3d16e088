"""Fused attention: scores, softmax and context of a tile of queries without leaving the block."""

from __future__ import annotations

from .dot_products import DP4A
from .fragments import MMA_K16, MMA_K32
from .strategy import TileAttention
from .wmma import WMMA

__all__ = ["DP4A", "MMA_K16", "MMA_K32", "WMMA", "TileAttention"]
