"""What every strategy of attention has."""

from __future__ import annotations

from abc import abstractmethod

from ..strategy import Strategy
from .workload import AttentionWorkload


class AttentionStrategy(Strategy[AttentionWorkload]):
    """A strategy that also says which operand signs its dot products multiply."""

    @property
    @abstractmethod
    def operand_signs(self) -> str:
        """mixed, unsigned or signed: the kernel is built for it."""
