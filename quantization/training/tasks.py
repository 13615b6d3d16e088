"""A task's training set as token ids, and whether a model's head fits the task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...compiler.model import Architecture
from ...errors import TrainingError
from ..float_model import FloatModel
from ..glue import Example, Split, Task, get_task, read_examples
from ..request import Training
from ..tokenization import Batch
from .student import Objective

MEGA_BATCHES = 50
"""Batches whose examples are sorted by length together."""

CALIBRATION_EXAMPLES = 256


@dataclass(frozen=True)
class TokenizedExample:
    """One text, or the two of a pair that are embedded alone, as token ids and token types; and the label."""

    texts: tuple[tuple[list[int], list[int]], ...]
    label: float

    @property
    def length(self) -> int:
        """Tokens of the longest text."""
        return max(len(ids) for ids, _ in self.texts)


def check_head(task: Task, architecture: Architecture) -> None:
    """Raises TrainingError when the head of ``architecture`` cannot be trained for ``task``."""
    objective, labels = Objective.of(architecture), len(architecture.head.labels)
    if task.classes is None and objective is Objective.CLASSIFICATION:
        raise TrainingError(
            f"task {task.name} is a score, the model's head has {labels} classes; "
            "take a model with one label, or with mean pooling"
        )
    if task.classes is not None and (objective is not Objective.CLASSIFICATION or labels != task.classes):
        found = f"{labels} labels" if labels else "none"
        raise TrainingError(
            f"task {task.name} needs a classification head with {task.classes} labels, the model's has {found}; "
            "`intbert finetune` gives it one"
        )


def draw_examples(task: Task, data: Path, limit: int, seed: int) -> list[Example]:
    """``limit`` examples (0: all) of the training set of ``task``, drawn by ``seed``, in the order of the file.

    Raises EvaluationError for a folder without the training set, or a damaged one.
    """
    examples = read_examples(task, data, split=Split.TRAIN)
    if not 0 < limit < len(examples):
        return examples
    chosen = np.random.default_rng(seed).choice(len(examples), limit, replace=False)
    return [examples[index] for index in sorted(chosen)]


def training_set(
    model: FloatModel, task_name: str, data: Path, *, limit: int, seed: int, max_length: int
) -> list[TokenizedExample]:
    """The training set of the task, as ``model`` reads it: see :func:`draw_examples`.

    Raises TrainingError for a head that does not fit, EvaluationError for bad data, CheckpointError for a model
    without a tokenizer.
    """
    task = get_task(task_name)
    check_head(task, model.architecture)
    examples = draw_examples(task, data, limit, seed)
    if Objective.of(model.architecture) is Objective.SIMILARITY:
        parts = [list(part) for part in zip(*(example.sentences for example in examples), strict=True)]
    else:
        parts = [[_text(example.sentences) for example in examples]]
    encoded = [_encode(model.batches(texts, max_length), len(examples)) for texts in parts]
    return [
        TokenizedExample(texts, example.label)
        for texts, example in zip(zip(*encoded, strict=True), examples, strict=True)
    ]


def _text(sentences: tuple[str, ...]) -> str | tuple[str, str]:
    return sentences[0] if len(sentences) == 1 else (sentences[0], sentences[1])


def _encode(batches: Sequence[Batch], count: int) -> list[tuple[list[int], list[int]]]:
    """Ids and types without padding, in the order of the texts."""
    texts: list[tuple[list[int], list[int]]] = [([], [])] * count
    for batch in batches:
        for index, row in enumerate(batch.rows):
            length = int(batch.attention_mask[index].sum())
            texts[row] = (
                batch.input_ids[index, :length].tolist(),
                batch.token_type_ids[index, :length].tolist(),
            )
    return texts


@dataclass(frozen=True)
class Collator:
    """Examples -> one padded batch, as long as its longest text; see ``Student.forward``."""

    pad: int

    def __call__(self, examples: Sequence[TokenizedExample]) -> dict[str, Tensor]:
        """First texts come first, then, where there are two, the second ones."""
        texts = [text for part in zip(*(example.texts for example in examples), strict=True) for text in part]
        length = max(example.length for example in examples)
        ids = torch.full((len(texts), length), self.pad)
        mask, types = torch.zeros_like(ids), torch.zeros_like(ids)
        for row, (text, text_types) in enumerate(texts):
            ids[row, : len(text)] = torch.tensor(text)
            types[row, : len(text)] = torch.tensor(text_types)
            mask[row, : len(text)] = 1
        labels = torch.tensor([example.label for example in examples], dtype=torch.float32)
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types, "labels": labels}


class LengthGroupedBatches:
    """Batches of rows of similar length, in an order that the seed and the epoch alone decide.

    So a run that goes on in the middle of an epoch sees the rows that are left, and little of a batch is padding.
    """

    def __init__(self, lengths: Sequence[int], size: int, seed: int) -> None:
        self._lengths, self._size, self._seed = np.asarray(lengths), size, seed
        self.batch_size, self.drop_last = size, False  # read by accelerate
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self._lengths) // self._size)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng([self._seed, self.epoch])
        rows = random.permutation(len(self._lengths))
        span = MEGA_BATCHES * self._size
        pieces = [rows[start : start + span] for start in range(0, len(rows), span)]
        ordered = np.concatenate([piece[np.argsort(self._lengths[piece], kind="stable")] for piece in pieces])
        batches = [ordered[start : start + self._size].tolist() for start in range(0, len(ordered), self._size)]
        yield from (batches[index] for index in random.permutation(len(batches)))


def calibration_batches(model: FloatModel, training: Training, max_length: int) -> list[Batch]:
    """Sentences spread evenly over the training set, to observe activations on."""
    examples = read_examples(get_task(training.task), training.data, split=Split.TRAIN)
    chosen = examples[:: -(-len(examples) // CALIBRATION_EXAMPLES)]
    single = Objective.of(model.architecture) is Objective.SIMILARITY
    texts = [example.sentences[0] if single else _text(example.sentences) for example in chosen]
    return model.batches(texts, max_length)


def describe_examples(examples: Sequence[TokenizedExample]) -> Mapping[str, int]:
    """For the provenance."""
    return {"examples": len(examples), "tokens": sum(len(ids) for e in examples for ids, _ in e.texts)}
