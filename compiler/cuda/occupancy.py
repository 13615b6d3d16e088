"""How many blocks of a kernel a multiprocessor holds: the rules of the toolkit's cuda_occupancy.h."""

from __future__ import annotations

from ...targets.cuda import REGISTER_UNIT, WARP, Architecture
from .cubin import KernelResources

PARTITIONS = 4
"""Of a multiprocessor: each has a quarter of its registers, and issues one instruction a cycle of its own warps."""


def resident_blocks(kernel: KernelResources, chip: Architecture, dynamic_shared_bytes: int = 0) -> int:
    """How many blocks run on a multiprocessor at once; 0 where it cannot hold even one."""
    warps = -(-kernel.threads // WARP)
    shared = _rounded_up(kernel.shared_bytes + dynamic_shared_bytes + chip.reserved_shared_bytes, chip.shared_unit)
    if shared > chip.shared_bytes_per_block + chip.reserved_shared_bytes:
        return 0
    of_a_warp = _rounded_up(kernel.registers * WARP, REGISTER_UNIT)
    limits = [chip.blocks, chip.warps // warps]
    if of_a_warp:
        if _rounded_up(warps, PARTITIONS) * of_a_warp > chip.registers_per_block:
            return 0
        limits.append(chip.registers // PARTITIONS // of_a_warp * PARTITIONS // warps)
    if shared:
        limits.append(chip.shared_bytes // shared)
    return min(limits)


def occupancy(kernel: KernelResources, chip: Architecture, dynamic_shared_bytes: int = 0) -> float:
    """The warps that a multiprocessor holds at once, as a part of those that it has room for."""
    return resident_blocks(kernel, chip, dynamic_shared_bytes) * -(-kernel.threads // WARP) / chip.warps


def _rounded_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
