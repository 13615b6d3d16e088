"""The attention operator's strategies, best first."""

from __future__ import annotations

from typing import Protocol

from .attention import AttentionWorkload, PlainAttention
from .attention_amx import AmxAttention
from .attention_dot_product import DotProductAttention
from .micro_kernels import MICRO_KERNELS
from .strategy import Strategy


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
