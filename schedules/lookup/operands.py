"""Which micro-kernel of table look-up, if any, a linear layer's weight is laid out for."""

from __future__ import annotations

from dataclasses import dataclass

from .format import LookupFormat, WeightLevels
from .kernels import LOOKUP_KERNELS, LookupKernel

PRODUCTS = {
    "amx_int8": 512.0,
    "avx512_vnni": 64.0,
    "avx_vnni": 28.0,
    "avx2": 6.4,
    "i8mm": 26.0,
    "dotprod": 13.0,
    "neon": 5.0,
}
"""Products of a dot product's instruction, the best first; of those without one, of all it takes to make one."""


@dataclass(frozen=True)
class LookupOperands:
    """A weight as indices, and the largest magnitude of the activations that its tables are made of."""

    kernel: LookupKernel
    layout: LookupFormat
    reach: int
    gain: int = 1
    """The weight is this power of two times what the indices stand for."""

    @property
    def bias(self) -> int:
        """What the tables add to every sum."""
        return self.kernel.bias(self.layout, self.reach) * self.layout.groups


def lookup_operands(
    features: frozenset[str],
    unsigned: bool,
    levels: WeightLevels,
    channels: int,
    inputs: int,
    reach: int,
    gain: int = 1,
) -> LookupOperands | None:
    """The cheapest look-up for a weight [channels, inputs] of ``levels``; None where a dot product is cheaper.

    The choice is for all lengths, since buckets share their weights. ``reach``: the activations' largest magnitude,
    zero point included. ``gain``: see :class:`LookupOperands`. The costs are those of a register tile's instructions
    and of building the tables.
    """
    products = next((count for feature, count in PRODUCTS.items() if feature in features), None)
    if products is None:
        return None
    found: LookupOperands | None = None
    least = channels * inputs / products
    for kernel in LOOKUP_KERNELS:
        if kernel.feature not in features or kernel.unsigned != unsigned:
            continue
        layout = kernel.format(levels, channels, inputs, reach)
        if layout is not None and kernel.cost(layout) < least:
            found, least = LookupOperands(kernel, layout, reach, gain), kernel.cost(layout)
    return found
