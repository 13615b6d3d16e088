"""Strategies of the attention operator: scores, softmax and values of one head stay in cache."""

from __future__ import annotations

from ..micro_kernels import MICRO_KERNELS
from .amx import AmxAttention
from .dot_product import DotProductAttention
from .plain import PlainAttention
from .strategy import AttentionStrategy
from .workload import AttentionWorkload

ATTENTION_STRATEGIES: tuple[AttentionStrategy, ...] = (
    AmxAttention(),
    *(DotProductAttention(micro_kernel) for micro_kernel in MICRO_KERNELS),
    PlainAttention(),
)

__all__ = ["ATTENTION_STRATEGIES", "AttentionStrategy", "AttentionWorkload"]
