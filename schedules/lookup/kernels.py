"""Micro-kernels of table look-up as data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

from ..intrinsics import tbl, tbl_tables, vpermb, vpermw, vpshufb
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
    lookup_cost: float
    """Instructions that look up a vector's entries and add them; see :data:`~.operands.PRODUCTS`."""
    table_cost: float
    """Instructions that make a vector's tables."""
    rows: int
    blocks: int
    """The default register tile: the most rows and vectors of channels."""
    register_tile: Callable[[LookupFormat, LookupTile, int], str]
    """Registers the tensor intrinsic of (format, tile, reach) and returns its name."""
    register_tables: Callable[[LookupFormat, int, int], str]
    """Registers the tensor intrinsic of the tables of a row: of (format, zero point, reach)."""
    bias: Callable[[LookupFormat, int], int] = lambda layout, reach: 0
    """What is added to every entry."""
    fits: Callable[[LookupFormat, int], bool] = lambda layout, reach: True
    """Whether sums of the entries fit, for activations of at most this magnitude."""
    parts: int = 1
    adjacent_fields: bool = False
    """See :class:`~.format.LookupFormat`, as for ``parts``."""
    epilogue_rows: int = 1
    """Rows that share a load of a channel's constants."""
    sets: bool = False
    """Whether a register tile stores its sums, multiplied by the weight's power of two, in memory that need not be
    cleared."""
    whole_vectors: bool = False
    """Whether the inputs must fill the tables of their last vector."""

    def format(self, levels: WeightLevels, channels: int, inputs: int, reach: int) -> LookupFormat | None:
        """How it reads a weight [channels, inputs]; None where it cannot, for activations of at most ``reach``."""
        group = weights_of_an_index(levels.count, self.entries)
        if group < 2 or channels % self.n_block or (self.whole_vectors and inputs % (group * self.tables)):
            return None
        layout = LookupFormat(
            levels,
            channels,
            inputs,
            group,
            self.entries,
            self.tables,
            self.n_block,
            self.fields,
            self.indices,
            self.parts,
            self.adjacent_fields,
        )
        return layout if self.fits(layout, reach) else None

    def cost(self, layout: LookupFormat) -> float:
        """Instructions that compute a row of all channels."""
        blocks = layout.channels / layout.n_block
        return layout.table_vectors * (blocks * self.lookup_cost + self.table_cost)

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


NEON_TBL = LookupKernel(
    name="neon_tbl",
    feature="neon",
    unsigned=False,
    entries=16,
    tables=2,
    n_block=8,
    fields=2,
    indices="uint8",
    entry="int8",
    lookup_cost=2.8,
    table_cost=14.0,
    rows=8,
    blocks=3,
    register_tile=tbl.register_tile,
    register_tables=lambda layout, *_: tbl_tables.register_tables(layout),
    fits=tbl.fits,
    adjacent_fields=True,
    epilogue_rows=4,
    sets=True,
)

AVX2_VPSHUFB = LookupKernel(
    name="avx2_vpshufb",
    feature="avx2",
    unsigned=False,
    entries=16,
    tables=1,
    n_block=32,
    fields=2,
    indices="uint8",
    entry="uint8",
    lookup_cost=4.0,
    table_cost=11.0,
    rows=4,
    blocks=1,
    register_tile=vpshufb.register_tile,
    register_tables=vpshufb.register_tables,
    bias=vpshufb.bias,
    fits=vpshufb.fits,
    adjacent_fields=True,
    sets=True,
)
AVX2_VPSHUFB_DIGITS = replace(AVX2_VPSHUFB, name="avx2_vpshufb_digits", parts=2, lookup_cost=7.3, table_cost=15.0)
AVX_VNNI_VPSHUFB = replace(
    AVX2_VPSHUFB, name="avx_vnni_vpshufb", feature="avx_vnni", unsigned=True, lookup_cost=1.8, table_cost=5.0
)

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
        lookup_cost=1.25,
        table_cost=5.0,
        rows=8,
        blocks=2,
        register_tile=vpermb.register_tile,
        register_tables=vpermb.register_tables,
        bias=vpermb.bias,
        fits=vpermb.fits,
        whole_vectors=True,
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
        lookup_cost=1.5,
        table_cost=5.0,
        rows=8,
        blocks=3,
        register_tile=vpermw.register_tile,
        register_tables=lambda layout, zero_point, _: vpermw.register_tables(layout, zero_point),
    ),
    AVX2_VPSHUFB,
    AVX2_VPSHUFB_DIGITS,
    AVX_VNNI_VPSHUFB,
    replace(AVX_VNNI_VPSHUFB, name="avx_vnni_vpshufb_digits", parts=2, lookup_cost=3.3, table_cost=7.0),
    NEON_TBL,
    # Twice the instructions, and each takes longer than smull's on cores that have no dot product, as llvm-mca says.
    replace(NEON_TBL, name="neon_tbl_nibbles", parts=2, lookup_cost=8.0, table_cost=25.0),
)
"""In no order: the one of the least cost is taken."""
