"""Micro-kernels as data: what they read, and how many accumulators fit in the registers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .intrinsics import neon_sdot, neon_smmla, neon_smull
from .intrinsics.avx2 import register_sign_multiply
from .intrinsics.neon_packing import VECTORS, register_row_packing
from .intrinsics.neon_tile import VECTOR_BYTES
from .intrinsics.packing import OFFSET_WORDS, WORDS, PackingCopies
from .intrinsics.vnni import register_vnni
from .layout import PackedLayout
from .vectors import divisors, widest_divisor

MOST_TILES = 6
"""Register tiles that a tuner is offered: those that load the fewest operands."""


@dataclass(frozen=True)
class DotProduct:
    """Instructions that add ``k_block`` products to each of ``n_block`` accumulators."""

    name: str
    feature: str
    layout: PackedLayout
    unsigned: bool
    """Whether the activations are uint8 (zero point 128) rather than int8."""
    accumulators: int
    """Vector registers that hold accumulators; the others hold operands."""
    tile_blocks: int
    """The most n_blocks of a register tile: operands loaded once a row of the tile."""
    most_accumulators: int
    """The most that any tile may have."""
    row_cost: int
    """Instructions that bring a row's activations to a register; for an n_block of weights it is one."""
    register: Callable[[], str]
    """Registers the tensor intrinsic and returns its name."""
    register_unsigned_keys: Callable[[], str] | None = None
    """The same for int8 activations and uint8 weights, where only one factor may be signed: for attention's scores."""
    unpacking_cost: float | None = None
    """Instructions that load and unpack a vector of weights of 4 bits in registers, on average of the two that share
    their bytes; None: no registers are left for that."""
    copies: PackingCopies = WORDS
    """How attention packs its keys and values."""
    packed_rows: None = None

    @property
    def step(self) -> int:
        """Inputs of one step; the workload's are a multiple of it."""
        return self.layout.k_block

    def register_tile(self, rows: int, channels: int) -> tuple[int, int]:
        """The register tile (rows, n_blocks) for an output of ``rows`` x ``channels``."""
        blocks = widest_divisor(channels // self.layout.n_block, self.tile_blocks)
        return widest_divisor(rows, self.accumulators // blocks), blocks

    def register_tiles(self, rows: int, channels: int) -> tuple[tuple[int, int], ...]:
        """The tiles worth trying, :meth:`register_tile`'s first."""
        return _first(self.register_tile(rows, channels), self._best_tiles(rows, channels, column_cost=1))

    def unpacking_tiles(self, rows: int, channels: int, cost: float) -> tuple[tuple[int, int], ...]:
        """The same where a vector of weights takes ``cost`` instructions: the more rows share it, the better."""
        best = self._best_tiles(rows, channels, cost)
        return _first(best[0], best)

    def _best_tiles(self, rows: int, channels: int, column_cost: float) -> list[tuple[int, int]]:
        fitting = _tiles(rows, channels // self.layout.n_block, self.most_accumulators)
        return sorted(fitting, key=lambda tile: (self.row_cost * tile[0] + column_cost * tile[1]) / math.prod(tile))


@dataclass(frozen=True)
class PackedRows:
    """How a register tile reads activations that were packed before: rows side by side, so that one load feeds many
    multiplications."""

    layout: PackedLayout
    """Of the activations [rows, inputs]; a tile has one block of rows, or several."""
    register: Callable[[int, int, int], str]
    """As :attr:`RegisterTile.register`."""

    @property
    def step(self) -> int:
        """Inputs that are packed together; the workload's are a multiple of them."""
        return VECTOR_BYTES

    def fits(self, rows: int, inputs: int) -> bool:
        """Whether activations of this shape can be packed without padding."""
        return rows % self.layout.n_block == 0 and inputs % self.step == 0

    def register_tiles(self, blocks: int) -> tuple[tuple[int, int], ...]:
        """The tiles (rows, n_blocks) worth trying for ``blocks`` n_blocks of channels, the best first."""
        return ((self.layout.n_block, 1),)

    def register_copy(self) -> str:
        """Registers the tensor intrinsic that packs one block of rows and :attr:`step` inputs; its name."""
        return register_row_packing(self.layout)


@dataclass(frozen=True)
class RegisterTile:
    """Instructions for a register tile's whole reduction: the loop over the inputs is inside."""

    name: str
    feature: str
    layout: PackedLayout
    unsigned: bool
    """Whether the activations are uint8 (zero point 128) rather than int8."""
    step: int
    """Inputs of one pass of the loop; the workload's are a multiple of it."""
    rows: int
    """The most rows of a tile."""
    blocks: int
    """The most n_blocks that a tile of one row may have: what the registers hold."""
    loads: int
    """Vectors of weights that one pass of the loop loads for an n_block; of a row it loads one."""
    register: Callable[[int, int, int], str]
    """Registers the tensor intrinsic for (rows, n_blocks, inputs) and returns its name."""
    packed_rows: PackedRows | None = None
    """The way to read packed activations, if there is one; it is the better one."""
    copies: PackingCopies = VECTORS
    """How attention packs its keys and values."""

    def register_tile(self, rows: int, channels: int) -> tuple[int, int]:
        """The register tile (rows, n_blocks) for an output of ``rows`` x ``channels``."""
        tile_rows = widest_divisor(rows, self.rows)
        return tile_rows, widest_divisor(channels // self.layout.n_block, self.blocks // tile_rows)

    def register_tiles(self, rows: int, channels: int) -> tuple[tuple[int, int], ...]:
        """The tiles worth trying, :meth:`register_tile`'s first."""
        fitting = _tiles(rows, channels // self.layout.n_block, self.blocks)
        in_registers = [(row, block) for row, block in fitting if row <= 2 * self.rows]
        best = sorted(in_registers, key=lambda tile: (tile[0] + self.loads * tile[1]) / (tile[0] * tile[1]))
        return _first(self.register_tile(rows, channels), best)


def _tiles(rows: int, blocks: int, most: int) -> list[tuple[int, int]]:
    """The tiles (rows, n_blocks) of at most ``most`` n_blocks in all rows together."""
    return [(row, block) for row in divisors(rows) if row <= most for block in divisors(blocks) if row * block <= most]


def _first(default: tuple[int, int], tiles: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    return (default, *[tile for tile in tiles if tile != default][: MOST_TILES - 1])


MicroKernel: TypeAlias = DotProduct | RegisterTile

MICRO_KERNELS: tuple[MicroKernel, ...] = (
    DotProduct(
        name="avx512_vnni",
        feature="avx512_vnni",
        layout=PackedLayout(16, 4),
        unsigned=True,
        accumulators=24,
        tile_blocks=4,
        most_accumulators=24,
        row_cost=1,
        register=lambda: register_vnni(16, "llvm.x86.avx512.vpdpbusd.512"),
        register_unsigned_keys=lambda: register_vnni(16, "llvm.x86.avx512.vpdpbusd.512", unsigned_weights=True),
        unpacking_cost=3.5,
        copies=OFFSET_WORDS,
    ),
    DotProduct(
        name="avx_vnni",
        feature="avx_vnni",
        layout=PackedLayout(8, 4),
        unsigned=True,
        accumulators=12,
        tile_blocks=3,
        most_accumulators=12,
        row_cost=1,
        register=lambda: register_vnni(8, "llvm.x86.avx512.vpdpbusd.256"),
        register_unsigned_keys=lambda: register_vnni(8, "llvm.x86.avx512.vpdpbusd.256", unsigned_weights=True),
        copies=OFFSET_WORDS,
    ),
    DotProduct(
        name="avx2",
        feature="avx2",
        layout=PackedLayout(8, 4),
        unsigned=False,
        accumulators=8,
        tile_blocks=4,
        most_accumulators=12,
        row_cost=2,
        register=register_sign_multiply,
    ),
    RegisterTile(
        name="neon_i8mm",
        feature="i8mm",
        layout=neon_smmla.LAYOUT,
        unsigned=False,
        step=VECTOR_BYTES,
        rows=8,
        blocks=8,
        loads=4,
        register=neon_smmla.register_smmla,
        packed_rows=PackedRows(neon_smmla.ROWS, neon_smmla.register_packed_smmla),
    ),
    RegisterTile(
        name="neon_dotprod",
        feature="dotprod",
        layout=neon_sdot.LAYOUT,
        unsigned=False,
        step=VECTOR_BYTES,
        rows=4,
        blocks=12,
        loads=8,
        register=neon_sdot.register_sdot,
        packed_rows=PackedRows(neon_sdot.ROWS, neon_sdot.register_packed_sdot),
    ),
    RegisterTile(
        name="neon",
        feature="neon",
        layout=neon_smull.LAYOUT,
        unsigned=False,
        step=VECTOR_BYTES,
        rows=4,
        blocks=4,
        loads=4,
        register=neon_smull.register_smull,
        packed_rows=PackedRows(neon_smull.ROWS, neon_smull.register_packed_smull),
    ),
)
"""Best first."""
