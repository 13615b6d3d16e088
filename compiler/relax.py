"""IntegerGraph -> Relax: one function a bucket; all buckets share one list of weights.

TVM removed Relay, its first graph IR, in 0.20; Relax took its place. Every operator becomes one ``call_tir`` of a
kernel that is scheduled already. Equal kernels (the same operator in every layer) are compiled once: whatever
differs between layers is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import relax

from ..schedules.linear import activation_zero_point
from ..targets.cuda import CUDA, Cuda
from .artifact import Bucket
from .costs import Cost, cost
from .cuda.capture import CAPTURED, CAPTURED_WEIGHT
from .graph import INPUTS, IntegerGraph, Step
from .kernels import Kernel, Shape, Tuned, build_kernel, parameters, structure
from .operators.attention import Attention


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
        same = (stored.shape, stored.dtype) == (array.shape, array.dtype)
        assert same, f"{operator}: the buckets disagree on its constants"
        return self._index[key]


@dataclass(frozen=True)
class Choice:
    """The strategy that one operator of one bucket got, why the better ones did not apply, and what a call costs."""

    bucket: Bucket
    operator: str
    strategy: str
    rejected: tuple[tuple[str, str], ...]
    tuning_record: str | None
    """The id of the record that its schedule is from; None: the default."""
    cost: Cost
    function: str
    """The module's function that runs it."""


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
    tuned: Tuned | None = None,
    progress: Callable[[str], None] = lambda _: None,
    gpu: Cuda | None = None,
) -> LoweredModule:
    """The Relax module whose functions ``main_b{batch}_t{length}`` run ``graph``, scheduled for ``features``; for a
    GPU that is known, ``gpu``, for its size too."""
    weights = WeightTable()
    lowered = []
    for bucket in buckets:
        lowered.append(list(_bucket_calls(graph, bucket, features, gpu, tuned, weights)))
        progress(bucket.function)
    builder = relax.BlockBuilder()
    choices: list[Choice] = []
    for bucket, calls in zip(buckets, lowered, strict=True):
        emitted = [_emit_function(builder, graph, bucket, calls, weights, way) for way in _ways(bucket, features)]
        choices += [_choice(bucket, *each) for each in zip(calls, emitted[0], strict=True)]
    last = next(call for call in lowered[0] if graph.output in call.step.outputs)
    output_types = dict(zip(last.step.outputs, _output_types(last.kernel, last.step), strict=True))
    return LoweredModule(builder.get(), weights, tuple(choices), output_types[graph.output][1])


@dataclass(frozen=True)
class Call:
    """A step of the graph in one bucket: the kernel that runs it, and where its constants lie."""

    step: Step
    kernel: Kernel
    weights: tuple[int, ...]
    cost: Cost


def _choice(bucket: Bucket, call: Call, function: str) -> Choice:
    name, kernel = call.step.operator.name, call.kernel
    return Choice(bucket, name, kernel.strategy, kernel.rejected, kernel.tuning_record, call.cost, function)


def _bucket_calls(
    graph: IntegerGraph,
    bucket: Bucket,
    features: frozenset[str],
    gpu: Cuda | None,
    tuned: Tuned | None,
    weights: WeightTable,
) -> Iterator[Call]:
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(INPUTS, (bucket.batch, bucket.length))
    kernels: dict[Any, Kernel] = {}
    for step in graph.steps:
        rows, channels = shapes[step.inputs[0]]
        shape = step_shape(graph, step, bucket, rows, channels, features, gpu)
        key = (structure(step.operator), shape)
        if key not in kernels:
            kernels[key] = build_kernel(step.operator, shape, tuned)
        constants = parameters(step.operator, shape)
        indices = tuple(weights.index(step.operator.name, i, array) for i, array in enumerate(constants))
        yield Call(step, kernels[key], indices, cost(step.operator, shape, kernels[key].function))
        types = _output_types(kernels[key], step)
        shapes.update({name: extents for name, (extents, _) in zip(step.outputs, types, strict=True)})


