"""Micro-kernels of table look-up as data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from ..intrinsics import vpermb, vpermw
from ..intrinsics.lookup_tile import LookupTile
from ..micro_kernels import MOST_TILES
from ..vectors import divisors, widest_divisor
from .format import LookupFormat, WeightLevels, weights_of_an_index


@dataclass(frozen=True)
class LookupKernel:
    """Instructions that read tables in registers and add up what they read."""

    name: str
    feature: str
    unsigned: bool
    """Whether memory holds the activations as uint8 with zero point 128."""
    entries: int
    """Of a table."""
    tables: int
    """Tables of a vector."""
    n_block: int
    """Channels of a vector."""
    fields: int
    """Indices of an element."""
    indices: str
    """dtype of an element of indices."""
    entry: str
    """dtype of an entry."""
    entry_limit: int
    """What the largest magnitude of an entry may be."""
    lookups: float
    """Vectors of entries that are read and added in the time of one dot-product instruction."""
    table_cost: float
    """The time that the tables of a vector take, in dot-product instructions."""
    rows: int
    blocks: int
    """The default register tile: the most rows and vectors of channels."""
    register_tile: Callable[[LookupFormat, LookupTile, int], str]
    """Registers the tensor intrinsic of (format, tile, reach) and returns its name."""
    register_tables: Callable[[LookupFormat, int, int], str]
    """Registers the tensor intrinsic of the tables of a row: of (format, zero point, reach)."""
    bias: Callable[[LookupFormat, int], int]
    """What is added to every entry."""

    def format(self, levels: WeightLevels, channels: int, inputs: int, reach: int) -> LookupFormat | None:
        """How it reads a weight [channels, inputs]; None where it cannot, for activations of at most ``reach``."""
        group = weights_of_an_index(levels.count, self.entries)
        if group < 2 or channels % self.n_block or group * levels.largest * reach > self.entry_limit:
            return None
        if self.tables > 1 and inputs % (group * self.tables):
            return None
        return LookupFormat(
            levels, channels, inputs, group, self.entries, self.tables, self.n_block, self.fields, self.indices
        )

    def cost(self, layout: LookupFormat) -> float:
        """Dot-product instructions in whose time it computes a row of all channels."""
        blocks = layout.channels / layout.n_block
        return layout.table_vectors * (blocks / self.lookups + self.table_cost)

    def tiles(self, rows: int, channels: int) -> tuple[tuple[int, int], ...]:
        """The register tiles (rows, n_blocks) worth trying; the default is the first."""
        blocks = channels // self.n_block
        default = widest_divisor(rows, self.rows), widest_divisor(blocks, self.blocks)
        fitting = product(divisors(rows), divisors(blocks))
        others = sorted(
            (tile for tile in fitting if tile != default and math.prod(tile) <= self.rows * self.blocks),
            key=lambda tile: sum(tile) / math.prod(tile),
        )
        return (default, *others[: MOST_TILES - 1])


LOOKUP_KERNELS = (
    LookupKernel(
        name="avx512_vpermb",
        feature="avx512_vbmi",
        unsigned=True,
        entries=16,
        tables=4,
        n_block=16,
        fields=2,
        indices="uint8",
        entry="uint8",
        entry_limit=127,
        lookups=0.7,
        table_cost=6.0,
        rows=8,
        blocks=3,
        register_tile=lambda layout, tile, _: vpermb.register_tile(layout, tile),
        register_tables=vpermb.register_tables,
        bias=vpermb.bias,
    ),
    LookupKernel(
        name="avx512_vpermw",
        feature="avx512_vnni",
        unsigned=True,
        entries=32,
        tables=1,
        n_block=32,
        fields=3,
        indices="uint16",
        entry="int16",
        entry_limit=2**15 - 1,
        lookups=0.8,
        table_cost=5.0,
        rows=8,
        blocks=3,
        register_tile=vpermw.register_tile,
        register_tables=lambda layout, zero_point, _: vpermw.register_tables(layout, zero_point),
        bias=lambda layout, reach: 0,
    ),
)
"""In no order: the one of the least cost is taken."""
