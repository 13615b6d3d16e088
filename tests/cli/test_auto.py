"""``intbert quantize --method auto`` on a tiny random model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..quantization.checkpoints import SENTENCES, make_model, save_model
from .conftest import Run


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(make_model("Bert", "ForSequenceClassification"), tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def glue(tmp_path: Path) -> Path:
    folder = tmp_path / "glue" / "SST-2"
    folder.mkdir(parents=True)
    rows = ["sentence\tlabel", *(f"{sentence}\t{row % 2}" for row, sentence in enumerate(SENTENCES))]
    for split in ("train", "dev"):
        (folder / f"{split}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder.parent


def test_a_model_and_its_trade_off(intbert_json: Callable[..., Any], checkpoint: Path, glue: Path, tmp_path: Path):
    table = tmp_path / "latency.json"
    table.write_text(json.dumps({"16x16": {"8": 2, "4": 1}, "16x28": {"8": 2}, "28x16": {"8": 2}}), encoding="utf-8")
    found = intbert_json(
        "quantize", checkpoint, "--method", "auto", "--task", "sst2", "--data", glue, "--max-drop", "100",
        "--latency-table", table, "--trade-off", tmp_path / "trade-off.json", "--set", "methods=lq",
        "-o", tmp_path / "model",
    )  # fmt: skip
    assert found["scheme"] == "lq"
    trade_off = json.loads((tmp_path / "trade-off.json").read_text())
    assert (trade_off["max_drop"], trade_off["objective"]) == (100.0, "latency")
    chosen = next(judged for judged in trade_off["configurations"] if judged["chosen"])
    assert chosen["latency_ms"] == 2 * (4 * 1 + 2 + 2)
    described = json.loads((tmp_path / "model" / "quantization.json").read_text())
    assert described["provenance"]["auto"] == trade_off


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        pytest.param(("--method", "auto", "--max-drop", "-1"), "max_drop is -1", 1, id="negative-drop"),
        pytest.param(("--method", "auto", "--latency-table", "absent.json"), "cannot be read", 1, id="no-table"),
        pytest.param(("--method", "lq", "--max-drop", "1"), "no option", 1, id="another-method"),
        pytest.param(("--method", "lq", "--trade-off", "x.json"), "--trade-off is auto's", 2, id="another's-trade-off"),
    ],
)
def test_what_makes_no_sense(
    intbert: Run, checkpoint: Path, glue: Path, tmp_path: Path, arguments: tuple[str, ...], words: str, code: int
):
    result = intbert("quantize", checkpoint, *arguments, "--task", "sst2", "--data", glue, "-o", tmp_path / "model")
    assert result.exit_code == code
    assert words in " ".join(result.stderr.split()).replace("│ ", "")
    assert not (tmp_path / "model").exists()
