"""Fine-tuning of a float model on a task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoint import load_float_model
from ..float_model import FloatModel
from ..glue import get_task
from ..progress import Progress, silent
from ..request import Training

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .options import TrainingOptions


def finetune(
    source: Path | str | PreTrainedModel | FloatModel,
    training: Training,
    options: TrainingOptions | None = None,
    progress: Progress | None = None,
) -> tuple[FloatModel, dict[str, Any]]:
    """Fine-tunes the float checkpoint ``source`` on a task; the model, and how it came to be.

    A model without a head that fits the task gets a new one: a pooler and a classifier (one label: a regression).
    A model with mean pooling keeps it for a score of sentence pairs. What is returned second says the task, the
    options, the losses and the score on the development set.

    Raises CheckpointError, EvaluationError (no such data), TrainingError and OutputError, see
    :func:`.trainer.train`.
    """
    from .development import check_development_set, development_score
    from .heads import with_head_for
    from .options import TrainingOptions
    from .student import Student
    from .trainer import train

    show = progress or silent
    task = get_task(training.task)
    check_development_set(training)
    model = source if isinstance(source, FloatModel) else load_float_model(source)
    student = Student(with_head_for(model, task, training.seed))
    record = train(student, training, options or TrainingOptions(), progress=show, stage="finetune")
    record |= development_score(student, training, show)
    tuned = student.to_float_model()
    return replace(tuned, name=f"{model.name}-{task.name}"), {"source": model.name, **record}
