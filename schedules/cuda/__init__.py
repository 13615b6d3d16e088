"""Strategies for NVIDIA GPUs, best first; the last of every operator runs on all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..attention.strategy import AttentionStrategy
from ..linear.workload import LinearWorkload
from ..rows import RowWorkload
from ..strategy import Strategy
from . import attention, plain
from .layer_norm import WarpLayerNorm
from .linear import DP4A, MMA_K16, MMA_K32, WMMA, WarpTileLinear
from .packed_linear import (
    FEW_PLANES_M8,
    FEW_PLANES_M16,
    INT4_K32,
    INT4_K64,
    MANY_PLANES_M8,
    MANY_PLANES_M16,
    UNPACK_DP4A,
    UNPACK_K16,
    UNPACK_K32,
    UNPACK_WMMA,
    PackedTileLinear,
    UnpackedTileLinear,
)
from .rows import VectorRows, WarpMeanPooling

LINEAR_STRATEGIES: tuple[Strategy[LinearWorkload], ...] = (
    WarpTileLinear(MMA_K32, ("mma_k32", "cp_async")),
    WarpTileLinear(MMA_K16, ("ldmatrix",)),
    WarpTileLinear(WMMA, ("imma",)),
    WarpTileLinear(DP4A, ("dp4a",)),
    plain.PlainLinear(),
)
PACKED_LINEAR_STRATEGIES: tuple[Strategy[LinearWorkload], ...] = (
    PackedTileLinear(FEW_PLANES_M16, ("bmma", "cp_async")),
    PackedTileLinear(FEW_PLANES_M8, ("bmma",)),
    PackedTileLinear(INT4_K64, ("imma_s4", "cp_async")),
    PackedTileLinear(INT4_K32, ("imma_s4",)),
    PackedTileLinear(UNPACK_K32, ("mma_k32", "cp_async")),
    PackedTileLinear(UNPACK_K16, ("ldmatrix",)),
    PackedTileLinear(MANY_PLANES_M16, ("bmma", "cp_async")),
    PackedTileLinear(MANY_PLANES_M8, ("bmma",)),
    UnpackedTileLinear(UNPACK_WMMA, ("imma",)),
    PackedTileLinear(UNPACK_DP4A, ("dp4a",)),
    plain.PlainLinear(),
)
"""Of weights of 1 to 7 bits. With one or two bits of activations, 1-bit products are fewer than those of 4 bits; with
more, the planes that they are divided into cost what wider products save."""
ATTENTION_STRATEGIES: tuple[AttentionStrategy, ...] = (
    attention.TileAttention(attention.MMA_K32, ("mma_k32", "cp_async")),
    attention.TileAttention(attention.MMA_K16, ("ldmatrix",)),
    attention.TileAttention(attention.WMMA, ("imma",)),
    attention.TileAttention(attention.DP4A, ("dp4a",)),
    plain.PlainAttention(),
)
LAYER_NORM_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (
    WarpLayerNorm(),
    plain.PlainRows("wide", plain.NORM_BLOCKS, follower="narrow"),
)
DUPLICATE_CHANNELS_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (VectorRows("output", 4), plain.PlainRows("output"))
EMBEDDING_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (VectorRows("wide", 4), plain.PlainRows("wide"))
MEAN_POOLING_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (
    WarpMeanPooling(),
    plain.PlainRows("pooled", plain.POOLING_BLOCKS),
)
FIRST_TOKEN_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (VectorRows("pooled", 16), plain.PlainRows("pooled"))
TANH_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (VectorRows("output", 4), plain.PlainRows("output"))
REAL_STRATEGIES: Mapping[str, tuple[Strategy[Any], ...]] = {
    "elements": (plain.PlainRows("output"),),
    "normalized_rows": (plain.PlainRows("stream", plain.REAL_NORM_BLOCKS, follower="hidden"),),
    "pooled": (plain.PlainRows("pooled", plain.POOLING_BLOCKS),),
    "attention": (plain.PlainRealAttention(),),
    "dynamic": (plain.PlainBlocks(),),
}
"""By the plan of the operator's kernel."""
