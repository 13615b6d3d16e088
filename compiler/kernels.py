"""Operator -> compiled kernel: the strategy is chosen and the unscheduled kernel scheduled for it.

One registered function an operator (``singledispatch``), so that a new operator adds one and changes none. What it
returns depends on the operator's structure and shape only, never on its constants: those are arguments, laid out by
:func:`parameters`. So the layers of a model share their kernels.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, TypeAlias

from numpy.typing import NDArray

from ..schedules.attention import ATTENTION_STRATEGIES, AttentionWorkload
from ..schedules.linear import LINEAR_STRATEGIES, LinearWorkload, weight_layout
from ..schedules.real import REAL_STRATEGIES, RealWorkload
from ..schedules.rows import (
    DUPLICATE_CHANNELS_STRATEGIES,
    EMBEDDING_STRATEGIES,
    FIRST_TOKEN_STRATEGIES,
    LAYER_NORM_STRATEGIES,
    MEAN_POOLING_STRATEGIES,
    TANH_STRATEGIES,
    RowWorkload,
)
from ..schedules.strategy import Strategy, select
from ..schedules.unpack import schedule_unpack
from ..schedules.vectors import int16_lanes
from .graph import Operator
from .operators.attention import Attention, attention_kernel
from .operators.attention_scores import OperandSigns
from .operators.duplicate_channels import DuplicateChannels, duplicate_channels_kernel
from .operators.embedding import Embedding, embedding_kernel
from .operators.layer_norm import LayerNorm, layer_norm_kernel
from .operators.linear import Linear, linear_kernel
from .operators.pooling import FirstToken, MeanPooling, first_token_kernel, mean_pooling_kernel
from .operators.real.operator import Extents, RealOperator
from .operators.tanh import Tanh, tanh_kernel
from .operators.unpack import chunk_length

PrimFunc: TypeAlias = Any


@dataclass(frozen=True)
class Shape:
    """What a kernel is compiled for: the bucket, the operator's input, the memory format, the CPU."""

    batch: int
    length: int
    rows: int
    """Rows of the operator's first input."""
    channels: int
    """Channels of the operator's first input."""
    zero_point: int
    """128 where memory holds narrow activations as uint8, else 0."""
    output_zero_point: int
    features: frozenset[str]

    @property
    def lanes(self) -> int:
        """int16 lanes of the widest vector."""
        return int16_lanes(self.features)


@dataclass(frozen=True)
class Kernel:
    """A scheduled PrimFunc, and the strategy it got. Its arguments: inputs, constants, further inputs, outputs."""

    function: PrimFunc
    leading_inputs: int
    """How many of the operator's inputs come before its constants; the others follow them."""
    strategy: str
    rejected: tuple[tuple[str, str], ...]


@singledispatch
def build_kernel(operator: Operator, shape: Shape) -> Kernel:
    """The kernel of ``operator`` for ``shape``."""
    raise AssertionError(f"no kernel is registered for {type(operator).__name__}")


def parameters(operator: Operator, shape: Shape) -> list[NDArray[Any]]:
    """The constants of ``operator`` as its kernel for ``shape`` reads them."""
    if isinstance(operator, Linear):
        layout = weight_layout(shape.features, operator.channels, operator.inputs)
        return operator.parameters(layout, shape.zero_point)
    return operator.parameters()


def structure(operator: Operator) -> Hashable:
    """What, beside the shape, two operators must share to run the same kernel: everything but their constants."""
    if isinstance(operator, Linear):
        return Linear, operator.structure
    if isinstance(operator, Embedding):
        return Embedding, operator.kind
    if isinstance(operator, RealOperator):
        return operator.structure
    if isinstance(operator, Attention):
        return Attention, operator.heads, operator.head_dim, operator.output.kind
    if isinstance(operator, DuplicateChannels):
        return DuplicateChannels, operator.channels
    if isinstance(operator, LayerNorm):
        return LayerNorm, operator.narrow.output.kind
    return type(operator)


def _scheduled(
    strategies: tuple[Strategy[Any], ...], kernel: PrimFunc, workload: Any, shape: Shape, inputs: int
) -> Kernel:
    selection = select(strategies, workload, shape.features)
    function = selection.strategy.schedule(kernel, workload)
    return Kernel(function, inputs, selection.strategy.name, selection.rejected)


