"""Estimates of real kernels: no work is missed, more work costs more, and threads share it."""

from __future__ import annotations

import pytest
from intbert.compiler.artifact import Bucket
from intbert.compiler.estimation import Estimate, estimate_kernel
from intbert.compiler.estimation.meters import InstructionMeter
from intbert.compiler.model import HeadKind
from intbert.compiler.tasks import Task, tasks_of
from intbert.targets import get_target
from intbert.targets.features import host_arch

from ...models import Size, tiny_model

METER = InstructionMeter()
LEAST_LANES = {"rpi4": 8, "rpi5": 16, "x86-64-v3": 32}
"""Products that an instruction of the linear kernels' inner loop does."""


def tasks(target: str, length: int) -> dict[str, list[Task]]:
    model = tiny_model("Bert", HeadKind.MEAN_POOLING, Size(hidden=64, heads=2, intermediate=128))
    found: dict[str, list[Task]] = {}
    for task in tasks_of(model, [Bucket(length)], get_target(target).features):
        found.setdefault(task.operator, []).append(task)
    return found


def estimate(task: Task, target: str, threads: int = 1) -> Estimate:
    alternative = task.alternatives[0]
    return estimate_kernel(alternative.finish(alternative.default()), get_target(target), threads, METER)


@pytest.mark.parametrize("target", [pytest.param(name, id=name) for name in LEAST_LANES])
def test_every_kernel_has_an_estimate(target: str) -> None:
    for task in (each for group in tasks(target, 16).values() for each in group):
        found = estimate(task, target)
        assert found.cycles == found.instructions > sum(output.size for output in task.outputs) / 64, task.operator


@pytest.mark.parametrize(("target", "lanes"), [pytest.param(*each, id=each[0]) for each in LEAST_LANES.items()])
def test_the_instructions_of_a_linear_kernel(target: str, lanes: int) -> None:
    """Not fewer than its products need, and not many more."""
    for task in tasks(target, 16)["linear"]:
        rows, columns, inner = (int(word.strip(",")) for word in task.shape.split(" ")[0:5:2])
        least = rows * columns * inner / lanes
        assert least < estimate(task, target).instructions < 8 * least, task.shape


def test_twice_the_rows_are_twice_the_work() -> None:
    few, many = tasks("rpi5", 8)["linear"][0], tasks("rpi5", 16)["linear"][0]
    ratio = estimate(many, "rpi5").instructions / estimate(few, "rpi5").instructions
    assert 1.8 < ratio < 2.2


def test_threads_share_the_work() -> None:
    model = tiny_model("Bert", HeadKind.MEAN_POOLING, Size(hidden=256, heads=4, intermediate=256))
    task = next(
        each for each in tasks_of(model, [Bucket(16)], get_target("rpi5").features) if each.operator == "linear"
    )
    assert estimate(task, "rpi5", 2).instructions < 0.7 * estimate(task, "rpi5").instructions


def test_this_machine() -> None:
    if host_arch() not in ("x86_64", "aarch64"):
        pytest.skip("this machine is no target")
    assert estimate(tasks("host", 16)["linear"][0], "host").seconds > 0
