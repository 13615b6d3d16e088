"""The weight tensors of one or several linears that read the same activation, as one matrix for one operator."""

from __future__ import annotations

from collections.abc import Sequence

from .packing import Packing


def common_packing(packings: Sequence[Packing | None]) -> Packing | None:
    """The packing of the fewest bits that holds whatever each of ``packings`` holds; None where only int8 does.

    Packings that agree stay as they are: the matrix keeps its true size.
    """
    if len(set(packings)) == 1:
        return packings[0]
    known = [packing for packing in packings if packing is not None]
    if len(known) < len(packings):
        return None
    if all(packing.mid_rise for packing in known):
        return max(known, key=lambda packing: packing.bits)
    bits = max(packing.limit for packing in known).bit_length() + 1
    return Packing(bits) if bits <= 7 else None
