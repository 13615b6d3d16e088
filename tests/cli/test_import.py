"""``intbert import``, and what the other commands do with its output."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intbert.compiler.model_files import load

from ..quantization.checkpoints import make_config, save_tokenizer
from ..quantization.importers.test_nncf import FIXTURE


def nncf_folder(folder: Path) -> Path:
    folder.mkdir()
    config = make_config("Bert", architectures=["BertForSequenceClassification"])
    config.save_pretrained(folder)
    save_tokenizer(folder)
    shutil.copyfile(FIXTURE, folder / "model.onnx")
    return folder


def test_import_writes_a_quantized_model(intbert_json: Callable[..., Any], tmp_path: Path) -> None:
    source, output = nncf_folder(tmp_path / "source"), tmp_path / "model.q"
    document = intbert_json("import", source, "-o", output)
    assert document["scheme"] == "onnx-qdq"
    assert document["output"] == str(output)
    model = load(output)
    assert model.float_operators is not None
    assert model.tokenizer == output
    assert model.provenance["file"] == "model.onnx"


def test_import_of_a_file(intbert: Callable[..., Any], tmp_path: Path) -> None:
    source, output = nncf_folder(tmp_path / "source"), tmp_path / "model.q"
    result = intbert("import", source / "model.onnx", "-o", output)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"{output}: onnx-qdq, 2 layers, ")


def test_what_cannot_be_imported_is_one_line_and_leaves_nothing(intbert: Callable[..., Any], tmp_path: Path) -> None:
    result = intbert("import", tmp_path / "no.onnx", "-o", tmp_path / "model.q")
    assert result.exit_code == 1
    assert result.stderr.startswith("intbert: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "model.q").exists()
