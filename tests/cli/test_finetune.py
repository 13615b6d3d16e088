"""``intbert finetune``: a float checkpoint with a head for a task."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intbert.quantization import load_float_model
from typer.testing import Result

from ..quantization.checkpoints import make_model, save_model
from ..quantization.training.tiny_task import tiny_task

Run = Callable[..., Result]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    tiny_task(tmp_path)
    save_model(make_model("Bert", "Model"), tmp_path / "checkpoint")
    return tmp_path


def arguments(task: Path, *more: object) -> list[object]:
    options = ("--task", "sst2", "--data", task, "--epochs", 2, "--batch-size", 12, "--learning-rate", "3e-3")
    return ["finetune", task / "checkpoint", *options, *more]


def test_a_bare_encoder_gets_a_head_and_a_score(task: Path, intbert_json: Callable[..., Any], intbert: Run) -> None:
    document = intbert_json(*arguments(task, "-o", task / "tuned", "--limit", 40))
    assert (document["task"], document["metric"], document["n"]) == ("sst2", "accuracy", 48)
    record = json.loads((task / "tuned" / "finetuning.json").read_text())
    assert record["training"]["examples"] == 40
    assert record["training"]["steps"] == 8
    assert record["development"]["value"] == document["value"]
    assert load_float_model(task / "tuned").architecture.head.labels == ("LABEL_0", "LABEL_1")
    scored = json.loads(intbert("eval", task / "tuned", "--task", "sst2", "--data", task, "--json").stdout)
    assert scored["value"] == document["value"]


def test_the_same_seed_gives_the_same_model(task: Path, intbert: Run) -> None:
    for name, seed in (("first", 1), ("second", 1), ("other", 2)):
        result = intbert(*arguments(task, "-o", task / name, "--seed", seed))
        assert result.exit_code == 0, result.stderr
        assert result.stdout.startswith(f"{task / name}: sst2, accuracy ")
    weights = [load_float_model(task / name).weights for name in ("first", "second", "other")]
    assert all(np.array_equal(array, weights[1][name]) for name, array in weights[0].items())
    assert not np.array_equal(weights[0]["head.pooler.weight"], weights[2]["head.pooler.weight"])


def test_force_replaces_what_finetune_wrote(task: Path, intbert: Run) -> None:
    assert intbert(*arguments(task, "-o", task / "tuned")).exit_code == 0
    refused = intbert(*arguments(task, "-o", task / "tuned"))
    assert refused.exit_code == 1
    assert "exists already; pass --force" in refused.stderr
    assert intbert(*arguments(task, "-o", task / "tuned", "--force")).exit_code == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda task: (task / "SST-2" / "train.tsv").unlink(), "give the folder that holds SST-2/train.tsv"),
        (lambda task: (task / "SST-2" / "dev.tsv").unlink(), "give the folder that holds SST-2/dev.tsv"),
        (
            lambda task: (task / "SST-2" / "train.tsv").write_text("sentence\tlabel\na dog\t2\n"),
            "label '2' is not one of the task sst2, which has 0, 1",
        ),
    ],
    ids=["train", "dev", "label"],
)
def test_bad_data_is_one_line_and_leaves_nothing(
    task: Path, intbert: Run, change: Callable[[Path], object], message: str
) -> None:
    change(task)
    result = intbert(*arguments(task, "-o", task / "tuned"))
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (task / "tuned").exists()
    assert not (task / "tuned.work").exists()
