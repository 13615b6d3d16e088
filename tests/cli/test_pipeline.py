"""From a checkpoint to answers with nothing but the command line, on a tiny random model."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import intbert as api
import numpy as np
import pytest
from intbert.cli.main import app
from typer.testing import CliRunner

from ..quantization.checkpoints import POSITIONS, make_model, save_model
from .conftest import Run

Json = Callable[..., Any]


def succeed(*arguments: object) -> None:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.stderr


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    save_model(make_model("Bert", "ForSequenceClassification"), folder)
    return folder


@pytest.fixture(scope="module")
def quantized(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quantized")
    sentences = folder / "sentences.txt"
    sentences.write_text("the man plays with a red ball\na dog runs in the park\n", encoding="utf-8")
    succeed("quantize", checkpoint, "--calibrate", sentences, "-o", folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def artifact(quantized: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("artifact") / "model"
    succeed("compile", quantized, "--target", "host", "--lengths", "8,16", "--batch", "1,2", "-o", output)
    return output


@pytest.fixture(scope="module")
def glue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("glue")
    (folder / "SST-2").mkdir()
    rows = ["sentence\tlabel", "the man plays with a red ball\t1", "a dog runs\t0", "woman in the park\t1"]
    (folder / "SST-2" / "dev.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def test_run(intbert_json: Json, artifact: Path):
    document = intbert_json("run", artifact, "the man plays", "a dog")
    assert document["shape"] == [2, 2]
    model = api.load(artifact)
    np.testing.assert_array_equal(np.array(document["outputs"], dtype=np.float32), model(["the man plays", "a dog"]))


def test_eval_of_every_kind_of_model(intbert_json: Json, checkpoint: Path, quantized: Path, artifact: Path, glue: Path):
    scores = [
        intbert_json("eval", path, "--task", "sst2", "--data", glue) for path in (checkpoint, quantized, artifact)
    ]
    for score in scores:
        assert set(score) == {"task", "metric", "value", "n"}
        assert (score["task"], score["metric"], score["n"]) == ("sst2", "accuracy", 3)
    assert scores[1] == scores[2]  # the oracle and the artifact give the same integers


def test_eval_limit(intbert_json: Json, artifact: Path, glue: Path):
    assert intbert_json("eval", artifact, "--task", "sst2", "--data", glue, "--limit", 2)["n"] == 2


def test_eval_of_a_head_that_does_not_suit(intbert: Run, toy: Path, glue: Path):
    result = intbert("eval", toy, "--task", "sst2", "--data", glue)
    assert result.exit_code == 1
    assert "needs a model with head" in result.stderr


def test_inspect(intbert: Run, intbert_json: Json, quantized: Path, artifact: Path):
    report = intbert_json("inspect", artifact, "--bounds")
    assert [bucket["length"] for bucket in report["buckets"]] == [8, 8, 16, 16]
    assert report["target"]["name"] == "host"
    assert {s["strategy"] for s in report["strategies"]}
    assert report["bounds"]
    table = intbert("inspect", artifact, "--strategies", "--bounds").stdout
    assert report["strategies"][0]["strategy"] in table

    report = intbert_json("inspect", quantized, "--bounds")
    assert (report["kind"], report["scheme"]) == ("quantized model", "ibert")
    assert report["bounds"]
    assert sum(row["bytes"] for row in report["sizes"]) > 0


def test_compile_reports(intbert: Run, intbert_json: Json, quantized: Path, tmp_path: Path):
    output = tmp_path / "model.tar"
    document = intbert_json("compile", quantized, "-t", "rpi4", "--lengths", "8", "-o", output)
    assert document["target"] == "rpi4"
    assert document["buckets"] == [{"batch": 1, "length": 8}]
    assert document["artifact_bytes"] == output.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["model.tar"]
    result = intbert("run", output, "the man plays")
    assert result.exit_code == 1
    assert "the artifact is for aarch64 (rpi4)" in result.stderr


def test_existing_output_needs_force(intbert: Run, quantized: Path, artifact: Path, tmp_path: Path):
    before = {path: path.read_bytes() for path in artifact.iterdir()}
    arguments = ("compile", quantized, "--target", "host", "--lengths", "8", "--output", artifact)
    result = intbert(*arguments)
    assert result.exit_code == 1
    assert "--force" in result.stderr
    assert {path: path.read_bytes() for path in artifact.iterdir()} == before
    copy = tmp_path / "copy"
    succeed("compile", quantized, "--target", "host", "--lengths", "8", "-o", copy)
    succeed("compile", quantized, "--target", "host", "--lengths", "16", "-o", copy, "--force")
    assert api.load(copy).max_length == 16


def test_length_beyond_the_models_positions(intbert: Run, quantized: Path, tmp_path: Path):
    result = intbert("compile", quantized, "-t", "host", "--lengths", POSITIONS + 1, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "positions" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["quantize", "compile"])
def test_full_disk(
    intbert: Run,
    monkeypatch: pytest.MonkeyPatch,
    checkpoint: Path,
    quantized: Path,
    sentences: Path,
    tmp_path: Path,
    command: str,
):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    output = tmp_path / "here" / "out"
    if command == "quantize":
        result = intbert("quantize", checkpoint, "--calibrate", sentences, "-o", output)
    else:
        result = intbert("compile", quantized, "-t", "host", "--lengths", "8", "-o", output)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "the disk is full, nothing was written" in result.stderr
    assert list((tmp_path / "here").iterdir()) == []
