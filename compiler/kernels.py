"""Operator -> kernel: the ways to schedule it, and the one that is compiled.

One registered function an operator (``singledispatch``), so that a new operator adds one and changes none. What it
returns depends on the operator's structure and shape only, never on its constants: those are arguments, laid out by
:func:`parameters`. So the layers of a model share their kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, TypeAlias, TypeVar

from numpy.typing import NDArray
from tvm import IRModule
from tvm.s_tir import Schedule

from ..schedules import cuda
from ..schedules.attention import ATTENTION_STRATEGIES, AttentionStrategy, AttentionWorkload
from ..schedules.layout import PADDED_ROWS, PackedLayout
from ..schedules.linear import LINEAR_STRATEGIES, LinearWorkload, weight_layout
from ..schedules.lookup.operands import lookup_operands
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
from ..schedules.space import default_schedule, nearest, replay, scheduled
from ..schedules.strategy import PrimFunc, Strategy
from ..schedules.tuning_log.workload import structural_hash
from ..schedules.vectors import int16_lanes
from ..targets.cuda import CUDA, Cuda
from .graph import Operator
from .operators.attention import Attention, attention_kernel
from .operators.attention_scores import OperandSigns
from .operators.duplicate_channels import DuplicateChannels, duplicate_channels_kernel
from .operators.embedding import Embedding, embedding_kernel
from .operators.layer_norm import LayerNorm, layer_norm_kernel
from .operators.linear import Linear, WeightOperands, linear_kernel
from .operators.pooling import FirstToken, MeanPooling, first_token_kernel, mean_pooling_kernel
from .operators.real.operator import Extents, RealOperator
from .operators.tanh import Tanh, tanh_kernel
from .operators.unpack import packed_weight

Strategies = TypeVar("Strategies")


@dataclass(frozen=True)
class Shape:
    """What a kernel is compiled for: the bucket, the operator's input, the memory format, the CPU or GPU."""

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
    gpu: Cuda | None = None
    """None: a CPU, or any GPU with the features."""

    @property
    def lanes(self) -> int:
        """int16 lanes of the widest vector."""
        return int16_lanes(self.features)


@dataclass(frozen=True)
class Alternative:
    """One strategy for an operator: what it schedules, and for which shape."""

    strategy: Strategy[Any]
    kernel: PrimFunc
    """Unscheduled. Its arguments: inputs, constants, further inputs, outputs."""
    workload: Any
    leading_inputs: int
    """How many of the operator's inputs come before its constants; the others follow them."""
    words: str
    """The operator and its shape, for displays."""
    rejected: tuple[tuple[str, str], ...]
    """The better strategies, which refused, and why."""

    def default(self) -> Schedule:
        """The schedule that is taken without tuning."""
        return default_schedule(self.strategy, self.kernel, self.workload)

    def finish(self, schedule: Schedule) -> PrimFunc:
        """What ``schedule``, a point of the strategy's space, has made of the kernel."""
        return scheduled(self.strategy, schedule, self.workload)

    def replay(self, trace: str) -> PrimFunc:
        """The kernel scheduled as ``trace`` says. Raises TraceError where that is no point of the strategy's space."""
        return replay(self.strategy, self.kernel, self.workload, trace)

    def nearest(self, trace: str) -> Schedule | None:
        """The point of the strategy's space that is most like ``trace``, which was made for another kernel."""
        return nearest(self.strategy, self.kernel, self.workload, trace)


@dataclass(frozen=True)
class Kernel:
    """A scheduled PrimFunc, and the strategy it got. Its arguments: inputs, constants, further inputs, outputs."""

    function: PrimFunc
    leading_inputs: int
    """How many of the operator's inputs come before its constants; the others follow them."""
    strategy: str
    rejected: tuple[tuple[str, str], ...]
    tuning_record: str | None
    """The id of the record that its schedule is from; None: the default."""


@dataclass(frozen=True)
class TunedKernel:
    """An alternative, scheduled as the record of a tuning log says."""

    alternative: Alternative
    function: PrimFunc
    record_id: str


Tuned: TypeAlias = Callable[[Sequence[Alternative]], TunedKernel | None]
"""Gets the alternatives of an operator; None: the default of the first is to be taken."""


