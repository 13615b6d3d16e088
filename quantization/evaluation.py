"""Accuracy on GLUE tasks of anything that turns texts into floats.

The same code judges a float checkpoint, a quantized model and a compiled artifact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.model import HeadKind
from ..errors import EvaluationError
from .glue import TASKS, Example, Metric, Task, get_task, read_examples
from .metrics import accuracy, cosines, matthews, predicted_classes, predicted_scores, spearman
from .progress import Progress, silent

__all__ = ["TASKS", "Predict", "Score", "Task", "evaluate"]

Predict = Callable[[list[Any]], NDArray[np.float32]]
"""Sentences, or pairs of them, -> sentence embeddings [n, H] or logits [n, labels]."""

CHUNK = 32
"""Examples that are handed to the model at once."""


@dataclass(frozen=True)
class Score:
    """The ``value`` of ``metric`` on ``n`` examples of the development set of ``task``."""

    task: str
    metric: str
    value: float
    n: int


def evaluate(
    task: str,
    data: Path,
    predict: Predict,
    limit: int | None = None,
    progress: Progress | None = None,
    head: HeadKind | None = None,
) -> Score:
    """Judges ``predict`` on the development set of ``task``, in the GLUE folder ``data``.

    ``head`` says what ``predict`` yields; None stands for embeddings on STS-B and logits elsewhere.
    Embeddings are judged by the cosine of the two sentences, each embedded alone; logits by their class, or
    on STS-B by the score of the pair. Raises EvaluationError for bad data, and for a model that does not suit
    the task.
    """
    description = get_task(task)
    _check_head(description, head)
    examples = read_examples(description, Path(data), limit)
    labels = np.array([example.label for example in examples])
    show = progress or silent
    if description.metric is Metric.SPEARMAN:
        embeds = head in (None, HeadKind.MEAN_POOLING)
        scores = _similarities(examples, predict, show) if embeds else _pair_scores(examples, predict, show)
        value = spearman(scores, labels)
    else:
        logits = _predictions(predict, [example.sentences[0] for example in examples], show, task)
        metric = accuracy if description.metric is Metric.ACCURACY else matthews
        value = metric(predicted_classes(logits, description.classes or 0), labels)
    return Score(task, description.metric.value, value, len(examples))


def _check_head(task: Task, head: HeadKind | None) -> None:
    suitable = {HeadKind.SEQUENCE_CLASSIFICATION}
    if task.metric is Metric.SPEARMAN:
        suitable.add(HeadKind.MEAN_POOLING)
    if head is not None and head not in suitable:
        names = " or ".join(sorted(kind.value for kind in suitable))
        raise EvaluationError(f"task {task.name} needs a model with head {names}, this one has {head.value}")


def _similarities(examples: list[Example], predict: Predict, progress: Progress) -> NDArray[np.float64]:
    firsts, seconds = zip(*(example.sentences for example in examples), strict=True)
    return cosines(
        _predictions(predict, list(firsts), progress, "first sentences"),
        _predictions(predict, list(seconds), progress, "second sentences"),
    )


def _pair_scores(examples: list[Example], predict: Predict, progress: Progress) -> NDArray[np.float64]:
    pairs = [example.sentences for example in examples]
    return predicted_scores(_predictions(predict, pairs, progress, "pairs"))


def _predictions(predict: Predict, texts: list[Any], progress: Progress, description: str) -> NDArray[np.float32]:
    chunks = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
    outputs = [np.asarray(predict(chunk)) for chunk in progress(chunks, description, len(chunks))]
    for chunk, output in zip(chunks, outputs, strict=True):
        if output.ndim != 2 or len(output) != len(chunk):
            raise EvaluationError(
                f"{len(chunk)} texts gave outputs of shape {list(output.shape)}; one row for each is needed"
            )
        if not np.isfinite(output).all():
            raise EvaluationError("the model's outputs are NaN or infinite; check the model")
    return np.concatenate(outputs)
