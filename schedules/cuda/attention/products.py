"""What multiplies in fused attention: the part of its device functions that differs from chip to chip."""

from __future__ import annotations

from abc import ABC, abstractmethod

from .tile import AttentionTile


class Products(ABC):
    """Queries times keys and probabilities times values, by one kind of instruction.

    Sums are where :mod:`.tile` says. The sources call one another by :meth:`function_name`; what each function does:
    see :meth:`.device.DeviceFunctions.name`.
    """

    name: str

    def function_name(self, function: str, tile: AttentionTile, head_dim: int) -> str:
        """Of a device function."""
        return f"intbert_attention_{function}_{self.name}_{tile}_{head_dim}"

    @abstractmethod
    def staged_bytes(self, tile: AttentionTile, head_dim: int) -> int:
        """Shared memory that :meth:`scores_source` declares, for one after the other of what a block copies."""

    @abstractmethod
    def scores_source(self, tile: AttentionTile, head_dim: int) -> str:
        """CUDA source of ``scores``, behind that of the functions that it shares with the others."""

    @abstractmethod
    def context_source(self, tile: AttentionTile, head_dim: int) -> str:
        """CUDA source of ``values`` and ``context``, which may call ``total``."""
