"""Bad input gives one line that says what is wrong and what to do, and exit code 1; bad usage gives 2."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest

from .conftest import Run


@pytest.fixture
def place(tmp_path: Path, toy: Path, sentences: Path) -> Path:
    """A folder with everything that the cases below name."""
    shutil.copytree(toy, tmp_path / "artifact")
    library = Path(shutil.copytree(toy, tmp_path / "truncated")) / "model.so"
    library.write_bytes(library.read_bytes()[:-1])
    (Path(shutil.copytree(toy, tmp_path / "no-library")) / "model.so").unlink()
    manifest = Path(shutil.copytree(toy, tmp_path / "other-cpu")) / "manifest.json"
    document = json.loads(manifest.read_text(encoding="utf-8"))
    document["target"]["features"] = ["sve2"]
    manifest.write_text(json.dumps(document), encoding="utf-8")
    (tmp_path / "empty.txt").write_text("\n \n", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("déjà".encode("latin-1"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "pickle").mkdir()
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    positions = {"max_position_embeddings": 8, "type_vocab_size": 2, "pad_token_id": 0}
    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_act": "gelu",
        **dict.fromkeys(sizes, 4),
        **positions,
    }
    (tmp_path / "pickle" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "pickle" / "pytorch_model.bin").write_bytes(b"")
    (tmp_path / "gpt").mkdir()
    (tmp_path / "gpt" / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "config.json").write_text("{", encoding="utf-8")
    return tmp_path


LONG = "one " * 20
QUANTIZE = "quantize {0}/CHECKPOINT --calibrate {0}/sentences.txt --output {0}/out"

CASES = {
    "missing artifact": ("run {0}/nothing text", "does not exist"),
    "not an artifact": ("run {0}/folder text", "intbert compile"),
    "not a tar": ("run {0}/sentences.txt text", "is not an artifact"),
    "truncated library": ("run {0}/truncated text", "the manifest says"),
    "missing library": ("run {0}/no-library text", "model.so is missing"),
    "other processor": ("run {0}/other-cpu text", "lacks sve2"),
    "too long": ("run {0}/artifact LONG", "largest bucket holds 16"),
    "no threads": ("run {0}/artifact text --threads 0", "threads is 0"),
    "bench: missing artifact": ("bench {0}/nothing", "does not exist"),
    "bench: other processor": ("bench {0}/other-cpu", "lacks sve2"),
    "bench: too long": ("bench {0}/artifact --length 99", "largest bucket holds 16"),
    "inspect: nothing there": ("inspect {0}/folder", "neither an artifact nor a quantized model"),
    "inspect: truncated": ("inspect {0}/truncated", "the manifest says"),
    "unknown target": ("targets rpi44", "did you mean rpi4"),
    "eval: no model": ("eval {0}/folder --task stsb --data {0}", "holds no model"),
    "eval: unknown task": ("eval {0}/artifact --task stbs --data {0}", "did you mean stsb"),
    "eval: no data": ("eval {0}/artifact --task stsb --data {0}", "dev.tsv"),
    "quantize: missing checkpoint": (QUANTIZE.replace("CHECKPOINT", "nothing"), "nothing"),
    "quantize: pickle": (QUANTIZE.replace("CHECKPOINT", "pickle"), "safetensors"),
    "quantize: other architecture": (QUANTIZE.replace("CHECKPOINT", "gpt"), "gpt2"),
    "quantize: damaged config": (QUANTIZE.replace("CHECKPOINT", "cut"), "config.json"),
    "quantize: no sentences": ("quantize {0}/gpt --calibrate {0}/empty.txt -o {0}/out", "no sentences"),
    "quantize: not UTF-8": ("quantize {0}/gpt --calibrate {0}/latin.txt -o {0}/out", "not UTF-8"),
    "quantize: missing file": ("quantize {0}/gpt --calibrate {0}/nothing -o {0}/out", "cannot be read"),
    "quantize: output exists": ("quantize {0}/gpt --calibrate {0}/sentences.txt -o {0}/folder", "--force"),
    "quantize: unknown method": (QUANTIZE.replace("CHECKPOINT", "gpt") + " --method ibrt", "ibert"),
    "compile: missing model": ("compile {0}/nothing -t rpi4 -o {0}/out", "intbert quantize"),
    "compile: unknown target": ("compile {0}/nothing -t rpi44 -o {0}/out", "did you mean rpi4"),
}


@pytest.mark.parametrize(("command", "message"), CASES.values(), ids=CASES)
def test_one_line(intbert: Run, place: Path, command: str, message: str):
    before = sorted(place.rglob("*"))
    arguments = [LONG if word == "LONG" else word for word in command.format(place).split()]
    result = intbert(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("intbert: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert sorted(place.rglob("*")) == before  # nothing half-written


USAGE = {
    "unknown command": "fly",
    "missing argument": "run",
    "unknown option": "targets --fast",
    "lengths that are no numbers": "compile model -t host -o out --lengths 32,x",
    "length twice": "compile model -t host -o out --lengths 32,32",
    "batch of none": "compile model -t host -o out --batch 0",
    "odd pairs": "run artifact one --pairs",
    "no runs": "bench artifact --runs 0",
    "no output": "quantize folder --calibrate file",
}


@pytest.mark.parametrize("command", USAGE.values(), ids=USAGE)
def test_usage(intbert: Run, command: str):
    result = intbert(*command.split())
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage: " in result.stderr


@pytest.mark.parametrize("command", ["--debug targets rpi44", "targets rpi44 --debug"], ids=["before", "after"])
def test_debug_shows_the_traceback(intbert: Run, command: str):
    result = intbert(*command.split())
    assert result.exit_code == 1
    assert result.stderr.startswith("Traceback")
    assert result.stderr.splitlines()[-1].startswith("intbert: there is no target")


def test_debug_behind_two_dashes_is_text(intbert: Run, toy: Path):
    result = intbert("run", toy, "--json", "--", "--debug")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["shape"] == [1, 4]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), "the disk is full; free some space"),
        (
            PermissionError(errno.EACCES, "Permission denied", "presets.toml"),
            "presets.toml: Permission denied",
        ),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            "torch is not installed; `intbert doctor`",
        ),
        (ZeroDivisionError("division\nby zero"), "unexpected ZeroDivisionError: division by zero"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_of_others(intbert: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str):
    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr("intbert.targets.get_target", fail)
    result = intbert("targets", "rpi4")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
