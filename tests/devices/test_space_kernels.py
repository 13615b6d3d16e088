"""Random points of the spaces of Arm's strategies on emulated CPUs: the oracle's bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intbert.compiler.artifact import Bucket
from intbert.compiler.kernels import Shape, alternatives
from intbert.compiler.model import HeadKind
from intbert.compiler.tasks import tasks_of
from intbert.targets import get_target

from .. import models
from ..compiler.operators.real.floats import assert_same_bytes
from ..schedules.linear_cases import Array, arguments, layer
from ..schedules.points import points
from .kernels import run_on_board
from .test_float_kernels import LENGTH, ROWS, inputs_of, operators
from .virtual_board import I8MM_CPU, VirtualBoard

Boards = Callable[[str], VirtualBoard]
Point = tuple[Any, list[Array], Array]
"""A function, its arguments, the output the last, and what it must write there."""

POINTS = 2

every_board = pytest.mark.parametrize(
    ("target_name", "cpu"),
    [
        pytest.param("rpi4", "cortex-a72", id="rpi4-cortex-a72"),
        pytest.param("rpi5", "cortex-a76", id="rpi5-cortex-a76"),
        pytest.param("aarch64-i8mm", I8MM_CPU, id="i8mm"),
    ],
)


def of_a_model(features: frozenset[str]) -> dict[str, Point]:
    """Every kernel with one output of a small model: linear layers with their epilogues, attention, pooling."""
    model = models.tiny_model("Bert", HeadKind.MEAN_POOLING, models.Size(hidden=64, heads=2, intermediate=192))
    found = {}
    for number, task in enumerate(tasks_of(model, [Bucket(16)], features)):
        output, *others = task.outputs
        if others:
            continue
        way = task.alternatives[0]
        given = task.arguments(way)
        expected = output.astype(given[-1].dtype).reshape(given[-1].shape)
        given[-1] = np.full_like(given[-1], 77)
        for index, (_, schedule) in enumerate(points(way, POINTS, number)):
            found[f"{task.operator}_{number}_{index}"] = way.finish(schedule), given, expected
    return found


def of_layers(target_name: str) -> dict[str, Point]:
    """Linear layers of few rows and of MiniLM's sizes."""
    target = get_target(target_name)
    found = {}
    for rows, channels, inputs in ((1, 96, 64), (7, 48, 64), (32, 384, 384)):
        linear = layer(channels, inputs, "narrow")
        x = np.random.default_rng(rows).integers(-127, 128, (rows, inputs))
        given, expected = arguments(linear, x, None, target), linear.oracle(x).astype(np.int8)
        way = alternatives(linear, Shape(1, rows, rows, inputs, 0, 0, target.features))[0]
        for index, (_, schedule) in enumerate(points(way, 2 * POINTS, rows)):
            found[f"linear_{rows}_{channels}_{index}"] = way.finish(schedule), given, expected
    return found


def of_float_operators(features: frozenset[str]) -> dict[str, Point]:
    found = {}
    for name, operator in operators().items():
        inputs = inputs_of(name)
        (way,) = alternatives(operator, Shape(1, LENGTH, ROWS, inputs[0].shape[1], 0, 0, features))
        expected = operator.oracle(*inputs)
        memory = [array if array.dtype == np.float32 else array.astype(np.int32) for array in inputs]
        given = [*memory, *operator.parameters(), np.full_like(expected, 77)]
        for index, (_, schedule) in enumerate(points(way, POINTS)):
            found[f"{name}_{index}"] = way.finish(schedule), given, expected
    return found


@every_board
def test_points_give_the_oracles_bytes(boards: Boards, tmp_path: Path, target_name: str, cpu: str) -> None:
    target = get_target(target_name)
    drawn = {**of_a_model(target.features), **of_layers(target_name), **of_float_operators(target.features)}
    functions = {name: function for name, (function, _, _) in drawn.items()}
    calls = {f"{name}/case": given for name, (_, given, _) in drawn.items()}
    outputs = run_on_board(boards(cpu), target, functions, calls, tmp_path)
    for name, (_, _, expected) in drawn.items():
        assert_same_bytes(outputs[f"{name}/case"], expected)
