"""How the queries and keys of a head are shared out among the warps of a block.

A warp computes the scores of 16 queries and ``keys`` keys, which stay in its registers where ``mma.sync`` leaves sums:
of each 16 x 8, lane ``4 group + place`` has queries ``group`` and ``group + 8``, keys ``2 place`` and ``2 place + 1``
(PTX ISA, "Matrix Fragments for mma.m16n8k32").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ....targets.cuda import STATIC_SHARED_BYTES, WARP
from ..threads import ENOUGH_BLOCKS

KEY_STEP = 32
"""Keys of one product with values."""
ROWS = 16
"""Queries of a warp."""
MOST_KEYS = 128
"""Of a warp."""
MOST_HELD, MOST_HELD_IN_LARGE_BLOCKS = 96, 80
"""Scores and sums of a lane: with more, registers spill, or a multiprocessor has none for a second block of eight
warps, which computes while the first one waits for its keys."""
LARGE_BLOCK = 8
"""Warps."""
_SPLITS = ((4, 1), (4, 2), (2, 1), (2, 2), (2, 4), (1, 1), (1, 2), (1, 4), (1, 8))
"""Warps along the queries and along the keys, from the most queries a block to the fewest."""
MOST_KEYS_OF_BLOCK = MOST_KEYS * max(key_warps for _, key_warps in _SPLITS)
ENOUGH_WARPS = 128
"""A split with fewer queries a block is taken where one with more would leave fewer warps than this, or too few
blocks."""


@dataclass(frozen=True)
class AttentionTile:
    """``row_warps`` warps with queries of their own, times ``key_warps`` that share a row's keys, ``keys`` each."""

    row_warps: int
    key_warps: int
    keys: int

    def __post_init__(self) -> None:
        assert self.keys % KEY_STEP == 0
        assert 0 < self.keys <= MOST_KEYS

    @property
    def rows(self) -> int:
        """Queries of the block."""
        return self.row_warps * ROWS

    @property
    def warps(self) -> int:
        """Of the block."""
        return self.row_warps * self.key_warps

    @property
    def scores(self) -> int:
        """Of a thread."""
        return ROWS * self.keys // WARP

    def sums(self, head_dim: int) -> int:
        """Products with values that a thread holds; it finishes as many contexts, divided by ``key_warps``."""
        return ROWS * head_dim // WARP

    @property
    def exchanged_bytes(self) -> int:
        """Shared memory where warps share a row: its maximum and its sum pass from one to the others."""
        return 0 if self.key_warps == 1 else 2 * self.key_warps * self.rows * 4

    def __str__(self) -> str:
        return f"{self.row_warps}x{self.key_warps}_{self.keys}"


StagedBytes = Callable[[AttentionTile, int], int]
"""Shared memory for what a block of a tile copies, at heads of so many channels."""


def tiles(length: int, head_dim: int, staged_bytes: StagedBytes) -> list[AttentionTile]:
    """All for sentences of ``length`` tokens, from the most queries a block to the fewest; none where shared memory
    is short."""
    found = []
    for row_warps, key_warps in _SPLITS:
        keys = -(-length // (key_warps * KEY_STEP)) * KEY_STEP
        idle_warps = (row_warps - 1) * ROWS >= length or (key_warps - 1) * keys >= length
        # Each of the warps that share a row finishes whole groups of four contexts.
        shared_out = ROWS * head_dim // WARP % (4 * key_warps) == 0
        if idle_warps or not shared_out or keys > MOST_KEYS:
            continue
        tile = AttentionTile(row_warps, key_warps, keys)
        most_held = MOST_HELD_IN_LARGE_BLOCKS if tile.warps >= LARGE_BLOCK else MOST_HELD
        shared_bytes = staged_bytes(tile, head_dim) + tile.exchanged_bytes
        if tile.scores + tile.sums(head_dim) <= most_held and shared_bytes <= STATIC_SHARED_BYTES:
            found.append(tile)
    return found


def by_preference(
    sentences: int, length: int, heads: int, head_dim: int, staged_bytes: StagedBytes
) -> list[AttentionTile]:
    """The same, the default first: the one with the most queries a block that leaves enough for a whole GPU."""
    found = tiles(length, head_dim, staged_bytes)

    def blocks_and_warps(tile: AttentionTile) -> tuple[int, int]:
        blocks = sentences * heads * -(-length // tile.rows)
        return blocks, blocks * tile.warps

    def enough(tile: AttentionTile) -> bool:
        blocks, warps = blocks_and_warps(tile)
        return blocks >= ENOUGH_BLOCKS and warps >= ENOUGH_WARPS

    best = next(filter(enough, found), None) or max(found, key=blocks_and_warps)
    return [best, *(tile for tile in found if tile != best)]
