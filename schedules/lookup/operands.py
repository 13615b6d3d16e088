"""Which micro-kernel of table look-up, if any, a linear layer's weight is laid out for."""

from __future__ import annotations

from dataclasses import dataclass

from ..micro_kernels import MICRO_KERNELS
from .format import LookupFormat, WeightLevels
from .kernels import LOOKUP_KERNELS, LookupKernel


@dataclass(frozen=True)
class LookupOperands:
    """A weight as indices, and the largest magnitude of the activations that its tables are made of."""

    kernel: LookupKernel
    layout: LookupFormat
    reach: int

    @property
    def bias(self) -> int:
        """What the tables add to every sum."""
        return self.kernel.bias(self.layout, self.reach) * self.layout.groups


def lookup_operands(
    features: frozenset[str], unsigned: bool, levels: WeightLevels, channels: int, inputs: int, reach: int
) -> LookupOperands | None:
    """The cheapest look-up for a weight [channels, inputs] of ``levels``; None where a dot product is cheaper.

    The choice is for all lengths, since buckets share their weights. ``reach``: the activations' largest magnitude,
    zero point included. The costs are those of a register tile's instructions and of building the tables.
    """
    if "amx_int8" in features:  # its matrix products are several times as fast as any look-up
        return None
    dot_product = next((kernel for kernel in MICRO_KERNELS if kernel.feature in features), None)
    products = float("inf") if dot_product is None else dot_product.layout.n_block * dot_product.layout.k_block
    found: LookupOperands | None = None
    least = channels * inputs / products
    for kernel in LOOKUP_KERNELS:
        if kernel.feature not in features or kernel.unsigned != unsigned:
            continue
        layout = kernel.format(levels, channels, inputs, reach)
        if layout is not None and kernel.cost(layout) < least:
            found, least = LookupOperands(kernel, layout, reach), kernel.cost(layout)
    return found