def step_shape(
    graph: IntegerGraph,
    step: Step,
    bucket: Bucket,
    rows: int,
    channels: int,
    features: frozenset[str],
    gpu: Cuda | None = None,
) -> Shape:
    """What the kernel of ``step`` is compiled for; its first input is [rows, channels]."""
    zero_point = activation_zero_point(features)
    # Attention multiplies narrow values with each other: they stay signed.
    signed = any(isinstance(c.operator, Attention) for name in step.outputs for c in graph.consumers(name))
    return Shape(bucket.batch, bucket.length, rows, channels, zero_point, 0 if signed else zero_point, features, gpu)


def _output_types(kernel: Kernel, step: Step) -> list[tuple[tuple[int, ...], str]]:
    """Shape and dtype of each output: the last arguments of the kernel."""
    buffers = kernel.function.params[-len(step.outputs) :]
    return [(tuple(int(extent) for extent in buffer.shape), str(buffer.dtype)) for buffer in buffers]


@dataclass(frozen=True)
class _Way:
    """How a bucket runs: the function ``name``, its attributes, and what takes a weight from their tuple there."""

    name: str
    attributes: Mapping[str, int] | None = None
    weight: str = "vm.builtin.tuple_getitem"


def _ways(bucket: Bucket, features: frozenset[str]) -> list[_Way]:
    """One, and on a GPU also as a CUDA graph."""
    if CUDA not in features:
        return [_Way(bucket.function)]
    return [_Way(bucket.function, CAPTURED, CAPTURED_WEIGHT), _Way(bucket.stepwise_function)]


def _emit_function(
    builder: relax.BlockBuilder,
    graph: IntegerGraph,
    bucket: Bucket,
    calls: Iterable[Call],
    weights: WeightTable,
    way: _Way,
) -> list[str]:
    """Emits a function of the bucket; the names of the functions that it calls."""
    functions: list[str] = []
    inputs = {name: relax.Var(name, relax.TensorType((bucket.batch, bucket.length), "int32")) for name in INPUTS}
    # Opaque to Relax: it would otherwise check every tensor of the tuple anew at every call.
    weight_tuple = relax.Var("weights", relax.AnyType())
    with builder.function(way.name, [*inputs.values(), weight_tuple], attrs=way.attributes):
        with builder.dataflow():
            values: dict[str, Any] = dict(inputs)
            for call in calls:
                # Its symbol would be the schedule's; Relax names it.
                function = builder.add_func(call.kernel.function.without_attr("global_symbol"), kernel_name(call.step))
                functions.append(function.name_hint)
                values.update(_emit_call(builder, call, function, values, weight_tuple, weights, way))
            output = values[graph.output]
            if graph.token_level:
                output = builder.emit(relax.op.reshape(output, (bucket.batch, bucket.length, -1)))
            result = builder.emit_output(output)
        builder.emit_func_output(result)
    return functions


def kernel_name(step: Step) -> str:
    """The operator's class in snake case: what profiles and traces show."""
    name = type(step.operator).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def _weight(builder: relax.BlockBuilder, weight_tuple: Any, index: int, array: NDArray[Any], way: _Way) -> Any:
    tensor = relax.TensorType(array.shape, str(array.dtype))
    return builder.emit(relax.call_pure_packed(way.weight, weight_tuple, relax.prim_value(index), ty_args=[tensor]))


def _emit_call(
    builder: relax.BlockBuilder,
    call: Call,
    function: Any,
    values: dict[str, Any],
    weight_tuple: Any,
    weights: WeightTable,
    way: _Way,
) -> dict[str, Any]:
    step, kernel = call.step, call.kernel
    inputs = [values[name] for name in step.inputs]
    constants = [_weight(builder, weight_tuple, index, weights.arrays[index], way) for index in call.weights]
    arguments = [*inputs[: kernel.leading_inputs], *constants, *inputs[kernel.leading_inputs :]]
    types = [relax.TensorType(shape, dtype) for shape, dtype in _output_types(kernel, step)]
    if len(types) == 1:
        return {step.outputs[0]: builder.emit(relax.call_tir(function, arguments, types[0]))}
    results = builder.emit(relax.call_tir(function, arguments, types))
    return {name: builder.emit(relax.TupleGetItem(results, i)) for i, name in enumerate(step.outputs)}
