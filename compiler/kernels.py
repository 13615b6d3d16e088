"""Operator -> compiled kernel: the strategy is chosen, the kernel built for it, its constants laid out for it.

One registered function an operator (``singledispatch``), so that a new operator adds one and changes none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import Any, TypeAlias

from numpy.typing import NDArray

from ..schedules.attention import AttentionWorkload
from ..schedules.attention_strategies import ATTENTION_STRATEGIES
from ..schedules.linear import LINEAR_STRATEGIES, LinearWorkload, weight_layout
from ..schedules.rows import (
    EMBEDDING_STRATEGIES,
    FIRST_TOKEN_STRATEGIES,
    LAYER_NORM_STRATEGIES,
    MEAN_POOLING_STRATEGIES,
    TANH_STRATEGIES,
    RowWorkload,
)
from ..schedules.strategy import select
from ..schedules.vectors import int16_lanes
from .graph import Operator
from .operators.attention import Attention, attention_kernel
from .operators.embedding import Embedding, embedding_kernel
from .operators.layer_norm import LayerNorm, layer_norm_kernel
from .operators.linear import Linear, linear_kernel
from .operators.pooling import FirstToken, MeanPooling, first_token_kernel, mean_pooling_kernel
from .operators.tanh import Tanh, tanh_kernel

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
    """A scheduled PrimFunc with its constants, and the strategy it got."""

    function: PrimFunc
    parameters: tuple[NDArray[Any], ...]
    """In the order of the function's arguments, between its inputs and its outputs (see ``leading_inputs``)."""
    leading_inputs: int
    """How many of the operator's inputs come before the parameters; the others follow them."""
    strategy: str
    rejected: tuple[tuple[str, str], ...]


@singledispatch
def build_kernel(operator: Operator, shape: Shape) -> Kernel:
    """The kernel of ``operator`` for ``shape``."""
    raise AssertionError(f"no kernel is registered for {type(operator).__name__}")


@build_kernel.register
def _(operator: Linear, shape: Shape) -> Kernel:
    layout = weight_layout(shape.features, operator.channels, operator.inputs)
    workload = LinearWorkload(
        shape.rows, operator.channels, operator.inputs, layout, shape.zero_point != 0, shape.lanes
    )
    selection = select(LINEAR_STRATEGIES, workload, shape.features)
    kernel = linear_kernel(operator, shape.rows, layout, shape.zero_point, shape.output_zero_point)
    parameters = tuple(operator.parameters(layout, shape.zero_point))
    function = selection.strategy.schedule(kernel, workload)
    return Kernel(function, parameters, 1, selection.strategy.name, selection.rejected)


@build_kernel.register
def _(operator: Attention, shape: Shape) -> Kernel:
    workload = AttentionWorkload(
        shape.batch, shape.length, operator.heads, operator.head_dim, shape.output_zero_point != 0, shape.lanes
    )
    selection = select(ATTENTION_STRATEGIES, workload, shape.features)
    kernel = attention_kernel(
        shape.batch, shape.length, operator.heads, operator.head_dim, shape.output_zero_point
    )
    function = selection.strategy.schedule(kernel, workload)
    return Kernel(function, tuple(operator.parameters()), 2, selection.strategy.name, selection.rejected)


def _row_kernel(
    strategies: Any, kernel: PrimFunc, rows: int, channels: int, shape: Shape, parameters: list[Any], inputs: int
) -> Kernel:
    workload = RowWorkload(rows, channels, shape.lanes)
    selection = select(strategies, workload, shape.features)
    function = selection.strategy.schedule(kernel, workload)
    return Kernel(function, tuple(parameters), inputs, selection.strategy.name, selection.rejected)


@build_kernel.register
def _(operator: LayerNorm, shape: Shape) -> Kernel:
    kernel = layer_norm_kernel(shape.rows, operator.channels, shape.output_zero_point)
    return _row_kernel(
        LAYER_NORM_STRATEGIES, kernel, shape.rows, operator.channels, shape, operator.parameters(), 1
    )


@build_kernel.register
def _(operator: Embedding, shape: Shape) -> Kernel:
    kernel = embedding_kernel(operator, shape.batch, shape.length)
    channels = operator.word.shape[1]
    inputs = 1 if operator.token_type is None else 2
    return _row_kernel(
        EMBEDDING_STRATEGIES, kernel, shape.rows, channels, shape, operator.parameters(), inputs
    )


@build_kernel.register
def _(operator: MeanPooling, shape: Shape) -> Kernel:
    kernel = mean_pooling_kernel(shape.batch, shape.length, shape.channels)
    return _row_kernel(MEAN_POOLING_STRATEGIES, kernel, shape.batch, shape.channels, shape, [], 2)


@build_kernel.register
def _(operator: FirstToken, shape: Shape) -> Kernel:
    kernel = first_token_kernel(shape.batch, shape.length, shape.channels, shape.zero_point)
    return _row_kernel(FIRST_TOKEN_STRATEGIES, kernel, shape.batch, shape.channels, shape, [], 1)


@build_kernel.register
def _(operator: Tanh, shape: Shape) -> Kernel:
    kernel = tanh_kernel(shape.rows, shape.channels, shape.output_zero_point)
    return _row_kernel(TANH_STRATEGIES, kernel, shape.rows, shape.channels, shape, operator.parameters(), 1)
