"""The GLUE tasks that models are trained for and judged on (Wang et al., "GLUE", ICLR 2019)."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType

from ..errors import EvaluationError


class Split(str, Enum):
    """A part of a task's data."""

    TRAIN = "train"
    DEV = "dev"

    @property
    def file(self) -> str:
        """The name of its table; beside it, compressed, ``.gz`` follows."""
        return f"{self.value}.tsv"


class Metric(str, Enum):
    """What a task is judged by."""

    ACCURACY = "accuracy"
    MATTHEWS = "matthews"
    SPEARMAN = "spearman"


@dataclass(frozen=True)
class Task:
    """A task: its folder, the columns of its sentences, its classes (None: a score) and its metric."""

    name: str
    folder: str
    columns: tuple[str, ...]
    classes: int | None
    metric: Metric
    highest: float = 5.0
    """The highest score, where there are no classes; the lowest is 0."""


@dataclass(frozen=True)
class Example:
    """One or two sentences, and their class or score."""

    sentences: tuple[str, ...]
    label: float


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        task.name: task
        for task in (
            Task("sst2", "SST-2", ("sentence",), 2, Metric.ACCURACY),
            Task("stsb", "STS-B", ("sentence1", "sentence2"), None, Metric.SPEARMAN),
            Task("cola", "CoLA", ("sentence",), 2, Metric.MATTHEWS),
        )
    }
)
"""Every task, by name."""


def get_task(name: str) -> Task:
    """The task called ``name``; raises EvaluationError that names the near ones when there is none."""
    try:
        return TASKS[name]
    except KeyError:
        near = difflib.get_close_matches(name.lower(), TASKS, n=1) or sorted(TASKS)
        raise EvaluationError(f"there is no task '{name}'; did you mean {' or '.join(near)}?") from None


def read_examples(task: Task, data: Path, limit: int | None = None, split: Split = Split.DEV) -> list[Example]:
    """The first ``limit`` examples (None: all) of ``data/<task's folder>/<split>.tsv``, which may end in ``.gz``.

    Raises EvaluationError when the file is missing, not UTF-8, has no such columns, a damaged row or no rows.
    """
    if limit is not None and limit < 1:
        raise EvaluationError(f"the limit of examples is {limit}; it must be at least 1")
    path = data / task.folder / split.file
    compressed = path.with_name(f"{path.name}.gz")
    if not path.exists() and compressed.exists():
        path = compressed
    columns = (*task.columns, "label")
    try:
        with _open(path) as file:
            # GLUE's sentences hold unpaired double quotes.
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            absent = [column for column in columns if column not in (reader.fieldnames or ())]
            if absent:
                needed = ", ".join(columns)
                raise EvaluationError(f"{path}: column '{absent[0]}' is missing; it needs {needed}")
            examples = []
            for row in reader:
                if limit is not None and len(examples) == limit:
                    break
                examples.append(_example(task, row, f"{path}, line {reader.line_num}"))
    except UnicodeDecodeError:
        raise EvaluationError(f"{path}: not UTF-8; save it as UTF-8 text") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise EvaluationError(f"{path}: damaged gzip file ({error}); copy it again") from None
    except OSError as error:
        raise EvaluationError(
            f"{path}: cannot be read ({error.strerror}); give the folder that holds {task.folder}/{split.file}"
        ) from None
    except csv.Error as error:
        raise EvaluationError(f"{path}: damaged table ({error}); copy it again") from None
    if not examples:
        raise EvaluationError(f"{path}: no examples")
    return examples


def _open(path: Path) -> io.TextIOBase:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _example(task: Task, row: dict[str, str | None], where: str) -> Example:
    sentences = tuple(row[column] for column in task.columns)
    try:
        label = float(row["label"] or "")
        # NaN and infinity fail both.
        valid = 0 <= label <= task.highest if task.classes is None else label in range(task.classes)
    except ValueError:
        label, valid = -1.0, False
    if not valid:
        known = f"0 to {task.highest:g}" if task.classes is None else ", ".join(map(str, range(task.classes)))
        raise EvaluationError(
            f"{where}: label {row['label']!r} is not one of the task {task.name}, which has {known}; mend the row"
        )
    present = tuple(sentence for sentence in sentences if sentence is not None)
    if len(present) != len(sentences):
        raise EvaluationError(f"{where}: too few columns")
    return Example(present, label)
