"""Training: a run that was killed ends as one that was not; what stops a run says the step and keeps the checkpoint."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from intbert.errors import OutputError, TrainingError
from intbert.quantization.float_model import FloatModel
from intbert.quantization.request import Training
from intbert.quantization.training.eight_bit import EightBit
from intbert.quantization.training.fake_quantization import FakeQuantization
from intbert.quantization.training.options import TrainingOptions
from intbert.quantization.training.student import Student
from intbert.quantization.training.trainer import Loss, parameter_groups, task_loss, train
from torch import Tensor, nn

from .tiny_task import tiny_task

OPTIONS = TrainingOptions(epochs=2, batch_size=12, checkpoint_steps=2, learning_rate=1e-2)
STEPS = 8
"""48 sentences, 4 batches an epoch."""


@pytest.fixture
def task(tmp_path: Path) -> tuple[FloatModel, Training]:
    return tiny_task(tmp_path)


def trained(model: FloatModel, training: Training, loss: Loss = task_loss, **options: Any) -> tuple[Student, Any]:
    student = Student(model, EightBit(model.architecture))
    record = train(student, training, replace(OPTIONS, **options), loss=loss)
    return student, record["training"]


def state(student: Student) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in student.state_dict().items()}


class Interrupted:
    """A loss that ends the run before a step, as Ctrl-C would."""

    def __init__(self, step: int, error: BaseException | None = None) -> None:
        self._steps = itertools.count(1)
        self._step, self._error = step, error or KeyboardInterrupt()

    def __call__(self, student: Student, batch: Mapping[str, Tensor]) -> Any:
        if next(self._steps) == self._step:
            raise self._error
        return task_loss(student, batch)


def test_the_loss_falls_and_the_record_says_how(task: tuple[FloatModel, Training]) -> None:
    model, training = task
    losses = []

    def loss(student: Student, batch: Mapping[str, Tensor]) -> Any:
        value, parts = task_loss(student, batch)
        losses.append(value.item())
        return value, parts

    _, record = trained(model, training, loss, epochs=12)
    assert np.mean(losses[-4:]) < 0.5 * np.mean(losses[:4])
    assert record["seed"] == 0
    assert record["steps"] == 48
    assert record["resumed_from_step"] is None
    assert record["examples"] == 48
    assert record["options"]["learning_rate"] == OPTIONS.learning_rate


@pytest.mark.parametrize("step", [2, 4, 5, 6, 8], ids=lambda step: f"before-{step}")
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(
    task: tuple[FloatModel, Training], tmp_path: Path, step: int
) -> None:
    model, training = task
    expected, _ = trained(model, replace(training, work=tmp_path / "other"))
    with pytest.raises(KeyboardInterrupt):
        trained(model, training, Interrupted(step))
    found, record = trained(model, training)
    assert record["resumed_from_step"] == ((step - 1) // 2 * 2 or None)
    assert record["steps"] == STEPS
    assert state(found) == state(expected)


def test_a_finished_run_is_not_trained_again(task: tuple[FloatModel, Training]) -> None:
    model, training = task
    expected, _ = trained(model, training)
    found, record = trained(model, training, Interrupted(1))
    assert record["resumed_from_step"] == STEPS
    assert state(found) == state(expected)


def test_a_checkpoint_that_was_being_written_is_left_out(task: tuple[FloatModel, Training], tmp_path: Path) -> None:
    model, training = task
    expected, _ = trained(model, replace(training, work=tmp_path / "other"))
    with pytest.raises(KeyboardInterrupt):
        trained(model, training, Interrupted(6))
    partial = training.work / "training" / "checkpoint-6"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")
    (partial / "trainer_state.json").write_text('{"global_step"')
    found, record = trained(model, training)
    assert record["resumed_from_step"] == 4
    assert state(found) == state(expected)


def test_two_checkpoints_are_kept(task: tuple[FloatModel, Training]) -> None:
    trained(*task)
    kept = sorted(path.name for path in (task[1].work / "training").glob("checkpoint-*"))
    assert kept == ["checkpoint-6", "checkpoint-8"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 1e-3}, "options was"),
        ({"seed": 1}, "seed was 0, now it is 1"),
        ({"model": 1}, "initial was"),
    ],
    ids=["options", "seed", "model"],
)
def test_another_runs_folder_is_refused(
    task: tuple[FloatModel, Training], change: dict[str, Any], message: str
) -> None:
    model, training = task
    trained(model, training)
    if "seed" in change:
        training = replace(training, seed=1)
    if "model" in change:
        bias = {"head.classifier.bias": np.ones(2, np.float32)}
        model = replace(model, weights={**model.weights, **bias})
    options = {"learning_rate": change["learning_rate"]} if "learning_rate" in change else {}
    with pytest.raises(TrainingError, match=f"holds another run's checkpoints .*{message}"):
        trained(model, training, **options)


@pytest.mark.parametrize(
    ("step", "kept"), [(1, "there is no checkpoint yet"), (6, "the last good checkpoint is .*checkpoint-4")]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_run(
    task: tuple[FloatModel, Training], step: int, kept: str, value: float
) -> None:
    model, training = task
    steps = itertools.count(1)

    def loss(student: Student, batch: Mapping[str, Tensor]) -> Any:
        found, parts = task_loss(student, batch)
        return (found * value if next(steps) == step else found), parts

    with pytest.raises(TrainingError, match=f"the loss of step {step} is {value}; {kept}.*lower learning rate"):
        trained(model, training, loss)
    checkpoints = [path.name for path in (training.work / "training").glob("checkpoint-*")]
    assert ("checkpoint-4" in checkpoints) == (step == 6)


def test_a_gradient_that_is_no_number_never_reaches_the_parameters(task: tuple[FloatModel, Training]) -> None:
    model, training = task
    student = Student(model)

    def loss(student: Student, batch: Mapping[str, Tensor]) -> Any:
        # sqrt has an infinite slope at 0: the loss is finite, its gradient is not.
        return task_loss(student, batch)[0] + torch.sqrt(0 * student.parameter("head.classifier.bias").sum()), {}

    with pytest.raises(TrainingError, match="the gradient of step 1 is nan"):
        train(student, training, OPTIONS, loss=loss)
    assert all(torch.isfinite(parameter).all() for parameter in student.parameters())


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("PytorchStreamWriter failed writing file")],
    ids=["system", "torch"],
)
def test_a_full_disk_is_named_and_leaves_the_last_checkpoint(
    task: tuple[FloatModel, Training], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    model, training = task
    save = transformers.Trainer._save_optimizer_and_scheduler

    def failing(trainer: transformers.Trainer, folder: str) -> None:
        save(trainer, folder)
        if folder.endswith("-4"):
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(transformers.Trainer, "_save_optimizer_and_scheduler", failing)
        with pytest.raises(OutputError, match=r"checkpoint-4 cannot be written .*the run goes on from .*checkpoint-2"):
            trained(model, training)
    assert not (training.work / "training" / "checkpoint-4").exists()
    assert trained(model, training)[1]["resumed_from_step"] == 2


def test_a_work_folder_that_cannot_be_made_is_named(task: tuple[FloatModel, Training], tmp_path: Path) -> None:
    model, training = task
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another work folder"):
        trained(model, replace(training, work=tmp_path / "file"))


class Shown:
    """A progress hook that remembers."""

    def __init__(self) -> None:
        self.total, self.steps, self.closed = 0, 0, False

    def __call__(self, iterable: Iterable[Any], description: str, total: int) -> Iterator[Any]:
        self.total = total
        try:
            for item in iterable:
                yield item
                self.steps += 1
        finally:
            self.closed = True


def test_progress_is_shown_from_the_step_where_a_run_goes_on(task: tuple[FloatModel, Training]) -> None:
    model, training = task
    first, second = Shown(), Shown()
    with pytest.raises(KeyboardInterrupt):
        train(Student(model), training, OPTIONS, loss=Interrupted(4), progress=first)
    train(Student(model), training, OPTIONS, progress=second)
    assert (first.total, first.steps, first.closed) == (STEPS, 3, True)
    assert (second.total, second.steps, second.closed) == (STEPS, STEPS, True)


class WithScale(FakeQuantization):
    """One parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))


def test_the_quantizers_parameters_have_their_own_learning_rate(task: tuple[FloatModel, Training]) -> None:
    student = Student(task[0], WithScale())
    student.parameter("embeddings.word.weight").requires_grad_(False)
    matrices, vectors, own = parameter_groups(student, replace(OPTIONS, quantizer_learning_rate=0.5))
    assert own["params"] == [student.fake_quantization.scale]
    assert (own["lr"], own["weight_decay"]) == (0.5, 0.0)
    assert (matrices["lr"], matrices["weight_decay"]) == (OPTIONS.learning_rate, OPTIONS.weight_decay)
    assert vectors["weight_decay"] == 0
    grouped = sum(len(group["params"]) for group in (matrices, vectors, own))
    assert grouped == len(list(student.parameters())) - 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"warmup": 1.5}, "warmup is 1.5"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"limit": -1}, "limit is -1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_that_cannot_train_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        TrainingOptions(**options)
