from __future__ import annotations

from pathlib import Path

import pytest
from intbert.compiler.model import HeadKind
from intbert.errors import EvaluationError
from intbert.quantization.task_sentences import task_sentences


@pytest.fixture
def glue(tmp_path: Path) -> Path:
    (tmp_path / "STS-B").mkdir()
    rows = [f"first {index}\tsecond {index // 2}\t{index % 5}" for index in range(10)]
    text = "\n".join(["sentence1\tsentence2\tlabel", *rows]) + "\n"
    (tmp_path / "STS-B" / "train.tsv").write_text(text, encoding="utf-8")
    return tmp_path


def test_distinct_sentences(glue: Path):
    found = task_sentences("stsb", glue, HeadKind.MEAN_POOLING)
    assert found[:4] == ["first 0", "second 0", "first 1", "first 2"]
    assert len(found) == 15


def test_pairs_for_a_classifier(glue: Path):
    found = task_sentences("stsb", glue, HeadKind.SEQUENCE_CLASSIFICATION)
    assert found[1] == ("first 1", "second 0")
    assert len(found) == 10


def test_spread_over_the_set(glue: Path):
    found = task_sentences("stsb", glue, HeadKind.SEQUENCE_CLASSIFICATION, count=3)
    assert [first for first, _ in found] == ["first 0", "first 3", "first 6"]


def test_without_a_training_set(tmp_path: Path):
    with pytest.raises(EvaluationError, match=r"STS-B/train\.tsv"):
        task_sentences("stsb", tmp_path, HeadKind.NONE)
