"""Fused attention on tensor cores: scores, softmax and context of a tile of queries without leaving the block."""

from __future__ import annotations

from .strategy import MmaAttention

__all__ = ["MmaAttention"]
