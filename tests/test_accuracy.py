"""The published figure of the integer model: all-MiniLM-L6-v2 on the development set of STS-B, as compiled here; and
the accuracy table's quick slice.

The data is not ours to ship: it is looked for in ``$INTBERT_GLUE``, then in ``shared/glue`` beside the checkout.
"""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import accuracy
import pytest
from intbert import compile as compile_artifact
from intbert import evaluate, get_target, load, quantize
from intbert.quantization.demo import demo_model_folder

FLOAT_SPEARMAN = 0.8672
LOWEST_SPEARMAN = 0.864
MAX_ARTIFACT_BYTES = 24_000_000
CALIBRATION_SENTENCES = 256


@pytest.fixture(scope="module")
def glue() -> Path:
    folder = Path(os.environ.get("INTBERT_GLUE", Path(__file__).parents[2] / "shared" / "glue"))
    if not (folder / "STS-B" / "dev.tsv").exists():
        pytest.skip(f"no GLUE data in {folder}; set INTBERT_GLUE to a folder with STS-B/dev.tsv")
    return folder


def calibration_sentences(glue: Path) -> list[str]:
    """Evenly spread over the training set, whose genres follow one another."""
    with (glue / "STS-B" / "train.tsv").open(encoding="utf-8", newline="") as file:
        sentences = [row[0] for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)][1:]
    return sentences[:: len(sentences) // CALIBRATION_SENTENCES][:CALIBRATION_SENTENCES]


def test_integer_minilm_on_stsb(glue: Path, tmp_path: Path) -> None:
    model = quantize(demo_model_folder(), sentences=calibration_sentences(glue))
    manifest = compile_artifact(model, get_target("host"), output=tmp_path / "artifact")
    assert sum(record.bytes for record in manifest.files.values()) <= MAX_ARTIFACT_BYTES
    score = evaluate("stsb", glue, load(tmp_path / "artifact"))
    assert score.n == 1500
    assert LOWEST_SPEARMAN <= score.value <= FLOAT_SPEARMAN + 0.005


def test_the_quick_accuracy_table(glue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert accuracy.main(["--quick", "--data", str(glue), "--build", str(tmp_path)]) == 0, capsys.readouterr().err
    document = json.loads((tmp_path / "accuracy.json").read_text())
    assert {row["method"] for row in document["rows"]} == {"lq", "aciq"}
    for row in document["rows"]:
        assert row["float"] - 0.03 <= row["value"] <= row["float"] + 0.03
        assert row["bits_reduction"] > 3.5
    assert "| lq | W8A8 | stsb | spearman |" in (tmp_path / "accuracy.md").read_text()
