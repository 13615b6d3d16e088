"""A task's training set, whether a head fits it, and the batches."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler.model import HeadKind
from intbert.errors import EvaluationError, TrainingError
from intbert.quantization.glue import TASKS, Split, get_task, read_examples
from intbert.quantization.request import Training
from intbert.quantization.training.heads import with_head_for
from intbert.quantization.training.student import Objective
from intbert.quantization.training.tasks import (
    Collator,
    LengthGroupedBatches,
    TokenizedExample,
    calibration_batches,
    check_head,
    draw_examples,
    training_set,
)

from ...models import tiny_float_model
from ..checkpoints import save_tokenizer
from .tiny_task import tiny_task


def write_pairs(folder: Path, labels: list[str]) -> Path:
    (folder / "STS-B").mkdir()
    lines = ["sentence1\tsentence2\tlabel", *(f"a red ball\tthe dog runs in the park\t{label}" for label in labels)]
    (folder / "STS-B" / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_a_compressed_training_set_is_read(tmp_path: Path) -> None:
    tiny_task(tmp_path)
    plain = tmp_path / "SST-2" / "train.tsv"
    expected = read_examples(TASKS["sst2"], tmp_path, split=Split.TRAIN)
    with gzip.open(tmp_path / "SST-2" / "train.tsv.gz", "wb") as file:
        file.write(plain.read_bytes())
    plain.unlink()
    assert read_examples(TASKS["sst2"], tmp_path, split=Split.TRAIN) == expected


@pytest.mark.parametrize(
    "content", [b"no gzip", gzip.compress(b"sentence\tlabel\n" + b"fine\t1\n" * 99)[:-12]], ids=["not", "cut"]
)
def test_a_damaged_compressed_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "SST-2").mkdir()
    (tmp_path / "SST-2" / "train.tsv.gz").write_bytes(content)
    with pytest.raises(EvaluationError, match=r"train\.tsv\.gz: damaged gzip file"):
        read_examples(TASKS["sst2"], tmp_path, split=Split.TRAIN)


def test_a_folder_without_the_training_set_says_what_it_needs(tmp_path: Path) -> None:
    _, training = tiny_task(tmp_path)
    (training.data / "SST-2" / "train.tsv").unlink()
    with pytest.raises(EvaluationError, match=r"give the folder that holds SST-2/train\.tsv"):
        draw_examples(get_task("sst2"), training.data, 0, 0)


@pytest.mark.parametrize("label", ["5.1", "-0.1", "nan", "inf", "high", ""])
def test_scores_out_of_range_are_refused(tmp_path: Path, label: str) -> None:
    data = write_pairs(tmp_path, ["5.0", "0", label])
    with pytest.raises(EvaluationError, match=f"line 4: label '{label}' is not one of the task stsb, which has 0 to 5"):
        draw_examples(get_task("stsb"), data, 0, 0)


def test_the_seed_draws_the_examples(tmp_path: Path) -> None:
    _, training = tiny_task(tmp_path)
    task = get_task("sst2")
    everything = draw_examples(task, training.data, 0, 0)
    drawn = [draw_examples(task, training.data, 10, seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 10
    assert all(example in everything for example in drawn[0])
    assert draw_examples(task, training.data, 1000, 0) == everything


@pytest.mark.parametrize(
    ("head", "labels", "task", "message"),
    [
        (HeadKind.SEQUENCE_CLASSIFICATION, 3, "sst2", "needs a classification head with 2 labels, .* has 3 labels"),
        (HeadKind.SEQUENCE_CLASSIFICATION, 1, "cola", "needs a classification head with 2 labels"),
        (HeadKind.MEAN_POOLING, 0, "sst2", "the model's has none; `intbert finetune` gives it one"),
        (HeadKind.SEQUENCE_CLASSIFICATION, 2, "stsb", "stsb is a score, the model's head has 2 classes"),
        (HeadKind.TOKEN_CLASSIFICATION, 2, "sst2", "token_classification has outputs per token"),
        (HeadKind.NONE, 0, "stsb", "none has outputs per token"),
    ],
    ids=["three", "regression", "pooling", "classes", "tokens", "bare"],
)
def test_a_head_that_does_not_fit_the_task_is_refused(head: HeadKind, labels: int, task: str, message: str) -> None:
    architecture = tiny_float_model("Bert", head).architecture
    names = tuple(map(str, range(labels)))
    with pytest.raises(TrainingError, match=message):
        check_head(get_task(task), replace(architecture, head=replace(architecture.head, labels=names)))


@pytest.mark.parametrize("family", ["Bert", "Roberta", "DistilBert"])
def test_a_new_head_fits_and_keeps_the_encoder(family: str) -> None:
    model = tiny_float_model(family, HeadKind.MEAN_POOLING)
    for name, objective in (("sst2", Objective.CLASSIFICATION), ("stsb", Objective.SIMILARITY)):
        changed = with_head_for(model, get_task(name), seed=3)
        check_head(get_task(name), changed.architecture)
        assert Objective.of(changed.architecture) is objective
        assert all(changed.weights[tensor] is array for tensor, array in model.weights.items())
    first, second, other = (
        with_head_for(model, get_task("sst2"), seed).weights["head.pooler.weight"] for seed in (3, 3, 4)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    bare = with_head_for(tiny_float_model(family, HeadKind.NONE), get_task("stsb"), 0)
    assert Objective.of(bare.architecture) is Objective.REGRESSION


def test_a_head_that_fits_is_kept(tmp_path: Path) -> None:
    model, _ = tiny_task(tmp_path)
    assert with_head_for(model, get_task("cola"), 0) is model


def test_pairs_are_read_together_or_each_alone(tmp_path: Path) -> None:
    data = write_pairs(tmp_path, ["1", "2.5"])
    save_tokenizer(tmp_path)
    common = {"limit": 0, "seed": 0, "max_length": 16}
    alone = tiny_float_model("Bert", HeadKind.MEAN_POOLING).with_tokenizer(tmp_path)
    together = with_head_for(tiny_float_model("Bert", HeadKind.NONE).with_tokenizer(tmp_path), get_task("stsb"), 0)
    embedded, scored = (training_set(model, "stsb", data, **common) for model in (alone, together))
    assert [[len(ids) for ids, _ in example.texts] for example in embedded] == [[5, 8]] * 2
    assert [example.label for example in scored] == [1.0, 2.5]
    ((ids, types),) = scored[0].texts
    assert len(ids) == 12
    assert sum(types) == 7
    batch = Collator(0)(embedded)
    assert batch["input_ids"].shape == (4, 8)
    assert batch["attention_mask"].sum(1).tolist() == [5, 5, 8, 8]
    assert batch["labels"].tolist() == [1.0, 2.5]


def test_sentences_for_calibration_are_spread_over_the_training_set(tmp_path: Path) -> None:
    model, training = tiny_task(tmp_path)
    rows = [row for batch in calibration_batches(model, training, 16) for row in batch.rows]
    assert sorted(rows) == list(range(48))


@pytest.mark.parametrize("count", [1, 7, 64, 1000])
def test_batches_hold_every_row_once_in_an_order_of_the_seed_and_epoch(count: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 60, count).tolist()
    batches = LengthGroupedBatches(lengths, 8, seed=1)
    first, again = list(batches), list(batches)
    batches.set_epoch(1)
    second = list(batches)
    assert len(first) == len(batches) == -(-count // 8)
    assert sorted(row for batch in first for row in batch) == list(range(count))
    assert first == again
    assert sorted(row for batch in second for row in batch) == list(range(count))
    assert (first != second) == (count > 8)
    assert list(LengthGroupedBatches(lengths, 8, seed=2)) != first or count <= 8


def test_batches_hold_texts_of_similar_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 60, 1600)
    padded = sum(lengths[batch].max() * len(batch) for batch in LengthGroupedBatches(lengths.tolist(), 16, seed=0))
    assert padded < 1.1 * lengths.sum()


def test_a_label_belongs_to_its_text() -> None:
    examples = [TokenizedExample((([5] * length, [0] * length),), float(length)) for length in (3, 1, 2)]
    batch = Collator(9)(examples)
    assert batch["attention_mask"].sum(1).tolist() == batch["labels"].tolist() == [3, 1, 2]
    assert (batch["input_ids"] == 9).sum() == 3


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    model, training = tiny_task(tmp_path)
    assert isinstance(training, Training)
    with pytest.raises(Exception, match=r"no tokenizer\.json beside the checkpoint"):
        training_set(replace(model, tokenizer=None), "sst2", training.data, limit=0, seed=0, max_length=8)
