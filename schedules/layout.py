"""Packed weight layouts: how a micro-kernel wants to read a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PackedLayout:
    """A row-major [N, K] matrix as ``[N / n_block, K / k_block, n_block, k_block]``; (1, 1) is row-major itself.

    One vector register holds ``n_block`` output channels of ``k_block`` consecutive inputs each: what a dot-product
    instruction multiplies with ``k_block`` activations, broadcast.
    """

    n_block: int
    k_block: int
    codes: int = 8
    """Weights of few bits are packed block by block: a block has a multiple of so many codes, the last of which pad."""

    def fits(self, n: int, k: int) -> bool:
        """Whether an [n, k] matrix packs without padding."""
        return n % self.n_block == 0 and k % self.k_block == 0

    def padded(self, values: int) -> int:
        """How many codes a block of ``values`` has."""
        return -(-values // self.codes) * self.codes

    def shape(self, n: int, k: int) -> tuple[int, int, int, int]:
        """The packed shape of an [n, k] matrix."""
        return n // self.n_block, k // self.k_block, self.n_block, self.k_block

    def pack(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """[N, K] to the packed shape, contiguous."""
        n, k = matrix.shape
        blocked = matrix.reshape(n // self.n_block, self.n_block, k // self.k_block, self.k_block)
        return np.ascontiguousarray(blocked.transpose(0, 2, 1, 3))

    def index(self, n: Any, k: Any) -> tuple[Any, Any, Any, Any]:
        """Where element (n, k) lies; integers or TIR expressions."""
        return n // self.n_block, k // self.k_block, n % self.n_block, k % self.k_block


ROW_MAJOR = PackedLayout(1, 1)
PADDED_ROWS = PackedLayout(1, 1, codes=128)
"""Row-major, packed rows filled up so that every eighth of a row has whole pieces of 16 codes: for GPUs."""
