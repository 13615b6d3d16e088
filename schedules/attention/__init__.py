"""Strategies of the attention operator: scores, softmax and values of one head stay in cache."""

from __future__ import annotations

from typing import Protocol

from ..micro_kernels import MICRO_KERNELS
from ..strategy import Strategy
from .amx import AmxAttention
from .dot_product import DotProductAttention
from .plain import PlainAttention
from .workload import AttentionWorkload


class AttentionStrategy(Strategy[AttentionWorkload], Protocol):
    """A strategy that also says which operand signs its dot products multiply."""

    @property
    def operand_signs(self) -> str:
        """mixed, unsigned or signed: the kernel is built for it."""
        ...


ATTENTION_STRATEGIES: tuple[AttentionStrategy, ...] = (
    AmxAttention(),
    *(DotProductAttention(micro_kernel) for micro_kernel in MICRO_KERNELS),
    PlainAttention(),
)

__all__ = ["ATTENTION_STRATEGIES", "AttentionStrategy", "AttentionWorkload"]