def build_kernel(operator: Operator, shape: Shape, tuned: Tuned | None = None) -> Kernel:
    """The kernel of ``operator`` for ``shape``."""
    chosen = None if tuned is None else tuned(alternatives(operator, shape))
    alternative = next(_alternatives(operator, shape)) if chosen is None else chosen.alternative
    function = alternative.finish(alternative.default()) if chosen is None else chosen.function
    record_id = None if chosen is None else chosen.record_id
    return Kernel(function, alternative.leading_inputs, alternative.strategy.name, alternative.rejected, record_id)


def alternatives(operator: Operator, shape: Shape) -> tuple[Alternative, ...]:
    """The strategies that can run ``operator``, best first; there is always one."""
    return tuple(_alternatives(operator, shape))


def _alternatives(operator: Operator, shape: Shape) -> Iterator[Alternative]:
    definition = define(operator, shape)
    rejected: list[tuple[str, str]] = []
    for strategy in definition.strategies:
        reason = strategy.refuse(definition.workload, shape.features)
        if reason is None:
            yield Alternative(
                strategy,
                definition.kernel(strategy),
                definition.workload,
                definition.leading_inputs,
                definition.words,
                tuple(rejected),
            )
        else:
            rejected.append((strategy.name, reason))
    assert len(rejected) < len(definition.strategies), f"every strategy refused {definition.workload}: {rejected}"


def workload_hash(kernel: PrimFunc) -> str:
    """What identifies an unscheduled kernel in a tuning log, whatever its name is: 16 hexadecimal digits."""
    return structural_hash(IRModule({"main": kernel.with_attr("global_symbol", "main")}))


@dataclass(frozen=True)
class Definition:
    """An operator of one shape: its unscheduled kernel, and who may schedule it."""

    strategies: Sequence[Strategy[Any]]
    workload: Any
    kernel: Callable[[Any], PrimFunc]
    """For a strategy."""
    leading_inputs: int
    words: str


@singledispatch
def define(operator: Operator, shape: Shape) -> Definition:
    """What there is to schedule of ``operator`` for ``shape``."""
    raise AssertionError(f"no kernel is registered for {type(operator).__name__}")


def parameters(operator: Operator, shape: Shape) -> list[NDArray[Any]]:
    """The constants of ``operator`` as its kernel for ``shape`` reads them."""
    if isinstance(operator, Linear):
        return operator.parameters(weight_operands(operator, shape.features, shape.zero_point), shape.zero_point)
    return operator.parameters()


def weight_operands(operator: Linear, features: frozenset[str], zero_point: int) -> WeightOperands:
    """How the weight of ``operator`` lies in memory: the same for every length."""
    if CUDA in features and operator.packing is not None:
        return PADDED_ROWS
    levels = operator.levels
    lookup = levels and lookup_operands(
        features, zero_point != 0, levels, operator.channels, operator.inputs, operator.reach, operator.gain
    )
    return lookup or weight_layout(features, operator.channels, operator.inputs)


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


def _on(shape: Shape, of_cpus: Strategies, of_gpus: Strategies) -> Strategies:
    """The strategies of what runs the kernels."""
    return of_gpus if CUDA in shape.features else of_cpus


def _of_one_kernel(
    strategies: Sequence[Strategy[Any]], kernel: PrimFunc, workload: Any, leading_inputs: int, words: str
) -> Definition:
    """A definition whose kernel is the same for all strategies."""
    return Definition(strategies, workload, lambda _: kernel, leading_inputs, words)


@define.register
def _(operator: Linear, shape: Shape) -> Definition:
    operands = weight_operands(operator, shape.features, shape.zero_point)
    kernel = linear_kernel(operator, shape.rows, operands, shape.zero_point, shape.output_zero_point)
    packing = operator.packing
    packed = None
    if packing is not None and isinstance(operands, PackedLayout):
        packed = packed_weight(packing, operator.added_values, operands, operator.inputs, operator.gain)
    workload = LinearWorkload(
        shape.rows,
        operator.channels,
        operator.inputs,
        operands,
        shape.zero_point != 0,
        shape.lanes,
        packed,
        operator.activation_bits,
        shape.gpu,
    )
    weights = "int8" if packing is None else f"{packing.bits}-bit"
    words = (
        f"linear {shape.rows} x {operator.channels} x {operator.inputs}, {weights}, "
        f"{operator.epilogue.kind.replace('_', ' ')}"
    )
    of_gpus = cuda.LINEAR_STRATEGIES if packed is None else cuda.PACKED_LINEAR_STRATEGIES
    return _of_one_kernel(_on(shape, LINEAR_STRATEGIES, of_gpus), kernel, workload, 1, words)