@build_kernel.register
def _(operator: Linear, shape: Shape) -> Kernel:
    layout = weight_layout(shape.features, operator.channels, operator.inputs)
    kernel = linear_kernel(operator, shape.rows, layout, shape.zero_point, shape.output_zero_point)
    if operator.packing is not None:
        kernel = schedule_unpack(kernel, chunk_length(operator.weight.size), shape.lanes)
    workload = LinearWorkload(
        shape.rows, operator.channels, operator.inputs, layout, shape.zero_point != 0, shape.lanes
    )
    return _scheduled(LINEAR_STRATEGIES, kernel, workload, shape, 1)


@build_kernel.register
def _(operator: Attention, shape: Shape) -> Kernel:
    heads, head_dim = operator.heads, operator.head_dim
    workload = AttentionWorkload(shape.batch, shape.length, heads, head_dim, shape.output_zero_point != 0, shape.lanes)
    selection = select(ATTENTION_STRATEGIES, workload, shape.features)
    strategy = selection.strategy
    signs = OperandSigns(strategy.operand_signs)
    kernel = attention_kernel(
        shape.batch, shape.length, heads, head_dim, shape.output_zero_point, signs, operator.output
    )
    return Kernel(strategy.schedule(kernel, workload), 2, strategy.name, selection.rejected)


@build_kernel.register
def _(operator: LayerNorm, shape: Shape) -> Kernel:
    kernel = layer_norm_kernel(shape.rows, shape.channels, shape.output_zero_point, operator.narrow.output)
    workload = RowWorkload(shape.rows, shape.channels, shape.lanes)
    return _scheduled(LAYER_NORM_STRATEGIES, kernel, workload, shape, 1)


@build_kernel.register
def _(operator: Embedding, shape: Shape) -> Kernel:
    kernel = embedding_kernel(operator, shape.batch, shape.length)
    workload = RowWorkload(shape.batch * shape.length, operator.contiguous_channels, shape.lanes)
    return _scheduled(EMBEDDING_STRATEGIES, kernel, workload, shape, 1 if operator.token_type is None else 2)


@build_kernel.register
def _(operator: MeanPooling, shape: Shape) -> Kernel:
    kernel = mean_pooling_kernel(shape.batch, shape.length, shape.channels)
    workload = RowWorkload(shape.batch, shape.channels, shape.lanes)
    return _scheduled(MEAN_POOLING_STRATEGIES, kernel, workload, shape, 2)


@build_kernel.register
def _(operator: FirstToken, shape: Shape) -> Kernel:
    kernel = first_token_kernel(shape.batch, shape.length, shape.channels, shape.zero_point)
    workload = RowWorkload(shape.batch, shape.channels, shape.lanes)
    return _scheduled(FIRST_TOKEN_STRATEGIES, kernel, workload, shape, 2)


@build_kernel.register
def _(operator: DuplicateChannels, shape: Shape) -> Kernel:
    kernel = duplicate_channels_kernel(operator, shape.rows, shape.zero_point)
    workload = RowWorkload(shape.rows, math.gcd(operator.inputs, operator.channels), shape.lanes)
    return _scheduled(DUPLICATE_CHANNELS_STRATEGIES, kernel, workload, shape, 1)


@build_kernel.register
def _(operator: Tanh, shape: Shape) -> Kernel:
    kernel = tanh_kernel(shape.rows, shape.channels, shape.output_zero_point)
    workload = RowWorkload(shape.rows, shape.channels, shape.lanes)
    return _scheduled(TANH_STRATEGIES, kernel, workload, shape, 1)


@build_kernel.register
def _(operator: RealOperator, shape: Shape) -> Kernel:
    kernel = operator.kernel(Extents(shape.batch, shape.length, shape.rows, shape.channels, shape.output_zero_point))
    rows, channels = (int(extent) for extent in kernel.params[-operator.outputs].shape)
    workload = RealWorkload(
        rows,
        channels,
        shape.lanes // 2,
        shape.batch,
        shape.length,
        operator.attention_heads,
        bool(shape.features & {"avx512", "neon"}),
    )
    return _scheduled(REAL_STRATEGIES[operator.plan.value], kernel, workload, shape, operator.inputs)
