"""``intbert diff`` on a tiny random model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from intbert.compiler.model_files import save

from ..quantization.checkpoints import make_model, save_model
from .conftest import Run


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A checkpoint, its quantized form, and that with the weights of one linear negated."""
    from intbert import quantize

    folder = tmp_path_factory.mktemp("models")
    checkpoint, quantized, broken = folder / "float", folder / "quantized", folder / "broken"
    save_model(make_model("Bert", "ForSequenceClassification"), checkpoint)
    model = quantize(checkpoint, sentences=["the man plays with a red ball", "a dog runs in the park"])
    name = "layers.1.intermediate.weight"
    weight = model.weights[name]
    changed = replace(model, weights={**model.weights, name: replace(weight, values=-weight.values)})
    for path, content in ((quantized, model), (broken, changed)):
        path.mkdir()
        save(content, path)
    return checkpoint, quantized, broken


@pytest.fixture
def glue(tmp_path: Path) -> Path:
    (tmp_path / "STS-B").mkdir()
    rows = ["sentence1\tsentence2\tlabel", "the man plays\ta woman plays\t3.0", "a dog runs\tthe red hat\t0.5"]
    (tmp_path / "STS-B" / "dev.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


def test_a_sound_model(intbert: Run, models: tuple[Path, Path, Path], sentences: Path):
    result = intbert("diff", models[0], models[1], "--data", sentences)
    assert result.exit_code == 0, result.stderr
    assert "No bad layer" in result.stdout
    assert "layers.1.output_sum" in result.stdout


def test_a_broken_one_in_either_order(intbert: Run, models: tuple[Path, Path, Path], sentences: Path):
    results = [intbert("diff", *order, "--data", sentences) for order in (models[::2], models[::-2])]
    assert {result.exit_code for result in results} == {0}
    assert results[0].stdout == results[1].stdout
    assert "First bad layer: layers.1.activation_output, computed by layers.1.intermediate" in results[0].stdout


def test_json_of_a_glue_task(intbert_json: Callable[..., Any], models: tuple[Path, Path, Path], glue: Path):
    found = intbert_json("diff", *models[1:], "--data", glue, "--task", "stsb", "--limit", 3)
    assert found["first_bad"]["name"] == "layers.1.activation_output"
    assert found["layers"][0]["name"] == "embeddings.sum"
    assert set(found["layers"][0]["own"]) == {"sqnr_db", "row_sqnr_db", "cosine", "max_error"}
    assert {weight["bits"] for weight in found["weights"]} == {8, 16, 32}


def test_the_threshold(intbert: Run, models: tuple[Path, Path, Path], sentences: Path):
    result = intbert("diff", models[0], models[1], "--data", sentences, "--sqnr", "100")
    assert "First bad layer: embeddings.sum" in result.stdout


def test_what_cannot_be_compared(intbert: Run, models: tuple[Path, Path, Path], toy: Path, glue: Path, sentences: Path):
    for arguments, words in (
        ((models[0], toy, "--data", sentences), "is an artifact"),
        ((models[0], models[0], "--data", sentences), "both models are float"),
        ((models[0], models[1], "--data", glue), "--task"),
        ((models[0], models[1], "--data", glue / "absent.txt"), "cannot be read"),
        ((models[0], models[1], "--data", glue, "--task", "sst2"), "SST-2"),
    ):
        result = intbert("diff", *arguments)
        assert result.exit_code == 1
        assert words in result.stderr
        assert result.stderr.count("\n") == 1
