"""What ``intbert quantize`` and ``intbert recipes`` take and refuse, on a tiny random model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from intbert.compiler.model_files import load
from intbert.quantization.methods import METHODS

from ..quantization.checkpoints import SENTENCES, make_model, save_model
from .conftest import Run

Json = Callable[..., Any]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    return save_model(make_model("Bert", "ForSequenceClassification"), folder)


@pytest.fixture(scope="module")
def glue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("glue")
    (folder / "SST-2").mkdir()
    rows = ["sentence\tlabel", *(f"{sentence}\t{index % 2}" for index, sentence in enumerate(SENTENCES))]
    for split in ("train", "dev"):
        (folder / "SST-2" / f"{split}.tsv").write_text("\n".join([*rows, rows[1]]) + "\n", encoding="utf-8")
    return folder


def test_bits_options_and_granularity_arrive(intbert_json: Json, checkpoint: Path, sentences: Path, tmp_path: Path):
    document = intbert_json(
        "quantize", checkpoint, "--method", "ocs", "--calibrate", sentences, "--weight-bits", 3,
        "--activation-bits", 6, "--embedding-bits", 4, "--granularity", "tensor", "--set", "ratio=0.1",
        "-o", tmp_path / "out",
    )  # fmt: skip
    assert (document["scheme"], document["sentences"]) == ("ocs", 2)
    model = load(tmp_path / "out")
    weight = model.weight("layers.0.query.weight")
    assert weight.packing is not None
    assert (weight.packing.bits, weight.scale.shape, weight.values.shape) == (3, (), (16, 18))
    assert model.weight("layers.0.query.split").values.shape == (2,)
    embedding = model.weight("embeddings.word.weight").packing
    assert embedding is not None
    assert embedding.bits == 4
    assert model.activation("layers.0.context").bits == 6
    assert model.provenance["options"] == {"ratio": 0.1, "aware": True, "clip": True}


def test_sentences_of_the_tasks_training_set(intbert_json: Json, checkpoint: Path, glue: Path, tmp_path: Path):
    output = tmp_path / "out"
    document = intbert_json("quantize", checkpoint, "--method", "lq", "--task", "sst2", "--data", glue, "-o", output)
    assert document["sentences"] == len(SENTENCES)


def test_seed_of_a_method_that_draws_at_random(intbert_json: Json, checkpoint: Path, sentences: Path, tmp_path: Path):
    arguments = ("--method", "brecq", "--calibrate", sentences, "--set", "iterations=2", "--seed", 7)
    intbert_json("quantize", checkpoint, *arguments, "-o", tmp_path / "out")
    assert load(tmp_path / "out").provenance["options"]["seed"] == 7


REFUSED = {
    "bits": ("--method lq --weight-bits 1", "supports 2 to 8 weight bits, not 1"),
    "unknown option": ("--method aciq --set clip=1", "has no option 'clip'; it has distribution"),
    "option of another type": ("--method ocs --set ratio=much", "option ratio of the method ocs must be a float"),
    "distribution": ("--method aciq --set distribution=cauchy", "there are laplace, gauss, auto"),
    "ratio": ("--method ocs --set ratio=1.5", "ratio is 1.5, it must lie between 0 and 1"),
    "iterations": ("--method brecq --set iterations=0", "iterations is 0, it must be at least 1"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(intbert: Run, checkpoint: Path, sentences: Path, tmp_path: Path, arguments: str, message: str):
    output = tmp_path / "out"
    result = intbert("quantize", checkpoint, "--calibrate", sentences, "-o", output, *arguments.split())
    assert result.exit_code == 1
    assert result.stderr.startswith("intbert: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert not output.exists()


USAGE = {
    "nothing to calibrate on": "quantize folder -o out",
    "a task without data": "quantize folder --task sst2 -o out",
    "data without a task": "quantize folder --data glue -o out",
    "a method that trains on nothing": "quantize folder --method kdlsq --calibrate file -o out",
    "an option without value": "quantize folder --calibrate file --set ratio -o out",
    "an unknown granularity": "quantize folder --calibrate file --granularity column -o out",
}


@pytest.mark.parametrize("command", USAGE.values(), ids=USAGE)
def test_usage(intbert: Run, command: str):
    result = intbert(*command.split())
    assert result.exit_code == 2
    assert "Usage: " in result.stderr


def test_recipes_name_every_method(intbert: Run, intbert_json: Json):
    assert [method["name"] for method in intbert_json("recipes")["methods"]] == list(METHODS)
    printed = intbert("recipes").stdout
    assert all(name in printed for name in METHODS)


def test_recipe_of_one_method(intbert: Run, intbert_json: Json):
    (document,) = intbert_json("recipes", "ocs")["methods"]
    assert document["options"] == {"ratio": 0.02, "aware": True, "clip": True}
    assert document["weight_bits"] == [2, 3, 4, 5, 6, 7, 8]
    assert not document["trains"]
    printed = intbert("recipes", "ocs").stdout
    assert "ratio" in printed
    assert "intbert quantize CHECKPOINT --method ocs" in printed


def test_recipe_of_an_unknown_method(intbert: Run):
    result = intbert("recipes", "osc")
    assert result.exit_code == 1
    assert "did you mean ocs" in result.stderr
