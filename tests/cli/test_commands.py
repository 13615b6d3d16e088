"""What the commands print when all is well."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from intbert import __version__
from intbert.compiler import environment
from intbert.compiler.environment import Status

from .conftest import Run

Json = Callable[..., Any]

COMMANDS = ("recipes", "quantize", "compile", "run", "bench", "profile", "eval", "inspect", "targets", "doctor")


def test_help_names_every_command(intbert: Run):
    result = intbert("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f" {command} " in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_json(intbert: Run, command: str):
    result = intbert(command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout


def test_help_of_quantize_lists_the_methods(intbert: Run):
    assert "ibert: " in intbert("quantize", "--help").stdout


def test_help_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from intbert.cli.main import app\n"
        "app(['--help'], standalone_mode=False)\n"
        "heavy = {'numpy', 'tvm', 'tvm_ffi', 'torch', 'transformers', 'tokenizers', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert "Usage: " in done.stdout


def test_version(intbert: Run):
    assert intbert("--version").stdout == f"{__version__}\n"


def test_run(intbert_json: Json, toy: Path):
    document = intbert_json("run", toy, "one", "two")
    assert document["shape"] == [2, 4]
    assert document["dtype"] == "float32"
    assert document["outputs"] == [[12.0, -27.0, 4500.0, 66.0], [14.0, -31.0, 5100.0, 74.0]]
    assert "scale" not in document


def test_run_integers(intbert_json: Json, toy: Path):
    document = intbert_json("run", toy, "one", "--integers")
    assert document == {"outputs": [[24, -54, 9000, 132]], "shape": [1, 4], "dtype": "int32", "scale": 0.5}


def test_run_pairs(intbert: Run, intbert_json: Json, toy: Path):
    assert intbert_json("run", toy, "one", "two", "--pairs")["shape"] == [1, 4]
    assert "one | two" in intbert("run", toy, "one", "two", "--pairs").stdout


def test_run_truncates_on_request(intbert_json: Json, toy: Path):
    long = intbert_json("run", toy, "one " * 30, "--truncate")
    assert long["outputs"] == intbert_json("run", toy, "one " * 14)["outputs"]


def test_run_table(intbert: Run, toy: Path):
    result = intbert("run", toy, "one")
    assert result.exit_code == 0
    assert "float32 [1, 4]" in result.stdout
    assert "4500" in result.stdout


def test_bench(intbert: Run, intbert_json: Json, toy: Path):
    document = intbert_json("bench", toy, "--runs", 5, "--length", 8, "--batch", 4, "--threads", 1)
    assert {"p50_ms", "p90_ms", "p99_ms", "mean_ms", "peak_rss_mb", "artifact_bytes", "target", "scheme"} <= set(
        document
    )
    assert document["device"] == "this machine"
    assert len(document["samples"]) == 5
    assert (document["runs"], document["length"], document["batch"], document["threads"]) == (5, 8, 4, 1)
    assert "p50_ms" in intbert("bench", toy, "--runs", 1).stdout


def test_inspect(intbert: Run, intbert_json: Json, toy: Path):
    document = intbert_json("inspect", toy)
    assert document["kind"] == "artifact"
    assert document["buckets"][0] == {"batch": 1, "length": 8}
    sizes = {row["part"]: row["bytes"] for row in document["sizes"]}
    assert sizes["int8 weights"] == 32
    assert sizes["int16 weights"] == 8
    assert document["bytes"] == sum(path.stat().st_size for path in toy.iterdir())
    assert sum(sizes.values()) + (toy / "manifest.json").stat().st_size == document["bytes"]
    assert "mean_pooling" in intbert("inspect", toy, "--strategies", "--bounds").stdout


def test_targets(intbert: Run, intbert_json: Json):
    names = [target["name"] for target in intbert_json("targets")["targets"]]
    assert names[0] == "host"
    assert {"rpi4", "jetson-orin"} <= set(names)
    (one,) = intbert_json("targets", "rpi4")["targets"]
    assert (one["arch"], one["cpu"]) == ("aarch64", "cortex-a72")
    assert "rpi4" in intbert("targets").stdout


def test_doctor(intbert_json: Json):
    document = intbert_json("doctor")
    assert document["ok"] is True
    checks = {check["name"]: check for check in document["checks"]}
    assert checks["apache-tvm"]["status"] == "ok"
    assert checks["TVM runtime"]["status"] == "ok"
    assert {"python", "processor", "linker for x86_64", "linker for aarch64", "extra quantize"} <= set(checks)
    assert all(check["mend"] for check in checks.values() if check["status"] != "ok")


def test_doctor_finds_another_tvm(intbert: Run, monkeypatch: pytest.MonkeyPatch):
    versions = {"apache-tvm": "0.26.0", "apache-tvm-ffi": None}
    monkeypatch.setattr(environment, "installed_versions", lambda: versions)
    result = intbert("doctor", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["ok"] is False
    assert "pip install apache-tvm==" in result.stderr
    found = {check.name: check for check in environment.check_environment()}
    assert found["apache-tvm"].status is Status.FAILED
    assert found["apache-tvm-ffi"].found == "not installed"
