"""IntegerGraph -> Relax: one function a bucket; all buckets share one list of weights.

TVM removed Relay, its first graph IR, in 0.20; Relax took its place. Every operator becomes one ``call_tir`` of a
kernel that is scheduled already. Equal kernels (the same operator in every layer) are compiled once: whatever
differs between layers is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import relax

from ..schedules.linear import activation_zero_point
from .artifact import Bucket
from .graph import ATTENTION_MASK, INPUT_IDS, INPUTS, TOKEN_TYPE_IDS, IntegerGraph, Step
from .kernels import Kernel, Shape, build_kernel
from .operators.attention import Attention

NARROW_DTYPES = ("int8", "uint8")


@dataclass
class WeightTable:
    """The constants of all kernels, each stored once, in the order in which the buckets' functions take them."""

    names: list[str] = field(default_factory=list)
    arrays: list[NDArray[Any]] = field(default_factory=list)
    _index: dict[tuple[str, int], int] = field(default_factory=dict)

    def index(self, operator: str, position: int, array: NDArray[Any]) -> int:
        """Where the ``position``-th constant of ``operator`` lies; adds it the first time.

        Its bytes must not depend on the bucket: that is what lets the buckets share it.
        """
        key = (operator, position)
        if key not in self._index:
            self._index[key] = len(self.arrays)
            self.names.append(f"{operator}.{position}")
            self.arrays.append(np.ascontiguousarray(array))
        stored = self.arrays[self._index[key]]
        assert stored.shape == array.shape and stored.dtype == array.dtype, f"{operator}: buckets disagree"
        return self._index[key]


@dataclass(frozen=True)
class Choice:
    """The strategy that one operator of one bucket got, and why the better ones did not apply."""

    bucket: Bucket
    operator: str
    strategy: str
    rejected: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class LoweredModule:
    """The Relax module of all buckets, its weights, and the strategies."""

    module: Any
    weights: WeightTable
    choices: tuple[Choice, ...]
    output_dtype: str


def lower_to_relax(
    graph: IntegerGraph,
    buckets: Sequence[Bucket],
    features: frozenset[str],
    progress: Callable[[str], None] = lambda _: None,
) -> LoweredModule:
    """The Relax module whose functions ``main_b{batch}_t{length}`` run ``graph``, scheduled for ``features``."""
    weights = WeightTable()
    lowered: list[list[tuple[Step, Kernel]]] = []
    for bucket in buckets:
        lowered.append(_bucket_kernels(graph, bucket, features))
        for step, kernel in lowered[-1]:
            for position, array in enumerate(kernel.parameters):
                weights.index(step.operator.name, position, array)
        progress(bucket.function)
    builder = relax.BlockBuilder()
    for bucket, kernels in zip(buckets, lowered, strict=True):
        _emit_function(builder, graph, bucket, kernels, weights)
    choices = tuple(
        Choice(bucket, step.operator.name, kernel.strategy, kernel.rejected)
        for bucket, kernels in zip(buckets, lowered, strict=True)
        for step, kernel in kernels
    )
    output = next(kernel for step, kernel in lowered[0] if graph.output in step.outputs)
    position = graph.producer(graph.output).outputs.index(graph.output)
    return LoweredModule(builder.get(), weights, choices, _output_types(output, graph.producer(graph.output))[position][1])


def _bucket_kernels(graph: IntegerGraph, bucket: Bucket, features: frozenset[str]) -> list[tuple[Step, Kernel]]:
    zero_point = activation_zero_point(features)
    shapes: dict[str, tuple[int, ...]] = {name: (bucket.batch, bucket.length) for name in INPUTS}
    kernels = []
    cache: dict[Any, Kernel] = {}
    for step in graph.steps:
        rows, channels = shapes[step.inputs[0]]
        rows = bucket.batch * bucket.length if step.inputs[0] == INPUT_IDS else rows
        # Attention multiplies narrow values with each other: they stay signed.
        signed = any(isinstance(c.operator, Attention) for name in step.outputs for c in graph.consumers(name))
        shape = Shape(bucket.batch, bucket.length, rows, channels, zero_point, 0 if signed else zero_point, features)
        kernel = build_kernel(step.operator, shape)
        cache[step.operator.name] = kernel
        for name, (extents, _) in zip(step.outputs, _output_types(kernel, step), strict=True):
            shapes[name] = extents
        kernels.append((step, kernel))
    return kernels


def _output_types(kernel: Kernel, step: Step) -> list[tuple[tuple[int, ...], str]]:
    """Shape and dtype of each output: the last arguments of the kernel."""
    buffers = kernel.function.params[-len(step.outputs) :]
    return [(tuple(int(extent) for extent in buffer.shape), str(buffer.dtype)) for buffer in buffers]


def _emit_function(
    builder: relax.BlockBuilder,
    graph: IntegerGraph,
    bucket: Bucket,
    kernels: Iterable[tuple[Step, Kernel]],
    weights: WeightTable,
) -> None:
    inputs = {name: relax.Var(name, relax.TensorType((bucket.batch, bucket.length), "int32")) for name in INPUTS}
    types = [relax.TensorType(array.shape, str(array.dtype)) for array in weights.arrays]
    weight_tuple = relax.Var("weights", relax.TupleType(types))
    with builder.function(bucket.function, [*inputs.values(), weight_tuple]):
        with builder.dataflow():
            values: dict[str, Any] = dict(inputs)
            for step, kernel in kernels:
                values.update(_emit_step(builder, step, kernel, values, weight_tuple, weights))
            output = values[graph.output]
            if _is_token_level(graph, output, bucket):
                output = builder.emit(relax.op.reshape(output, (bucket.batch, bucket.length, -1)))
            result = builder.emit_output(output)
        builder.emit_func_output(result)


def _is_token_level(graph: IntegerGraph, output: Any, bucket: Bucket) -> bool:
    from .operators.pooling import MeanPooling

    producer = graph.producer(graph.output).operator
    pooled = any(step.operator.name == "head.first_token" for step in graph.steps)
    return not isinstance(producer, MeanPooling) and not pooled


def _kernel_name(step: Step) -> str:
    """The operator's class in snake case: what profiles and traces show."""
    name = type(step.operator).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def _emit_step(
    builder: relax.BlockBuilder,
    step: Step,
    kernel: Kernel,
    values: dict[str, Any],
    weight_tuple: Any,
    weights: WeightTable,
) -> dict[str, Any]:
    function = builder.add_func(kernel.function.without_attr("global_symbol"), _kernel_name(step))
    inputs = [values[name] for name in step.inputs]
    if len(inputs) + len(kernel.parameters) + len(step.outputs) > len(kernel.function.params):
        inputs = inputs[: len(kernel.function.params) - len(kernel.parameters) - len(step.outputs)]
    constants = [
        builder.emit(relax.TupleGetItem(weight_tuple, weights.index(step.operator.name, position, array)))
        for position, array in enumerate(kernel.parameters)
    ]
    arguments = [*inputs[: kernel.leading_inputs], *constants, *inputs[kernel.leading_inputs :]]
    types = [relax.TensorType(shape, dtype) for shape, dtype in _output_types(kernel, step)]
    if len(types) == 1:
        return {step.outputs[0]: builder.emit(relax.call_tir(function, arguments, types[0]))}
    results = builder.emit(relax.call_tir(function, arguments, types))
    return {name: builder.emit(relax.TupleGetItem(results, i)) for i, name in enumerate(step.outputs)}


__all__ = ["ATTENTION_MASK", "TOKEN_TYPE_IDS", "LoweredModule", "lower_to_relax"]
