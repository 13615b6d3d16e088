"""What an operator of one shape costs on any machine: multiply-adds, and bytes that are read and written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np

from .graph import Operator
from .kernels import Shape
from .operators.attention import Attention
from .operators.embedding import Embedding
from .operators.linear import Linear
from .operators.pooling import FirstToken
from .operators.real.attention import RealAttention
from .operators.real.embedding import RealEmbedding
from .operators.real.pooling import RealFirstToken

GATHERS = (Embedding, FirstToken, RealEmbedding, RealFirstToken)
"""Operators that read no more rows of an argument than they write."""
NARROW_BITS = 8
"""Of activations as memory holds them."""


@dataclass(frozen=True)
class Cost:
    """``macs``: multiply-adds of matrix products; ``bytes``: of all arguments, each read or written once;
    ``activation_bits``: of what the weights are multiplied by, as far as the kernel was told."""

    macs: int
    bytes: int
    activation_bits: int = NARROW_BITS

    def __post_init__(self) -> None:
        assert self.macs >= 0
        assert self.bytes > 0
        assert self.activation_bits > 0


def cost(operator: Operator, shape: Shape, kernel: Any) -> Cost:
    """The cost of a call of ``kernel``, the PrimFunc that runs ``operator``. Constants count as they are stored."""
    buffers = [(tuple(int(extent) for extent in buffer.shape), str(buffer.dtype)) for buffer in kernel.params]
    written = buffers[-1][0][0]
    most_rows = written if isinstance(operator, GATHERS) else None
    size = sum(_bytes(extents, dtype, most_rows) for extents, dtype in buffers)
    bits = operator.activation_bits if isinstance(operator, Linear) else NARROW_BITS
    return Cost(_macs(operator, shape), size, bits)


def _bytes(extents: tuple[int, ...], dtype: str, most_rows: int | None) -> int:
    rows = extents[0] if most_rows is None else min(extents[0], most_rows)
    return rows * math.prod(extents[1:]) * np.dtype(dtype).itemsize


@singledispatch
def _macs(operator: Operator, shape: Shape) -> int:
    return 0


@_macs.register
def _(operator: Linear, shape: Shape) -> int:
    return shape.rows * operator.channels * operator.inputs


@_macs.register(Attention)
@_macs.register(RealAttention)
def _(operator: Attention | RealAttention, shape: Shape) -> int:
    """Scores and context: two products a head."""
    return 2 * shape.batch * operator.heads * shape.length**2 * operator.head_dim