@define.register
def _(operator: Attention, shape: Shape) -> Definition:
    heads, head_dim = operator.heads, operator.head_dim
    workload = AttentionWorkload(shape.batch, shape.length, heads, head_dim, shape.output_zero_point != 0, shape.lanes)

    def kernel(strategy: AttentionStrategy) -> PrimFunc:
        signs = OperandSigns(strategy.operand_signs)
        return attention_kernel(
            shape.batch, shape.length, heads, head_dim, shape.output_zero_point, signs, operator.output
        )

    words = f"attention {shape.batch} x {shape.length}, {heads} heads of {head_dim}"
    return Definition(_on(shape, ATTENTION_STRATEGIES, cuda.ATTENTION_STRATEGIES), workload, kernel, 2, words)


@define.register
def _(operator: LayerNorm, shape: Shape) -> Definition:
    kernel = layer_norm_kernel(shape.rows, shape.channels, shape.output_zero_point, operator.narrow.output)
    workload = RowWorkload(shape.rows, shape.channels, shape.lanes)
    return _of_one_kernel(
        _on(shape, LAYER_NORM_STRATEGIES, cuda.LAYER_NORM_STRATEGIES),
        kernel,
        workload,
        1,
        f"layer norm {shape.rows} x {shape.channels}",
    )


@define.register
def _(operator: Embedding, shape: Shape) -> Definition:
    kernel = embedding_kernel(operator, shape.batch, shape.length)
    rows, hidden = shape.batch * shape.length, operator.word.shape[1]
    workload = RowWorkload(rows, operator.contiguous_channels, shape.lanes)
    inputs = 1 if operator.token_type is None else 2
    return _of_one_kernel(
        _on(shape, EMBEDDING_STRATEGIES, cuda.EMBEDDING_STRATEGIES),
        kernel,
        workload,
        inputs,
        f"embedding {rows} x {hidden}",
    )


@define.register
def _(operator: MeanPooling, shape: Shape) -> Definition:
    kernel = mean_pooling_kernel(shape.batch, shape.length, shape.channels)
    workload = RowWorkload(shape.batch, shape.channels, shape.lanes)
    words = f"mean pooling {shape.batch} x {shape.length} x {shape.channels}"
    return _of_one_kernel(_on(shape, MEAN_POOLING_STRATEGIES, cuda.MEAN_POOLING_STRATEGIES), kernel, workload, 2, words)


@define.register
def _(operator: FirstToken, shape: Shape) -> Definition:
    kernel = first_token_kernel(shape.batch, shape.length, shape.channels, shape.zero_point)
    workload = RowWorkload(shape.batch, shape.channels, shape.lanes)
    words = f"first token {shape.batch} x {shape.length} x {shape.channels}"
    return _of_one_kernel(_on(shape, FIRST_TOKEN_STRATEGIES, cuda.FIRST_TOKEN_STRATEGIES), kernel, workload, 2, words)


@define.register
def _(operator: DuplicateChannels, shape: Shape) -> Definition:
    kernel = duplicate_channels_kernel(operator, shape.rows, shape.zero_point)
    workload = RowWorkload(shape.rows, math.gcd(operator.inputs, operator.channels), shape.lanes)
    words = f"duplicate channels {shape.rows} x {operator.inputs} to {operator.channels}"
    return _of_one_kernel(
        _on(shape, DUPLICATE_CHANNELS_STRATEGIES, cuda.DUPLICATE_CHANNELS_STRATEGIES), kernel, workload, 1, words
    )


@define.register
def _(operator: Tanh, shape: Shape) -> Definition:
    kernel = tanh_kernel(shape.rows, shape.channels, shape.output_zero_point)
    workload = RowWorkload(shape.rows, shape.channels, shape.lanes)
    return _of_one_kernel(
        _on(shape, TANH_STRATEGIES, cuda.TANH_STRATEGIES), kernel, workload, 1, f"tanh {shape.rows} x {shape.channels}"
    )


@define.register
def _(operator: RealOperator, shape: Shape) -> Definition:
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
    plan = operator.plan.value
    words = f"float {plan.replace('_', ' ')} {rows} x {channels}"
    return _of_one_kernel(
        _on(shape, REAL_STRATEGIES, cuda.REAL_STRATEGIES)[plan], kernel, workload, operator.inputs, words
    )
