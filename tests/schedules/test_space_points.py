"""Random points of every strategy's space, on all CPUs that this machine can stand in for: the oracle's bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tvm
from intbert.compiler.artifact import Bucket
from intbert.compiler.kernels import Alternative, Shape, alternatives
from intbert.compiler.model import HeadKind
from intbert.compiler.operators.attention import Attention
from intbert.compiler.tasks import Task, tasks_of
from intbert.schedules.attention import ATTENTION_STRATEGIES, AttentionWorkload
from intbert.schedules.linear import activation_zero_point
from intbert.targets.target import Target
from numpy.typing import NDArray

from .. import models
from ..compiler.operators.compiled import HOST, PROCESSORS, Processor
from ..devices.test_attention_kernels import QKV, SHAPES, attention, masks
from ..devices.test_float_kernels import LENGTH, ROWS, inputs_of
from ..devices.test_float_kernels import operators as float_operators
from .linear_cases import Array, arguments, compile_functions, layer
from .points import points

every_processor = pytest.mark.parametrize("processor", PROCESSORS)

POINTS = 2
"""Of a strategy for a kernel."""


@dataclass(frozen=True)
class Call:
    """A point of a space: arguments, outputs last, and the SHA-256 of the outputs' bytes."""

    words: str
    function: Any
    arguments: Sequence[Array]
    outputs: int
    sha256: str


def check(calls: Sequence[Call], target: Target) -> None:
    """Compiles all functions at once and compares what they return."""
    executable = compile_functions({f"point_{i}": call.function for i, call in enumerate(calls)}, target)
    for index, call in enumerate(calls):
        # Every byte of an output must be written: what it held before may not show.
        written = [np.full_like(array, 77) for array in call.arguments[-call.outputs :]]
        memory = [tvm.runtime.tensor(array) for array in (*call.arguments[: -call.outputs], *written)]
        executable[f"point_{index}"](*memory)
        digest = hashlib.sha256()
        for output in memory[-call.outputs :]:
            digest.update(output.numpy().data)
        assert digest.hexdigest() == call.sha256, call.words


def calls_of(
    way: Alternative, given: Sequence[Array], outputs: int, sha256: str, seed: int, count: int = POINTS
) -> list[Call]:
    return [
        Call(
            f"{way.words}, {way.strategy.name}, {name}, {schedule.trace}", way.finish(schedule), given, outputs, sha256
        )
        for name, schedule in points(way, count, seed)
    ]


def calls_of_tasks(tasks: Sequence[Task], count: int) -> list[Call]:
    return [
        call
        for number, task in enumerate(tasks)
        for way in task.alternatives
        for call in calls_of(way, task.arguments(way), len(task.outputs), task.expected_sha256(way), 10 * number, count)
    ]


MODELS: Mapping[str, tuple[models.Size, Bucket]] = {
    "even": (models.Size(hidden=64, heads=2, intermediate=96), Bucket(16)),
    "odd": (models.Size(), Bucket(9, 2)),
}


def here_and_elsewhere(values: Sequence[Any], ids: Sequence[str], elsewhere: int) -> Any:
    """All ``values`` on this machine, the first ``elsewhere`` on lesser ones too."""
    return pytest.mark.parametrize(
        ("processor", "case"),
        [
            pytest.param(*parameter.values, value, id=f"{parameter.id}-{name}", marks=parameter.marks)
            for parameter in PROCESSORS
            for number, (value, name) in enumerate(zip(values, ids, strict=True))
            if parameter.values[0] is HOST or number < elsewhere
        ],
    )


@here_and_elsewhere(list(MODELS.values()), list(MODELS), elsewhere=1)
def test_kernels_of_a_model(processor: Processor, case: tuple[models.Size, Bucket]) -> None:
    size, bucket = case
    target = processor.target()
    quantized = models.tiny_model("Bert", HeadKind.MEAN_POOLING, size)
    check(calls_of_tasks(tasks_of(quantized, [bucket], target.features), POINTS), target)


def test_kernels_of_minilm() -> None:
    target = HOST.target()
    tasks = tasks_of(models.minilm(), [Bucket(32)], target.features)
    check(calls_of_tasks(tasks, 1), target)


@every_processor
@pytest.mark.parametrize(
    ("rows", "channels", "inputs", "epilogue"),
    [(1, 96, 64, "narrow"), (7, 48, 64, "logits"), (3, 5, 64, "logits"), (16, 40, 36, "gelu_wide")],
    ids=["one-row", "seven-rows", "five-channels", "36-inputs"],
)
def test_linear(processor: Processor, rows: int, channels: int, inputs: int, epilogue: str) -> None:
    target = processor.target()
    zero_point = activation_zero_point(target.features)
    linear = layer(channels, inputs, epilogue)
    x = np.random.default_rng(rows).integers(-127, 128, (rows, inputs))
    given = arguments(linear, x, None, target)
    expected = linear.oracle(x)
    stored = (expected + (zero_point if given[-1].dtype == np.uint8 else 0)).astype(given[-1].dtype)
    shape = Shape(1, rows, rows, inputs, zero_point, zero_point, target.features)
    calls = [
        call for way in alternatives(linear, shape) for call in calls_of(way, given, 1, sha256(stored), seed=channels)
    ]
    check(calls, target)


@here_and_elsewhere(SHAPES, ["x".join(map(str, shape)) for shape in SHAPES], elsewhere=1)
def test_attention(processor: Processor, case: tuple[int, int, int, int]) -> None:
    batch, length, heads, head_dim = case
    target = processor.target()
    operator: Attention = attention(heads, head_dim)
    random = np.random.default_rng(length)
    qkv = QKV["random"](random, (batch * length, 3 * heads * head_dim)).astype(np.int64)
    mask = masks(random, batch, length)["padded"]
    expected = operator.oracle(qkv, mask).astype(np.int8)
    given = [qkv.astype(np.int8), mask.astype(np.int32), *operator.parameters(), expected]
    shape = Shape(batch, length, batch * length, 3 * heads * head_dim, 0, 0, target.features)
    calls = [
        call for way in alternatives(operator, shape) for call in calls_of(way, given, 1, sha256(expected), seed=length)
    ]
    check(calls, target)


@every_processor
def test_float_kernels(processor: Processor) -> None:
    target = processor.target()
    calls = []
    for name, operator in float_operators().items():
        inputs = inputs_of(name)
        expected = operator.oracle(*inputs)
        memory = [array if array.dtype == np.float32 else array.astype(np.int32) for array in inputs]
        shape = Shape(1, LENGTH, ROWS, inputs[0].shape[1], 0, 0, target.features)
        (way,) = alternatives(operator, shape)
        given = [*memory, *operator.parameters(), expected]
        calls += calls_of(way, given, 1, sha256(expected), seed=0)
    check(calls, target)


def test_every_strategy_that_this_machine_can_run_is_tested() -> None:
    rows, channels, inputs = 16, 96, 64
    processors = [parameter.values[0] for parameter in PROCESSORS if not parameter.marks]
    linear = layer(channels, inputs, "narrow")
    tested = {
        way.strategy.name
        for zero_point, features in ((each.zero_point, each.target().features) for each in processors)
        for way in alternatives(linear, Shape(1, rows, rows, inputs, zero_point, zero_point, features))
    }
    workload = AttentionWorkload(1, 64, 2, 64, True, 8)
    features = HOST.target().features
    assert tested == {each.name for each in ATTENTION_STRATEGIES if each.refuse(workload, features) is None}


def sha256(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
