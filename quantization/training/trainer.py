"""Training with Hugging Face's Trainer: what is ours is the order of the data, the losses, and how a run ends."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from ...errors import OutputError, TrainingError
from ..progress import Progress, silent
from ..request import Training
from .checkpoints import claim, fingerprint, last_checkpoint, remove_incomplete
from .options import TrainingOptions
from .student import Student
from .tasks import Collator, LengthGroupedBatches, TokenizedExample, describe_examples, training_set

Loss = Callable[[Student, Mapping[str, Tensor]], tuple[Tensor, Mapping[str, float]]]
"""Student and a batch (``input_ids``, ``attention_mask``, ``token_type_ids``, ``labels``) -> the
loss, and its parts to be recorded."""

LOG_STEPS = 50
MAX_GRADIENT_NORM = 1.0
QUANTIZER_EPSILON = 1e-14
"""AdamW's epsilon for the quantizer's parameters: the usual 1e-8 is more than the gradients of learned step sizes,
which LSQ divides by the square root of the number of values."""
KEPT_CHECKPOINTS = 2


def task_loss(student: Student, batch: Mapping[str, Tensor]) -> tuple[Tensor, Mapping[str, float]]:
    """The objective's own loss."""
    return student(**batch)["loss"], {}


def train(
    student: Student,
    training: Training,
    options: TrainingOptions,
    *,
    loss: Loss = task_loss,
    progress: Progress = silent,
    stage: str = "training",
    recipe: Mapping[str, Any] | None = None,
    examples: Sequence[TokenizedExample] | None = None,
) -> dict[str, Any]:
    """Trains ``student`` in place and returns what belongs into the provenance.

    Checkpoints lie in ``training.work / stage``; a run that was killed goes on from the last of them and ends with
    the same parameters as one that was not. ``recipe`` is what else must be the same for that (the method's scheme).
    ``examples`` replaces the training set of ``training.task``.

    Raises TrainingError: a head that does not fit the task, another run's work folder, a loss or a gradient that is
    NaN or infinite (the last good checkpoint stays). EvaluationError: no such data. OutputError: a checkpoint cannot
    be written.
    """
    folder = training.work / stage
    model = student.to_float_model()
    if examples is None:
        examples = training_set(
            model,
            training.task,
            training.data,
            limit=options.limit,
            seed=training.seed,
            max_length=options.max_length,
        )
    described = {
        "task": training.task,
        "seed": training.seed,
        "options": asdict(options),
        **describe_examples(examples),
        **(recipe or {}),
    }
    claim(folder, {**described, "initial": fingerprint(student)})
    remove_incomplete(folder)
    begun = last_checkpoint(folder)
    trainer = _trainer(student, loss, examples, folder, training.seed, options, progress)
    started = time.monotonic()
    try:
        trainer.train(resume_from_checkpoint=None if begun is None else str(begun))
    finally:
        trainer.progress.close()
        student.eval()
    return {
        "training": {
            **described,
            "steps": trainer.state.global_step,
            "seconds": round(time.monotonic() - started, 1),
            "resumed_from_step": None if begun is None else int(begun.name.rpartition("-")[2]),
            "losses": trainer.losses(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }
    }


def _trainer(
    student: Student,
    loss: Loss,
    examples: Sequence[TokenizedExample],
    folder: Path,
    seed: int,
    options: TrainingOptions,
    progress: Progress,
) -> _Trainer:
    batches = LengthGroupedBatches([example.length for example in examples], options.batch_size, seed)
    collator = Collator(student.architecture.pad_token_id)
    student.fake_quantization.prepare(student, collator([examples[row] for row in next(iter(batches))]))
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        max_grad_norm=MAX_GRADIENT_NORM,
        lr_scheduler_type="linear",
        warmup_steps=math.ceil(options.warmup * options.epochs * len(batches)),
        save_strategy="steps",
        save_steps=options.checkpoint_steps,
        save_total_limit=KEPT_CHECKPOINTS,
        logging_steps=LOG_STEPS,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        seed=seed,
        data_seed=seed,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=True,  # the integer operators that methods train through run there
    )
    shown = _Progress(progress, folder.name)
    trainer = _Trainer(student, loss, batches, arguments, options, examples, collator, shown)
    trainer.remove_callback(PrinterCallback)
    return trainer


