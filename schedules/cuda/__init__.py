"""Strategies for NVIDIA GPUs, best first; the last of every operator runs on all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..attention.strategy import AttentionStrategy
from ..linear.workload import LinearWorkload
from ..rows import RowWorkload
from ..strategy import Strategy
from . import plain

LINEAR_STRATEGIES: tuple[Strategy[LinearWorkload], ...] = (plain.PlainLinear(),)
ATTENTION_STRATEGIES: tuple[AttentionStrategy, ...] = (plain.PlainAttention(),)
LAYER_NORM_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (
    plain.PlainRows("wide", plain.NORM_BLOCKS, follower="narrow"),
)
DUPLICATE_CHANNELS_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (plain.PlainRows("output"),)
EMBEDDING_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (plain.PlainRows("wide"),)
MEAN_POOLING_STRATEGIES: tuple[Strategy[Any], ...] = (plain.PlainRows("pooled", plain.POOLING_BLOCKS),)
FIRST_TOKEN_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (plain.PlainRows("pooled"),)
TANH_STRATEGIES: tuple[Strategy[RowWorkload], ...] = (plain.PlainRows("output"),)
REAL_STRATEGIES: Mapping[str, tuple[Strategy[Any], ...]] = {
    "elements": (plain.PlainRows("output"),),
    "normalized_rows": (plain.PlainRows("stream", plain.REAL_NORM_BLOCKS, follower="hidden"),),
    "pooled": MEAN_POOLING_STRATEGIES,
    "attention": (plain.PlainRealAttention(),),
    "dynamic": (plain.PlainBlocks(),),
}
"""By the plan of the operator's kernel."""
