"""The score on a task's development set of a model while it is still a student."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..evaluation import evaluate
from ..glue import get_task, read_examples
from ..progress import Progress, silent
from ..request import Training
from ..tokenization import Text
from .student import Student

MAX_LENGTH = 128


def check_development_set(training: Training) -> None:
    """Raises EvaluationError now rather than after hours of training."""
    read_examples(get_task(training.task), training.data)


def predict(student: Student, texts: Sequence[Text]) -> NDArray[np.float32]:
    """Logits or sentence embeddings of ``texts``, through the student's fake quantization."""
    model = student.model
    outputs: list[tuple[int, NDArray[np.float32]]] = []
    with torch.inference_mode():
        for batch in model.batches(texts, MAX_LENGTH):
            ids, mask, types = map(torch.from_numpy, (batch.input_ids, batch.attention_mask, batch.token_type_ids))
            found = student.encode(ids, mask, types).numpy()
            outputs += zip(batch.rows, found, strict=True)
    return np.stack([output for _, output in sorted(outputs, key=lambda pair: pair[0])])


def development_score(student: Student, training: Training, progress: Progress = silent) -> dict[str, Any]:
    """For the provenance: the metric, its value and the number of examples."""
    student.eval()
    score = evaluate(
        training.task,
        training.data,
        lambda texts: predict(student, texts),
        progress=progress,
        head=student.architecture.head.kind,
    )
    return {"development": {"metric": score.metric, "value": score.value, "n": score.n}}
