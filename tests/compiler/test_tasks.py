"""A model's tasks: every kernel once, with operands from an inference, and outputs that the compiled kernel returns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from intbert.compiler.artifact import Bucket
from intbert.compiler.kernel_library import build_kernel_library
from intbert.compiler.model import HeadKind, QuantizedModel
from intbert.compiler.tasks import Task, tasks_of
from intbert.rpc.on_board.kernels import KernelArguments, Request, measure
from intbert.rpc.telemetry import Sensors
from intbert.schedules.space import default_schedule, scheduled
from intbert.targets import get_target

from ..models import minilm, tiny_model

BUCKETS = (Bucket(16), Bucket(9, 2))
LAYERS = 6


def kinds(tasks: tuple[Task, ...]) -> set[str]:
    return {task.operator for task in tasks}


def test_every_kernel_of_a_model_is_one_task() -> None:
    tasks = tasks_of(minilm(), [Bucket(16)], get_target("host").features)
    calls = {(task.operator, task.shape): task.calls for task in tasks}
    assert len(calls) == len(tasks), "two tasks look the same to a user"
    assert sorted(calls.values()) == [1, 1, *[LAYERS] * 5, 1 + 2 * LAYERS]
    assert kinds(tasks) == {"embedding", "layer_norm", "linear", "attention", "mean_pooling"}


@pytest.mark.parametrize("head", [HeadKind.MEAN_POOLING, HeadKind.SEQUENCE_CLASSIFICATION], ids=lambda head: head.value)
@pytest.mark.parametrize("target", ["host", "x86-64-v3"])
def test_the_default_kernel_returns_what_a_task_expects(head: HeadKind, target: str, tmp_path: Path) -> None:
    machine = get_target(target)
    if not machine.features <= get_target("host").features:
        pytest.skip(f"this machine cannot run code for {target}")
    check(tiny_model("Bert", head), machine.name, tmp_path)


def check(model: QuantizedModel, target: str, folder: Path) -> None:
    machine = get_target(target)
    for number, task in enumerate(tasks_of(model, BUCKETS, machine.features)):
        for index, way in enumerate(task.alternatives):
            library, file = folder / f"{number}-{index}.so", folder / f"{number}-{index}.npz"
            schedule = default_schedule(way.strategy, way.kernel, way.workload)
            build_kernel_library(scheduled(way.strategy, schedule, way.workload), machine, library)
            arrays = task.arguments(way)
            np.savez(file, allow_pickle=False, **{str(i): array for i, array in enumerate(arrays)})
            request = Request(len(task.outputs), threads=1, repeats=1, least_ms=0.0)
            found = measure(library, KernelArguments(file), Sensors(cpus={0}), request)
            assert found["sha256"] == task.expected_sha256(way), f"{task.operator} {task.shape} {way.strategy.name}"


def test_the_same_tasks_every_time() -> None:
    features = get_target("host").features
    one, two = (tasks_of(tiny_model("Bert", HeadKind.MEAN_POOLING), BUCKETS, features) for _ in range(2))
    assert [task.expected_sha256(task.alternatives[0]) for task in one] == [
        task.expected_sha256(task.alternatives[0]) for task in two
    ]
