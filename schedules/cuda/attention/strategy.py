"""The strategy of fused attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tvm.s_tir import Schedule

from ...attention.strategy import AttentionStrategy
from ...attention.workload import AttentionWorkload
from ...strategy import Sketch, not_a_multiple
from .arithmetic import AttentionArithmetic
from .device import DeviceFunctions
from .kernel import FusedAttention
from .products import Products
from .tile import AttentionTile, by_preference, tiles

_TILE = "intbert.attention_tile"
DEPTH = 32
"""Channels of one product with keys."""


@dataclass(frozen=True)
class TileAttention(AttentionStrategy):
    """Scores and probabilities in the registers of warps; ``features``: what the products need of the chip.

    A tile is all that a sketch chooses: the kernel is written around it in :meth:`finish`.
    """

    products: Products
    features: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.products.name

    @property
    def operand_signs(self) -> str:
        return "mixed"

    def refuse(self, workload: AttentionWorkload, features: frozenset[str]) -> str | None:
        for feature in self.features:
            if feature not in features:
                return f"the GPU has no {feature}"
        ragged = not_a_multiple("head dimension", workload.head_dim, DEPTH)
        if ragged is None and not tiles(workload.length, workload.head_dim, self.products.staged_bytes):
            return f"{workload.length} keys of {workload.head_dim} channels fit no block's registers and shared memory"
        return ragged

    def sketches(self, workload: AttentionWorkload) -> Sequence[Sketch]:
        shape = workload.batch, workload.length, workload.heads, workload.head_dim
        return [
            Sketch(f"{tile} tile", partial(self._apply, tile))
            for tile in by_preference(*shape, self.products.staged_bytes)
        ]

    def _apply(self, tile: AttentionTile, sch: Schedule) -> None:
        sch.annotate(sch.get_sblock("context"), _TILE, [tile.row_warps, tile.key_warps, tile.keys])

    def finish(self, function: Any, workload: AttentionWorkload) -> Any:
        sizes = AttentionArithmetic.of(function).blocks["context"].annotations[_TILE]
        tile = AttentionTile(*(int(size) for size in sizes))
        device = DeviceFunctions(self.products, tile, workload.head_dim)
        return FusedAttention(function, workload, device).prim_func()
