"""Micro-kernels as data: what they read, and how many accumulators fit in the registers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from .intrinsics import neon
from .intrinsics.avx2 import register_sign_multiply
from .intrinsics.vnni import register_vnni
from .layout import PackedLayout
from .vectors import widest_divisor


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
    register: Callable[[], str]
    """Registers the tensor intrinsic and returns its name."""

    @property
    def step(self) -> int:
        """Inputs of one step; the workload's are a multiple of it."""
        return self.layout.k_block

    def register_tile(self, rows: int, channels: int) -> tuple[int, int]:
        """The register tile (rows, n_blocks) for an output of ``rows`` x ``channels``."""
        blocks = widest_divisor(channels // self.layout.n_block, self.tile_blocks)
        return widest_divisor(rows, self.accumulators // blocks), blocks


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
    register: Callable[[int, int, int], str]
    """Registers the tensor intrinsic for (rows, n_blocks, inputs) and returns its name."""

    def register_tile(self, rows: int, channels: int) -> tuple[int, int]:
        """The register tile (rows, n_blocks) for an output of ``rows`` x ``channels``."""
        tile_rows = widest_divisor(rows, self.rows)
        return tile_rows, widest_divisor(channels // self.layout.n_block, self.blocks // tile_rows)


MicroKernel: TypeAlias = DotProduct | RegisterTile

MICRO_KERNELS: tuple[MicroKernel, ...] = (
    DotProduct(
        name="avx512_vnni",
        feature="avx512_vnni",
        layout=PackedLayout(16, 4),
        unsigned=True,
        accumulators=24,
        tile_blocks=4,
        register=lambda: register_vnni(16, "llvm.x86.avx512.vpdpbusd.512"),
    ),
    DotProduct(
        name="avx_vnni",
        feature="avx_vnni",
        layout=PackedLayout(8, 4),
        unsigned=True,
        accumulators=12,
        tile_blocks=3,
        register=lambda: register_vnni(8, "llvm.x86.avx512.vpdpbusd.256"),
    ),
    DotProduct(
        name="avx2",
        feature="avx2",
        layout=PackedLayout(8, 4),
        unsigned=False,
        accumulators=8,
        tile_blocks=2,
        register=register_sign_multiply,
    ),
    RegisterTile(
        name="neon_dotprod",
        feature="dotprod",
        layout=neon.SDOT_LAYOUT,
        unsigned=False,
        step=neon.VECTOR_BYTES,
        rows=4,
        blocks=12,
        register=neon.register_sdot,
    ),
    RegisterTile(
        name="neon",
        feature="neon",
        layout=neon.SMULL_LAYOUT,
        unsigned=False,
        step=neon.VECTOR_BYTES,
        rows=4,
        blocks=4,
        register=neon.register_smull,
    ),
)
"""Best first."""
