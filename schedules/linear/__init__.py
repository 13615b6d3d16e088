"""Strategies of the linear operator: blocks ``accumulator`` (int32 reduction) and ``output`` (fused epilogue)."""

from __future__ import annotations

from ..lookup.kernels import LOOKUP_KERNELS
from ..micro_kernels import MICRO_KERNELS, DotProduct
from ..strategy import Strategy
from .amx import AmxLinear
from .dot_product import DotProductLinear
from .lookup import LookupLinear
from .plain import PlainLinear
from .register_tile import RegisterTileLinear
from .workload import LinearWorkload, activation_zero_point, weight_layout

LINEAR_STRATEGIES: tuple[Strategy[LinearWorkload], ...] = (
    *(LookupLinear(kernel) for kernel in LOOKUP_KERNELS),
    AmxLinear(),
    *(
        DotProductLinear(micro_kernel) if isinstance(micro_kernel, DotProduct) else RegisterTileLinear(micro_kernel)
        for micro_kernel in MICRO_KERNELS
    ),
    PlainLinear(),
)
"""Best first."""

__all__ = ["LINEAR_STRATEGIES", "LinearWorkload", "activation_zero_point", "weight_layout"]