class _Trainer(transformers.Trainer):
    """Hugging Face's Trainer with our batches, parameter groups and losses."""

    def __init__(
        self,
        student: Student,
        loss: Loss,
        batches: LengthGroupedBatches,
        arguments: TrainingArguments,
        options: TrainingOptions,
        examples: Sequence[TokenizedExample],
        collator: Collator,
        progress: _Progress,
    ) -> None:
        self._student, self._loss = student, loss
        self._batches, self._options, self.progress = batches, options, progress
        callbacks = [_Epochs(batches), _FiniteGradients(Path(str(arguments.output_dir))), progress]
        super().__init__(
            model=student,
            args=arguments,
            data_collator=collator,
            train_dataset=list(examples),  # type: ignore[arg-type]
            callbacks=callbacks,
        )

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches of rows of similar length."""
        loader = DataLoader(self.train_dataset, batch_sampler=self._batches, collate_fn=self.data_collator)  # type: ignore[arg-type]
        return self.accelerator.prepare(loader)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW; no decay of vectors, the quantizer's parameters with a learning rate of their own."""
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW(parameter_groups(self._student, self._options), fused=True)
        return self.optimizer

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The loss of a batch; TrainingError where it is no number."""
        value, parts = self._loss(self._student, inputs)
        if not torch.isfinite(value):
            raise _not_finite("loss", value.item(), self.state.global_step + 1, Path(str(self.args.output_dir)))
        if parts and (self.state.global_step + 1) % LOG_STEPS == 0:
            self.log({name: round(float(part), 6) for name, part in parts.items()})
        return (value, {}) if return_outputs else value

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        folder = Path(str(self.args.output_dir))
        written = folder / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
        except Exception as error:  # torch and safetensors each have their own for a full disk
            shutil.rmtree(written, ignore_errors=True)
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise OutputError(
                f"{written} cannot be written ({reason}); {_goes_on(folder)}, once there is room on the disk"
            ) from error

    def losses(self) -> list[list[float]]:
        """Every recorded step and its mean loss since the one before."""
        return [[entry["step"], round(entry["loss"], 6)] for entry in self.state.log_history if "loss" in entry]


def parameter_groups(student: Student, options: TrainingOptions) -> list[dict[str, Any]]:
    """The optimizer's groups: matrices with decay, vectors without, the quantizer's parameters."""
    own = student.fake_quantization.quantizer_parameters()
    known = {id(parameter) for parameter in own}
    others = [p for p in student.parameters() if p.requires_grad and id(p) not in known]
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
        {
            "params": [p for p in own if p.requires_grad],
            "weight_decay": 0.0,
            "lr": options.quantizer_learning_rate,
            "eps": QUANTIZER_EPSILON,
        },
    ]
    return [{"lr": options.learning_rate, **group} for group in groups if group["params"]]


def _goes_on(folder: Path) -> str:
    last = last_checkpoint(folder)
    return "it begins again" if last is None else f"the run goes on from {last}"


def _not_finite(what: str, value: float, step: int, folder: Path) -> TrainingError:
    last = last_checkpoint(folder)
    kept = "there is no checkpoint yet" if last is None else f"the last good checkpoint is {last}"
    return TrainingError(f"the {what} of step {step} is {value}; {kept}; train with a lower learning rate")


class _Epochs(TrainerCallback):
    """Tells the batches which epoch it is, also when a run goes on in the middle of one."""

    def __init__(self, batches: LengthGroupedBatches) -> None:
        self._batches = batches

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._batches.set_epoch(state.global_step // len(self._batches))


class _FiniteGradients(TrainerCallback):
    """Stops before NaN reaches the parameters, and so a checkpoint."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        model: nn.Module = kwargs["model"]
        for parameter in model.parameters():
            if parameter.grad is not None:
                total = parameter.grad.sum()
                if not torch.isfinite(total):
                    raise _not_finite("gradient", total.item(), state.global_step + 1, self._folder)


class _Progress(TrainerCallback):
    """Shows the steps through the caller's progress hook."""

    def __init__(self, progress: Progress, description: str) -> None:
        self._progress, self._description = progress, description
        self._steps: Iterator[int] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        total = state.max_steps
        self._steps = iter(self._progress(range(total), self._description, total))
        for _ in range(state.global_step + 1):
            next(self._steps, None)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._steps is not None:
            next(self._steps, None)

    def close(self) -> None:
        """Takes the progress bar away."""
        if isinstance(self._steps, Generator):
            self._steps.close()
        self._steps = None
