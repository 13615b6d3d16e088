"""Scores against scipy and scikit-learn on tables made here, and every way in which a table can be bad."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from intbert.compiler.model import HeadKind
from intbert.errors import EvaluationError
from intbert.quantization.evaluation import CHUNK, TASKS, evaluate
from scipy.stats import spearmanr
from sklearn.metrics import matthews_corrcoef

T = TypeVar("T")
COUNT = 2 * CHUNK + 7
RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 2, COUNT)
SCORES = RANDOM.uniform(0, 5, COUNT).round(3)


def write(folder: Path, task: str, lines: list[str], header: str | None = None) -> Path:
    header = header or "\t".join([*TASKS[task].columns, "label"])
    (folder / TASKS[task].folder).mkdir(exist_ok=True)
    (folder / TASKS[task].folder / "dev.tsv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A GLUE folder; sentences are numbers with an unpaired quote, so that predictions can depend on them."""
    for task in ("sst2", "cola"):
        write(tmp_path, task, [f'"{index}\t{label}' for index, label in enumerate(LABELS)])
    return write(tmp_path, "stsb", [f'"{index}\t{index}"\t{score}' for index, score in enumerate(SCORES)])


def number(sentence: str) -> int:
    return int(sentence.strip('"'))


def logits(sentences: list[str]) -> np.ndarray:
    """Right except for every third sentence."""
    classes = [LABELS[number(text)] ^ (number(text) % 3 == 0) for text in sentences]
    return np.eye(2, dtype=np.float32)[classes]


def test_accuracy(data: Path) -> None:
    score = evaluate("sst2", data, logits)
    assert (score.task, score.metric, score.n) == ("sst2", "accuracy", COUNT)
    assert score.value == pytest.approx(np.mean(np.arange(COUNT) % 3 != 0))


def test_matthews(data: Path) -> None:
    score = evaluate("cola", data, logits)
    predicted = LABELS ^ (np.arange(COUNT) % 3 == 0)
    assert (score.metric, score.n) == ("matthews", COUNT)
    assert score.value == pytest.approx(matthews_corrcoef(LABELS, predicted))


@pytest.mark.parametrize("head", [None, HeadKind.MEAN_POOLING], ids=str)
def test_spearman_of_the_cosines_of_embeddings(head: HeadKind | None, data: Path) -> None:
    angles = np.random.default_rng(1).uniform(0, 3, COUNT)

    def embed(sentences: list[str]) -> np.ndarray:
        # The first sentence of a pair starts with the quote, the second ends with it.
        turned = np.array([angles[number(text)] if text.endswith('"') else 0.0 for text in sentences])
        # The embeddings' lengths must not matter.
        lengths = np.array([1 + number(text) % 3 for text in sentences])
        return (lengths * [np.cos(turned), np.sin(turned)]).T.astype(np.float32)

    score = evaluate("stsb", data, embed, head=head)
    assert (score.metric, score.n) == ("spearman", COUNT)
    assert score.value == pytest.approx(spearmanr(np.cos(angles), SCORES).statistic)


def test_spearman_of_a_regression_of_pairs(data: Path) -> None:
    def predict(pairs: list[tuple[str, str]]) -> np.ndarray:
        return np.array([[SCORES[number(first)] + number(second) % 5] for first, second in pairs], np.float32)

    score = evaluate("stsb", data, predict, head=HeadKind.SEQUENCE_CLASSIFICATION)
    assert score.value == pytest.approx(spearmanr(SCORES + np.arange(COUNT) % 5, SCORES).statistic)


def test_spearman_of_a_classifier_of_pairs(data: Path) -> None:
    def predict(pairs: list[tuple[str, str]]) -> np.ndarray:
        return np.array([[-SCORES[number(first)], 0.0, SCORES[number(first)]] for first, _ in pairs])

    assert evaluate("stsb", data, predict, head=HeadKind.SEQUENCE_CLASSIFICATION).value == pytest.approx(1)


def test_limit_and_progress(data: Path) -> None:
    shown: list[tuple[str, int]] = []

    def progress(iterable: Iterable[T], description: str, total: int) -> Iterable[T]:
        shown.append((description, total))
        return iterable

    assert evaluate("sst2", data, logits, limit=CHUNK + 1, progress=progress).n == CHUNK + 1
    assert shown == [("sst2", 2)]


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        ([], None, "no examples"),
        (["fine\t1", "bad\t2"], None, r"line 3: label '2'"),
        (["bad\tyes"], None, r"line 2: label 'yes'"),
        (["bad\tnan"], None, r"line 2: label 'nan'"),
        (["too few"], None, r"line 2: label None"),
        (["fine\t1"], "text\tlabel", "column 'sentence' is missing"),
        (["fine\t1"], "sentence\tscore", "column 'label' is missing"),
    ],
    ids=["empty", "class", "word", "nan", "columns", "no-sentence", "no-label"],
)
def test_bad_tables(lines: list[str], header: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=message) as caught:
        evaluate("sst2", write(tmp_path, "sst2", lines, header), logits)
    assert "dev.tsv" in str(caught.value)


def test_missing_and_binary_files(data: Path) -> None:
    path = data / "CoLA" / "dev.tsv"
    path.write_bytes(b"sentence\tlabel\n\xff\xff\t1\n")
    with pytest.raises(EvaluationError, match="not UTF-8"):
        evaluate("cola", data, logits)
    path.unlink()
    with pytest.raises(EvaluationError, match=r"the folder that holds CoLA/dev\.tsv"):
        evaluate("cola", data, logits)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "sst"}, "did you mean sst2"),
        ({"task": "mnli"}, "there is no task"),
        ({"limit": 0}, "at least 1"),
        ({"head": HeadKind.MEAN_POOLING}, "head sequence_classification, this one has mean_pooling"),
        ({"head": HeadKind.MASKED_LM}, "masked_lm"),
        ({"predict": lambda texts: np.zeros((len(texts), 3))}, r"2 classes.*\[71, 3\]"),
        ({"predict": lambda texts: np.zeros((len(texts) + 1, 2))}, r"32 texts.*\[33, 2\]"),
        ({"predict": lambda texts: np.zeros(len(texts))}, r"32 texts.*\[32\]"),
        ({"predict": lambda texts: np.full((len(texts), 2), np.nan)}, "NaN"),
        ({"task": "stsb", "predict": lambda texts: np.ones((len(texts), 2))}, "undefined"),
        ({"task": "stsb", "limit": 1}, "undefined"),
    ],
    ids=["near", "far", "limit", "pooling", "lm", "classes", "rows", "vector", "nan", "constant", "one"],
)
def test_bad_arguments(arguments: dict[str, Any], message: str, data: Path) -> None:
    with pytest.raises(EvaluationError, match=message):
        evaluate(**{"task": "sst2", "data": data, "predict": logits, **arguments})
